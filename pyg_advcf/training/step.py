r"""The training step with one optimizer."""
from collections.abc import Sequence
from typing import Any, Optional

from torch import Tensor

from pyg_advcf._checks import check_instance
from pyg_advcf.batch import Batch
from pyg_advcf.loader import InteractionLoader
from pyg_advcf.methods.recommender import Recommender, described
from pyg_advcf.record import Recorded
from pyg_advcf.training.updater import BuildOptimizer, Updater


def check_recommender(recommender: Recommender) -> Recommender:
    r"""Returns ``recommender`` if it is one."""
    remedy = 'a Recommender, for example pyg_advcf.methods.bpr(backbone)'
    if hasattr(recommender, '_orig_mod'):
        remedy += "; compile it in place, recommender.compile(), in place of torch.compile"
    return check_instance('recommender', recommender, Recommender, remedy)


def check_same_nodes(argument: str, loader: InteractionLoader, recommender: Recommender) -> None:
    r"""Raises if the loader draws from other nodes than the recommender has, or elsewhere."""
    backbone = recommender.backbone
    for what in ('num_users', 'num_items'):
        theirs, ours = getattr(loader, what), getattr(backbone, what)
        if theirs != ours:
            raise ValueError(f"'{argument}' has {theirs} {what[4:]}, but the recommender's "
                             f"backbone has {ours}; build both from the same data")
    device = backbone.x.user.device
    if loader.user.device != device:
        raise ValueError(f"'{argument}' draws on {loader.user.device}, but the recommender is on "
                         f"{device}; move both, data.to({str(device)!r}) before the loader is "
                         f"built, or recommender.to({str(loader.user.device)!r})")


class Step(Recorded):
    r"""One optimizer on all parameters of a recommender: ``step(batch)`` updates them once.

    The recommender says which losses there are, the step who is updated when, and
    :func:`~pyg_advcf.training.fit` counts the epochs.

    Args:
        recommender: What is trained.
        lr: Learning rate of Adam.
        optimizer: Builds another optimizer from the list of parameters, in place of Adam:
            ``lambda parameters: torch.optim.SGD(parameters, lr=0.1)``.

    Attributes:
        warmup_epochs: Epochs of another training before the method begins.

    Raises:
        ValueError: If ``recommender`` is not one, ``lr`` is not above 0, ``optimizer`` not a
            function that returns an optimizer, or if the recommender has an adversary or an outer
            problem, which this step would leave at their initial weights.

    Example:
        >>> from pyg_advcf import MF, methods
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=99, num_items=40)[0]
        >>> step = Step(methods.bpr(MF(data, dim=8)), lr=1e-2)
        >>> losses = [step(batch) for batch in InteractionLoader(data)]
    """
    def __init__(
        self,
        recommender: Recommender,
        lr: float = 1e-3,
        optimizer: Optional[BuildOptimizer] = None,
        _others: Sequence[Tensor] = (),
    ) -> None:
        # `_others` are the parameters that a subclass updates itself.
        check_recommender(recommender)
        others = {id(p) for p in _others}
        for parameters, what, remedy in (
                (recommender.adversary_parameters(), 'an adversary', 'MinMaxStep'),
                (recommender.outer_parameters(), 'an outer problem', 'BilevelStep')):
            if any(id(p) not in others for p in parameters):
                raise ValueError(f"'recommender' has {what}, which {self.__class__.__name__} would "
                                 f"leave at its initial weights; use {remedy}, or pass the "
                                 f"recommender itself to 'fit'")
        self.recommender = recommender
        self.updater = Updater([p for p in recommender.parameters()
                                if p.requires_grad and id(p) not in others], lr, optimizer)
        self.warmup_epochs = recommender.warmup_epochs

    def on_epoch_start(self, epoch: int, loader: InteractionLoader,
                       progress: bool = False) -> dict[str, float]:
        r"""Prepares the 0-based ``epoch``; returns what is worth logging."""
        self.recommender.on_epoch_start(epoch)
        return {}

    def __call__(self, batch: Batch) -> Tensor:
        r"""Updates the parameters once; returns the loss, detached and still on the device."""
        loss = self.recommender(batch)
        self.updater(loss)
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        r"""Everything a resumed run needs to continue as if it had never stopped."""
        return {'recommender': self.recommender.state_dict(),
                'optimizer': self.updater.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.recommender.load_state_dict(state['recommender'])
        self.updater.load_state_dict(state['optimizer'])

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}({described(self.recommender)})'
