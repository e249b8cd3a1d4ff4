r"""Sharpness-aware minimisation."""
from collections.abc import Callable
from typing import Any, Optional

import torch
from torch import Tensor
from torch.optim import Optimizer

from pyg_advcf._checks import check_bool, check_count, check_instance, check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.methods.recommender import Recommender, described
from pyg_advcf.training.step import Step, check_recommender
from pyg_advcf.training.updater import BuildOptimizer
from pyg_advcf.transforms.perturb import global_scale


class SAM(Optimizer):
    r"""Sharpness-aware minimisation around any optimizer, `arXiv 2010.01412
    <https://arxiv.org/abs/2010.01412>`_.

    The optimizer updates the parameters by the gradient at the worst point nearby:

    .. math::
        g' = \nabla L\!\left(\Theta + \rho \frac{\nabla L(\Theta)}{\|\nabla L(\Theta)\|}\right)

    with the norm over all parameters together. Two passes a step, over the same batch.

    Args:
        optimizer: Moves the parameters, which it holds; its state is the state.
        rho: Radius :math:`\rho \geq 0`; 0 is the optimizer without SAM.
        adaptive: Whether to measure distance relative to the size of each parameter (ASAM).

    Raises:
        ValueError: If ``optimizer`` is not one, ``rho`` is negative, or ``adaptive`` not a bool.

    Example:
        >>> w = torch.nn.Parameter(torch.ones(2))
        >>> sam = SAM(torch.optim.SGD([w], lr=0.1), rho=0.05)
        >>> def closure():
        ...     sam.zero_grad()
        ...     loss = w.square().sum()
        ...     loss.backward()
        ...     return loss
        >>> sam.step(closure)
        tensor(2., grad_fn=<SumBackward0>)
        >>> w.data
        tensor([0.7929, 0.7929])
    """
    def __init__(self, optimizer: Optimizer, rho: float = 0.05, adaptive: bool = False) -> None:
        self.rho = check_positive('rho', rho, zero=True)
        self.adaptive = check_bool('adaptive', adaptive)
        check_instance('optimizer', optimizer, Optimizer, 'a torch.optim.Optimizer')
        self.optimizer = optimizer
        super().__init__(optimizer.param_groups, optimizer.defaults)
        # One list of groups, so that a scheduler of either changes both.
        self.param_groups = optimizer.param_groups
        self.state = optimizer.state

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if getattr(self, 'param_groups', None) is self.optimizer.param_groups:
            self.optimizer.add_param_group(param_group)
        else:  # While the base class is set up.
            super().add_param_group(param_group)

    @torch.no_grad()
    def _move(self) -> list[tuple[Tensor, Tensor]]:
        r"""Goes to the worst point nearby; returns the parameters with copies of what they were."""
        moved = [p for group in self.param_groups for p in group['params'] if p.grad is not None]
        if not moved or self.rho == 0:
            return []
        grads = [p.abs() * p.grad for p in moved] if self.adaptive else [p.grad for p in moved]
        scale = global_scale(grads, self.rho)
        before = [(p, p.clone()) for p in moved]
        for p, grad in zip(moved, grads):
            p.add_(p.abs() * grad * scale if self.adaptive else grad * scale)
        return before

    def step(self, closure: Optional[Callable[[], Tensor]] = None) -> Tensor:
        r"""Takes a step.

        Args:
            closure: Clears the gradients, computes the loss and its gradients, and returns the
                loss; called twice, and has to use the same batch both times.

        Returns:
            The loss at the parameters as they were.

        Raises:
            ValueError: If there is no closure.
        """
        if closure is None:
            raise ValueError("SAM needs 'closure', which computes the loss and its gradients: it "
                             "is called twice a step; with `fit`, use SAMStep")
        closure = torch.enable_grad()(closure)
        loss = closure()
        before = self._move()
        try:
            if before:
                closure()
        finally:
            with torch.no_grad():
                for p, value in before:
                    p.copy_(value)  # Exactly what they were, also after an error.
        self.optimizer.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state_dict)
        self.param_groups, self.state = self.optimizer.param_groups, self.optimizer.state


class SAMStep(Step):
    r"""A step of :class:`SAM`: one optimizer, which looks for flat minima.

    Args:
        recommender: What is trained.
        lr: Learning rate of Adam.
        rho: See :class:`SAM`.
        adaptive: See :class:`SAM`.
        warmup_epochs: Epochs of the plain optimizer before.
        optimizer: As in :class:`Step`; it is what SAM goes around.

    Raises:
        ValueError: If an argument is of a wrong type or out of range, or if the recommender has an
            adversary or records something at every call (:class:`~pyg_advcf.methods.SharpCF`).

    Example:
        >>> from pyg_advcf import MF, InteractionLoader, methods
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=99, num_items=40)[0]
        >>> step = SAMStep(methods.bpr(MF(data, dim=8)), lr=1e-2, rho=0.05)
        >>> losses = [step(batch) for batch in InteractionLoader(data)]
    """
    def __init__(
        self,
        recommender: Recommender,
        lr: float = 1e-3,
        rho: float = 0.05,
        adaptive: bool = False,
        warmup_epochs: int = 0,
        optimizer: Optional[BuildOptimizer] = None,
    ) -> None:
        if check_recommender(recommender).single_pass:
            raise ValueError(f"'recommender' ({described(recommender)}) records something at every "
                             f"call, but SAM calls it twice a step; use Step")
        super().__init__(recommender, lr, optimizer)
        own = check_count('warmup_epochs', warmup_epochs, minimum=0)
        self.sam_from = own
        self.warmup_epochs = max(own, recommender.warmup_epochs)
        self.sam = SAM(self.updater.optimizer, rho, adaptive)

    def __call__(self, batch: Batch) -> Tensor:
        def closure() -> Tensor:
            loss = self.recommender(batch)
            self.updater.backward(loss)
            return loss.detach()

        if self.sam_from > 0 and self.recommender.current_epoch() < self.sam_from:
            loss = closure()
            self.updater.optimizer.step()
            return loss
        return self.sam.step(closure)
