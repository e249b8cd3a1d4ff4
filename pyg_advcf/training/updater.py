r"""Some parameters and the optimizer that updates them: the only place that knows optimizers."""
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Optional

import torch
from torch import Tensor
from torch.optim import Optimizer

from pyg_advcf._checks import check_callable, check_instance, check_positive, shown

# Builds an optimizer from a list of parameters.
BuildOptimizer = Callable[[list], Optimizer]


class Updater:
    r"""Updates some parameters by the gradients of a loss: ``updater(loss)``.

    Only these parameters receive gradients: the ``.grad`` of all others stays untouched, so that a
    recommender and its adversary can share a backward pass without freezing each other.

    Args:
        parameters: What is updated.
        lr: Learning rate of Adam.
        optimizer: Builds another optimizer in place of Adam.
        argument: Name of the learning rate in error messages.

    Raises:
        ValueError: If ``parameters`` is not a list of tensors that can be trained, ``lr`` not
            above 0, or ``optimizer`` not a function that returns an optimizer.

    Example:
        >>> w = torch.nn.Parameter(torch.ones(2))
        >>> Updater([w], optimizer=lambda p: torch.optim.SGD(p, lr=0.1))(w.square().sum())
        >>> w.data
        tensor([0.8000, 0.8000])
    """
    def __init__(
        self,
        parameters: Sequence[Tensor],
        lr: float = 1e-3,
        optimizer: Optional[BuildOptimizer] = None,
        argument: str = 'lr',
    ) -> None:
        check_positive(argument, lr)
        check_instance('parameters', parameters, Iterable, 'a list of tensors to train')
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError("'parameters' is empty: there is nothing to train; set "
                             "'requires_grad' of what is to be trained")
        for p in self.parameters:
            check_instance('parameters', p, Tensor, 'a list of tensors to train')
            if not (p.is_leaf and p.requires_grad):
                raise ValueError(f"'parameters' holds a tensor of shape {list(p.shape)} that can't "
                                 f"be trained: it needs to be a leaf with 'requires_grad', such as "
                                 f"a torch.nn.Parameter")
        self.builder = optimizer
        if optimizer is None:
            self.optimizer = torch.optim.Adam(self.parameters, lr=lr, fused=True)
        else:
            what = 'from a list of parameters to a torch.optim.Optimizer'
            check_callable('optimizer', optimizer, what)
            self.optimizer = optimizer(self.parameters)
            if not isinstance(self.optimizer, Optimizer):
                raise ValueError(f"'optimizer' returns {shown(self.optimizer)}, but needs to be a "
                                 f"function {what}")

    def backward(self, loss: Tensor) -> None:
        r"""Computes the gradients of the parameters, and of nothing else."""
        self.optimizer.zero_grad()
        loss.backward(inputs=self.parameters)

    def __call__(self, loss: Tensor) -> None:
        r"""Updates the parameters once, to lower ``loss``."""
        self.backward(loss)
        self.optimizer.step()

    def apply(self, gradients: Sequence[Optional[Tensor]]) -> None:
        r"""Updates the parameters once by the given gradients."""
        for p, gradient in zip(self.parameters, gradients):
            p.grad = gradient
        self.optimizer.step()
        self.optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        return self.optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state)
