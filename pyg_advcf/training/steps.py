r"""How parameters move: one optimizer, or two players in turn."""
import time
from collections.abc import Callable
from typing import Any, Optional

import torch
from torch import Tensor
from torch.optim import Optimizer
from tqdm import tqdm

from pyg_advcf._checks import check_count, check_positive
from pyg_advcf.interactions import Batch
from pyg_advcf.loader import InteractionLoader
from pyg_advcf.methods.recommender import AdversarialRecommender, Recommender


def _adam(parameters: list, lr: float) -> Optimizer:
    return torch.optim.Adam(parameters, lr=lr, fused=True)


class Step:
    r"""One optimizer on all parameters of a method: ``step(batch)`` moves them once.

    Args:
        method: What is trained.
        lr: Learning rate of Adam.
        optimizer: Builds another optimizer from the list of parameters, in place of Adam:
            ``lambda parameters: torch.optim.SGD(parameters, lr=0.1)``.

    Raises:
        ValueError: If ``lr`` is not above 0, or if the method has a second player to train.

    Example:
        >>> from pyg_advcf import MF, methods
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=99, num_items=40)[0]
        >>> step = Step(methods.BPR(MF(data, dim=8), data), lr=1e-2)
        >>> losses = [step(batch) for batch in InteractionLoader(data)]
    """
    trains = 'Step'

    def __init__(
        self,
        method: Recommender,
        lr: float = 1e-3,
        optimizer: Optional[Callable[[list], Optimizer]] = None,
    ) -> None:
        check_positive('lr', lr)
        if method.trained_by != self.trains and method.second_player():
            raise ValueError(f"'method' is {method.__class__.__name__}, whose second player would "
                             f"stay as it was drawn; use {method.trained_by}")
        self.method = method
        self.parameters = self._main_parameters()
        self.optimizer = (_adam(self.parameters, lr) if optimizer is None
                          else optimizer(self.parameters))

    def _main_parameters(self) -> list[Tensor]:
        theirs = {id(p) for p in self.method.second_player()}
        return [p for p in self.method.parameters() if p.requires_grad and id(p) not in theirs]

    def on_epoch_start(self, epoch: int, loader: InteractionLoader,
                       progress: bool = False) -> dict[str, float]:
        r"""Prepares the 0-based ``epoch``; returns what is worth logging."""
        self.method.on_epoch_start(epoch)
        return {}

    def __call__(self, batch: Batch) -> Tensor:
        r"""Moves the parameters once; returns the loss, detached and still on the device."""
        loss = self.method(batch)
        self.optimizer.zero_grad()
        # Only the named inputs receive gradients: another player's `.grad` stays untouched.
        loss.backward(inputs=self.parameters)
        self.optimizer.step()
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        r"""Everything a resumed run needs to go on as if it had never stopped."""
        return {'method': self.method.state_dict(), 'optimizer': self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.method.load_state_dict(state['method'])
        self.optimizer.load_state_dict(state['optimizer'])

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}({self.method.__class__.__name__})'


class MinMaxStep(Step):
    r"""A second player ascends in passes of its own, on a schedule.

    Before the 0-based epoch :math:`e`, the adversary takes one full pass over freshly sampled
    batches if :math:`(e + \mathrm{offset}) \bmod \mathrm{interval} = 0`,
    :math:`e > \mathrm{warmup}` and fewer than ``max_passes`` were taken. The defaults are the
    schedule of AdvInfoNCE's authors. The recommender is frozen in a pass, so its embeddings are
    computed once per pass.

    Args:
        method: A method with a second player.
        lr: Learning rate of the recommender.
        adversary_lr: Learning rate of the adversary.
        interval: Epochs between passes, :math:`T_{adv}`.
        offset: Shift of the schedule.
        warmup: The last epoch without a pass.
        max_passes: Most passes to take, :math:`E_{adv}`.
        max_kl: Take no further pass once a pass measured a mean :math:`KL(P_0 \| P)` above this
            budget.
        optimizer: As in :class:`Step`, for the recommender.

    Raises:
        ValueError: If the method has no second player, or an argument is out of range.

    Example:
        >>> from pyg_advcf import MF, methods
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=99, num_items=40)[0]
        >>> step = MinMaxStep(methods.AdvInfoNCE(MF(data, dim=8), data), interval=5)
        >>> [epoch for epoch in range(15) if step.due(epoch)]
        [2, 7, 12]
    """
    trains = 'MinMaxStep'

    def __init__(
        self,
        method: AdversarialRecommender,
        lr: float = 1e-3,
        adversary_lr: float = 1e-4,
        interval: int = 5,
        offset: int = 3,
        warmup: int = 0,
        max_passes: int = 10,
        max_kl: Optional[float] = None,
        optimizer: Optional[Callable[[list], Optimizer]] = None,
    ) -> None:
        if not isinstance(method, AdversarialRecommender):
            raise ValueError(f"'method' is {method.__class__.__name__}, which has no second "
                             f"player; use Step")
        self.interval = check_count('interval', interval)
        self.offset = check_count('offset', offset, minimum=0)
        self.warmup = check_count('warmup', warmup, minimum=0)
        self.max_passes = check_count('max_passes', max_passes, minimum=0)
        self.max_kl = None if max_kl is None else check_positive('max_kl', max_kl)
        check_positive('adversary_lr', adversary_lr)
        self.adversary = method.adversary_parameters()
        super().__init__(method, lr, optimizer)
        # An adversary without parameters (a fixed hardness) never takes a pass.
        self.adversary_optimizer = _adam(self.adversary, adversary_lr) if self.adversary else None
        self.passes = 0
        self.spent = False

    def due(self, epoch: int) -> bool:
        r"""Whether the adversary takes a pass before ``epoch``."""
        return (self.adversary_optimizer is not None and not self.spent
                and self.passes < self.max_passes and epoch > self.warmup
                and (epoch + self.offset) % self.interval == 0)

    def on_epoch_start(self, epoch: int, loader: InteractionLoader,
                       progress: bool = False) -> dict[str, float]:
        super().on_epoch_start(epoch, loader, progress)
        if not self.due(epoch):
            return {}
        begin = time.perf_counter()
        log = self.adversary_pass(loader, progress)
        log['adversary_seconds'] = time.perf_counter() - begin
        self.passes += 1
        self.spent = self.max_kl is not None and log['kl_uniform_p'] > self.max_kl
        return log

    def adversary_pass(self, loader: InteractionLoader, progress: bool = False) -> dict[str, float]:
        r"""One pass of the adversary over ``loader``; returns the means of what it logs."""
        with torch.no_grad():
            z = self.method.similarity.prepare(self.method.backbone())
        totals: dict[str, Tensor] = {}
        bar = tqdm(loader, desc='adversary', leave=False, disable=not progress)
        for batch in bar:
            log = self.adversary_step(batch, z)
            for key, value in log.items():
                totals[key] = totals.get(key, 0.) + value
        return {key: float(value) / len(loader) for key, value in totals.items()}

    def adversary_step(self, batch: Batch, z: Any) -> dict[str, Tensor]:
        r"""Moves the adversary once, the recommender's embeddings ``z`` fixed."""
        loss, log = self.method.adversary_loss(batch, z)
        self.adversary_optimizer.zero_grad()
        loss.backward(inputs=self.adversary)
        self.adversary_optimizer.step()
        return {'adversary_loss': loss.detach(), **log}

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state['passes'], state['spent'] = self.passes, self.spent
        if self.adversary_optimizer is not None:
            state['adversary_optimizer'] = self.adversary_optimizer.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.passes, self.spent = state['passes'], state['spent']
        if self.adversary_optimizer is not None:
            self.adversary_optimizer.load_state_dict(state['adversary_optimizer'])
