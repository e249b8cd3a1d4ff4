r"""The training step that updates the adversary too."""
import itertools
import time
from typing import Any, Optional

import torch
from torch import Tensor
from tqdm import tqdm

from pyg_advcf._checks import check_count, check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.loader import InteractionLoader
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.training.step import Step, check_recommender
from pyg_advcf.training.updater import BuildOptimizer, Updater

_KL_BATCHES = 8  # Batches that measure a divergence: some thousand rows.


class MinMaxStep(Step):
    r"""Two optimizers: the adversary is trained in passes of its own, on a schedule.

    Before the 0-based epoch :math:`e`, the adversary takes one full pass over freshly sampled
    batches if :math:`(e + \mathrm{offset}) \bmod \mathrm{interval} = 0`,
    :math:`e` is above ``adversary_warmup``, and fewer than ``max_passes`` were taken. The defaults
    are the schedule of AdvInfoNCE's authors. The recommender is frozen in a pass, so its embeddings
    are computed once per pass.

    Args:
        recommender: One with an adversary, as :func:`pyg_advcf.methods.advinfonce`.
        lr: Learning rate of the recommender.
        adversary_lr: Learning rate of the adversary.
        interval: Epochs between passes, :math:`T_{adv}`.
        offset: Shift of the schedule.
        adversary_warmup: The last epoch without a pass.
        max_passes: Most passes to take, :math:`E_{adv}`.
        max_kl: Take no further pass once a pass measured a mean :math:`KL(P_0 \| P)` above this
            budget.
        target_kl: After each pass, scale the hardness so that its mean :math:`KL(P_0 \| P)` is
            this, measured on some batches (:meth:`~pyg_advcf.criteria.AdvInfoNCE.scale_to_kl`). So
            the strength of the adversary is one number, whatever the learning rates and the number
            of passes; ``hardness_scale`` is in the log.
        optimizer: As in :class:`Step`, for the recommender.

    Raises:
        ValueError: If the recommender has no adversary, or an argument is of a wrong type or out
            of range.

    Example:
        >>> from pyg_advcf import MF, methods
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=99, num_items=40)[0]
        >>> step = MinMaxStep(methods.advinfonce(MF(data, dim=8)), interval=5)
        >>> [epoch for epoch in range(15) if step.due(epoch)]
        [2, 7, 12]
    """
    def __init__(
        self,
        recommender: Recommender,
        lr: float = 1e-3,
        adversary_lr: float = 1e-4,
        interval: int = 5,
        offset: int = 3,
        adversary_warmup: int = 0,
        max_passes: int = 10,
        max_kl: Optional[float] = None,
        optimizer: Optional[BuildOptimizer] = None,
        target_kl: Optional[float] = None,
    ) -> None:
        adversary = check_recommender(recommender).adversary_parameters()
        if not adversary:
            raise ValueError(f"'recommender' has no adversary to train: its criterion is "
                             f"{recommender.criterion.__class__.__name__}; use Step, or pass the "
                             f"recommender itself to 'fit'")
        self.interval = check_count('interval', interval)
        self.offset = check_count('offset', offset, minimum=0)
        self.adversary_warmup = check_count('adversary_warmup', adversary_warmup, minimum=0)
        self.max_passes = check_count('max_passes', max_passes, minimum=0)
        self.max_kl = None if max_kl is None else check_positive('max_kl', max_kl)
        self.target_kl = None if target_kl is None else check_positive('target_kl', target_kl)
        if target_kl is not None and not hasattr(recommender.criterion, 'scale_to_kl'):
            raise ValueError(f"'target_kl' is {target_kl}, but the hardness of "
                             f"{recommender.criterion.__class__.__name__} can't be scaled; leave "
                             f"it out, or use AdvInfoNCE")
        super().__init__(recommender, lr, optimizer, adversary)
        self.adversary_updater = Updater(adversary, adversary_lr, argument='adversary_lr')
        self.passes = 0
        self.spent = False

    def due(self, epoch: int) -> bool:
        r"""Whether the adversary takes a pass before ``epoch``."""
        return (not self.spent and self.passes < self.max_passes and epoch > self.adversary_warmup
                and (epoch + self.offset) % self.interval == 0)

    def on_epoch_start(self, epoch: int, loader: InteractionLoader,
                       progress: bool = False) -> dict[str, float]:
        super().on_epoch_start(epoch, loader, progress)
        if not self.due(epoch):
            return {}
        begin = time.perf_counter()
        log = self.adversary_pass(loader, progress)
        if self.target_kl is not None:
            log.update(self.recommender.criterion.scale_to_kl(
                self.target_kl, itertools.islice(loader, _KL_BATCHES),
                self.recommender.backbone.x))
        log['adversary_seconds'] = time.perf_counter() - begin
        self.passes += 1
        self.spent = self.max_kl is not None and log['kl_uniform_p'] > self.max_kl
        return log

    def __call__(self, batch: Batch) -> Tensor:
        self.recommender.current_epoch()  # Without epochs, the adversary would never take a pass.
        return super().__call__(batch)

    def adversary_pass(self, loader: InteractionLoader, progress: bool = False) -> dict[str, float]:
        r"""One pass of the adversary over ``loader``; returns the means of what it logs."""
        with torch.no_grad():
            z = self.recommender.similarity.prepare(self.recommender.backbone())
        totals: dict[str, Tensor] = {}
        bar = tqdm(loader, desc='adversary', leave=False, disable=not progress)
        for batch in bar:
            log = self.adversary_step(batch, z)
            for key, value in log.items():
                totals[key] = totals.get(key, 0.) + value
        return {key: float(value) / len(loader) for key, value in totals.items()}

    def adversary_step(self, batch: Batch, z: Embeddings) -> dict[str, Tensor]:
        r"""Updates the adversary once; the embeddings ``z`` of the recommender are fixed."""
        loss, log = self.recommender.adversary_loss(batch, z)
        self.adversary_updater(loss)
        return {'adversary_loss': loss.detach(), **log}

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state['passes'], state['spent'] = self.passes, self.spent
        state['adversary_optimizer'] = self.adversary_updater.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.passes, self.spent = state['passes'], state['spent']
        self.adversary_updater.load_state_dict(state['adversary_optimizer'])
