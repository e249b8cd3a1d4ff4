r"""APR: adversarial personalised ranking."""
import math
from collections.abc import Callable
from typing import NamedTuple, Optional

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf._checks import check_count
from pyg_advcf.interactions import Batch, Embeddings
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Dot
from pyg_advcf.nn.backbone import Map
from pyg_advcf.registry import METHODS
from pyg_advcf.transforms import FastGradient, Perturbation


class Shift(NamedTuple):
    r"""Final embeddings before and after a shift of the layer-0 tables.

    Attributes:
        z: Before.
        moved: After; ``None`` without a perturbation.
        batch: The batch, with ids into these.
        also: The pairs computed along, likewise; ``None`` without.
        x: The tables, or those rows of them that ``f`` takes.
        f: What maps tables to final embeddings.
        delta: The shift of ``x``.
    """
    z: Embeddings
    moved: Optional[Embeddings]
    batch: Batch
    also: Optional[Batch]
    x: Embeddings
    f: Map
    delta: Optional[Embeddings]


def _plus(a: Embeddings, b: Embeddings) -> Embeddings:
    r"""The sum, layer by layer where there are layers."""
    return Embeddings(a.user + b.user, a.item + b.item, tuple(
        (user + more_user, item + more_item)
        for (user, item), (more_user, more_item) in zip(a.layers, b.layers)))


def _joined(a: Batch, b: Batch) -> Batch:
    if a.neg_item.shape[1:] != b.neg_item.shape[1:] or a.neg_item.dim() == 1:
        raise ValueError(f"'neg_item' has shapes {list(a.neg_item.shape)} in the training batch "
                         f"and {list(b.neg_item.shape)} in the held-out one, but both need the "
                         f"same [B, N]; give both loaders one 'num_neg', and no in-batch "
                         f"negatives")
    return Batch(*(torch.cat([x, y]) for x, y in zip(a[:4], b[:4])))


def _parted(batch: Batch, size: int) -> tuple[Batch, Batch]:
    return Batch(*(t[:size] for t in batch[:4])), Batch(*(t[size:] for t in batch[:4]))


def shifted(
    backbone: Backbone,
    batch: Batch,
    objective: Callable[[Embeddings, Batch], Tensor],
    perturbation: Optional[Perturbation],
    f: Optional[Map] = None,
    delta: Optional[Embeddings] = None,
    also: Optional[Batch] = None,
) -> Shift:
    r"""Final embeddings before and after a shift of the layer-0 tables.

    Over a linear backbone :math:`f(E + \Delta) = f(E) + f(\Delta)`: the gradient costs one backward
    pass and the shifted embeddings one forward pass of :math:`\Delta`, and the gradient of both
    sets goes back together. Any other backbone is evaluated anew.

    Args:
        backbone: Computes the embeddings.
        batch: What the objective is measured on.
        objective: Maps embeddings, and the batch with ids into them, to the scalar to raise.
        perturbation: Finds :math:`\Delta`; without one there is no shift.
        f: What maps the whole tables to final embeddings, if not just those that the batch reads
            are wanted.
        delta: :math:`\Delta`, if it is known.
        also: Pairs whose embeddings are wanted too; the objective does not see them.

    Returns:
        Both sets of embeddings, with gradients to the tables.

    Raises:
        ValueError: If ``also`` has another number of negatives, or shared ones.
    """
    read = batch if also is None else _joined(batch, also)
    with torch.enable_grad():
        if f is not None:
            x, local = backbone.x, read
        elif perturbation is None or perturbation.needs_objective:
            x, f, local = backbone.local(read)
        else:  # Noise of a given size is spread over the tables, not over the rows of the batch.
            x, f, local = Backbone.local(backbone, read)
        z = f(x)
    local, beside = (local, None) if also is None else _parted(local, batch.user.numel())
    if perturbation is None:
        return Shift(z, None, local, beside, x, f, None)
    whole = all(a is b for a, b in zip(x[:2], backbone.x[:2]))

    def gradient(shift: Optional[Embeddings]) -> Embeddings:
        # The derivative at `x` is at hand, and that of a linear map is the same everywhere.
        known = backbone.linear or shift is None
        moved = z if shift is None else _plus(z, f(shift)) if known else _plus(x, shift)
        with torch.enable_grad():
            point = [t.detach().clone().requires_grad_() for t in moved[:2]]
            found = Embeddings(*point) if known else f(Embeddings(*point))
            grads = torch.autograd.grad(objective(found, local), point)
            if known:
                grads = torch.autograd.grad(z[:2], x[:2], grads, retain_graph=True)
        return Embeddings(*grads)

    if delta is None:
        delta = perturbation.from_gradient(x, gradient, batch if whole else local)
    if not backbone.linear:
        return Shift(z, f(_plus(x, delta)), local, beside, x, f, delta)
    with torch.no_grad():
        shift = f(delta)
    return Shift(z, _plus(z, shift), local, beside, x, f, delta)


@METHODS.register('apr')
class APR(Recommender):
    r"""Adversarial personalised ranking, `arXiv 1808.03908 <https://arxiv.org/abs/1808.03908>`_.

    .. math::
        L = L_{BPR}(\Theta) + \alpha\, L_{BPR}(\Theta + \Delta) + \lambda R, \qquad
        \Delta = \arg\max_{\|\Delta\| \leq \epsilon} L_{BPR}(\Theta + \Delta)

    to first order, on the same batch, with :math:`\Delta` held fixed.

    Args:
        backbone: Computes the embeddings.
        data: Interactions (every method takes them; this one reads nothing from them).
        alpha: Weight :math:`\alpha \geq 0` of the adversarial loss; ``math.inf`` leaves it alone.
        epsilon: Size of the shift; 0.5 is published, per row.
        norm: ``'row'`` (the authors' code), ``'global'`` (their formula) or ``'sign'``.
        start: Epochs of plain BPR before; the published runs start from a trained BPR.
        restrict_to_batch: Whether to shift only the rows that the batch names.
        perturbation: Finds the shift in place of the fast gradient of the arguments above.
        l2: Weight of the L2 term, on the clean tables.

    Raises:
        ValueError: If ``alpha`` or ``epsilon`` is negative or ``norm`` unknown.

    Example:
        >>> from pyg_advcf import InteractionLoader, MF, Step, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = APR(MF(data, dim=8), data, epsilon=0.1, start=1)
        >>> history = fit(Step(method), InteractionLoader(data), epochs=3, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    pairwise = True

    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        alpha: float = 1.,
        epsilon: float = 0.5,
        norm: str = 'row',
        start: int = 0,
        restrict_to_batch: bool = False,
        perturbation: Optional[Perturbation] = None,
        l2: float = 1e-4,
    ) -> None:
        super().__init__(backbone, Dot(), criteria.BPR(), l2, l2_negatives=True)
        if not alpha >= 0:
            raise ValueError(f"'alpha' is {alpha!r}, but needs to be at least 0; math.inf leaves "
                             f"the adversarial loss alone")
        self.alpha = alpha
        self.start = check_count('start', start, minimum=0)
        self.perturbation = (FastGradient(epsilon, norm, restrict_to_batch=restrict_to_batch)
                             if perturbation is None else perturbation)
        self.epoch = 0

    def on_epoch_start(self, epoch: int) -> None:
        self.epoch = epoch

    def _ranking_loss(self, z: Embeddings, batch: Batch) -> Tensor:
        return self.criterion(*self.similarity(z, batch), batch)

    def forward(self, batch: Batch) -> Tensor:
        if self.alpha == 0 or self.epoch < self.start:
            return super().forward(batch)
        z, moved, local, *_ = shifted(self.backbone, batch, self._ranking_loss, self.perturbation)
        loss = self._ranking_loss(moved, local)
        if not math.isinf(self.alpha):
            loss = self._ranking_loss(z, local) + self.alpha * loss
        return self.regularised(loss, batch, z)
