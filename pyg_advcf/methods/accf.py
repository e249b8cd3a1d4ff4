r"""ACCF: adversarial contrastive views and learned instance weights."""
from typing import NamedTuple, Optional

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf._checks import check_count, check_name, check_positive
from pyg_advcf.interactions import Batch, Embeddings
from pyg_advcf.methods.apr import Shift, shifted
from pyg_advcf.methods.recommender import BilevelRecommender
from pyg_advcf.methods.simgcl import check_layers
from pyg_advcf.nn import Backbone, Dot
from pyg_advcf.registry import METHODS
from pyg_advcf.transforms import FastGradient, Perturbation

WEIGHTINGS = ('none', 'joint', 'bilevel')


class Views(NamedTuple):
    r"""What both levels of a step share.

    Attributes:
        shift: Embeddings of the clean and of the perturbed tables.
        batch: The training batch, with ids into the tables.
    """
    shift: Shift
    batch: Batch

    @property
    def delta(self) -> Optional[Embeddings]:
        r"""The perturbation."""
        return self.shift.delta


@METHODS.register('accf')
class ACCF(BilevelRecommender):
    r"""Adversarial contrastive collaborative filtering with learned instance weights.

    Wu et al., Knowledge-Based Systems 2026.

    .. math::
        L = \frac{1}{B} \sum_k w_k \left[ \ell_k(Z) + \lambda_{adv}\, \ell_k(\tilde Z) \right]
        + \lambda_{cl}\, L_{acl}(Z, \tilde Z) + \lambda R, \qquad
        \tilde Z = f(E^0 + \Delta)

    with :math:`\ell` BPR, :math:`\Delta` the perturbation that raises the weighted BPR loss most
    (one gradient for the tables of both sides), :math:`L_{acl}`
    :class:`~pyg_advcf.criteria.ViewInfoNCE` between the two views, and weights
    :math:`w = \delta / \bar\delta` of a :class:`~pyg_advcf.criteria.WeightNetwork`. Over a linear
    backbone the perturbation is propagated on its own, and the hypergradient needs no second
    derivative of the backbone.

    The source leaves open many settings and the way the weights learn; how these choices do is on
    the page of results. The defaults are what did best there, over ``LightGCN(skip_input=True)``:
    views without learned weights, which gained nothing; the whole method is
    ``weighting='bilevel'``. Every part can be switched off: ``adversarial_weight=0,
    contrast_weight=0`` leaves weighted BPR, ``perturbation=RandomNoise(...)`` random views.

    Args:
        backbone: Computes the embeddings.
        data: Interactions (every method takes them; this one reads nothing from them).
        adversarial_weight: Weight :math:`\lambda_{adv} \geq 0` of the ranking loss of the perturbed
            view.
        contrast_weight: Weight :math:`\lambda_{cl} \geq 0` of the contrast.
        temperature: :math:`\tau > 0` of the contrast.
        epsilon: Size of the perturbation.
        norm: Of what: ``'row'``, ``'global'`` (over both tables together) or ``'sign'``; see
            :class:`~pyg_advcf.transforms.FastGradient`.
        weighting: ``'none'``; ``'bilevel'``: the weights learn from held-out pairs, by
            :class:`~pyg_advcf.training.BilevelStep`; or ``'joint'``: they learn to lower the
            training loss, together with the tables.
        perturbation: Finds the shift in place of the fast gradient.
        scope: Negatives of the contrast: ``'batch'`` or ``'all'``.
        layer: The layer whose two versions are contrasted; the final embeddings by default.
        l2: Weight of the L2 term.

    Raises:
        ValueError: If an argument is out of range or unknown, or if the backbone has no such layer.

    Example:
        >>> from pyg_advcf import InteractionLoader, LightGCN, Step, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = ACCF(LightGCN(data, dim=8, skip_input=True), data)
        >>> history = fit(Step(method), InteractionLoader(data), epochs=2, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    pairwise = True
    skip_input = True

    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        adversarial_weight: float = 0.1,
        contrast_weight: float = 0.05,
        temperature: float = 0.2,
        epsilon: float = 0.1,
        norm: str = 'row',
        weighting: str = 'none',
        perturbation: Optional[Perturbation] = None,
        scope: str = 'batch',
        layer: Optional[int] = None,
        l2: float = 1e-4,
    ) -> None:
        self.weighting = check_name('weighting', weighting, WEIGHTINGS)
        criterion = criteria.BPR()
        if weighting != 'none':
            criterion = criteria.InstanceWeighted(criterion, backbone.dim)
        super().__init__(backbone, Dot(), criterion, l2, l2_negatives=True)
        self.adversarial_weight = check_positive('adversarial_weight', adversarial_weight,
                                                 zero=True)
        self.contrast_weight = check_positive('contrast_weight', contrast_weight, zero=True)
        self.contrast = criteria.ViewInfoNCE(temperature, scope)
        self.perturbation = FastGradient(epsilon, norm) if perturbation is None else perturbation
        self.layer = layer
        if layer is not None:
            check_layers(backbone)
            if check_count('layer', layer, minimum=0) > backbone.num_layers:
                raise ValueError(f"'layer' is {layer}, but the backbone has {backbone.num_layers}")
        # The shortcut of `hypergradient` moves the tables and nothing else.
        tables = {id(t) for t in backbone.x[:2]}
        self._only_tables = all(id(p) in tables for p in backbone.parameters())

    def upper_parameters(self) -> list[nn.Parameter]:
        return list(self.criterion.network.parameters()) if self.weighting == 'bilevel' else []

    def _each(self, z: Embeddings, batch: Batch) -> Tensor:
        r"""The plain loss of every row, ``[B]``."""
        return criteria.functional.bpr(*self.similarity(z, batch), 'none')

    def views(self, batch: Batch, outer: Optional[Batch] = None,
              delta: Optional[Embeddings] = None) -> Views:
        fixed: list[Tensor] = []

        def objective(z: Embeddings, local: Batch) -> Tensor:
            if self.weighting == 'none':
                return self._each(z, local).mean()
            if not fixed:  # The weights at the clean point, where the search begins.
                fixed.append(self.criterion.weight(z, local).detach())
            return (fixed[0] * self._each(z, local)).mean()

        needed = self.adversarial_weight > 0 or self.contrast_weight > 0
        f = None
        if self.layer is not None:
            def f(x: Embeddings) -> Embeddings:
                return self.backbone(x=x, return_layers=True)
        elif self.contrast.scope == 'all' and self.contrast_weight > 0:
            def f(x: Embeddings) -> Embeddings:
                return self.backbone(x=x)
        return Views(shifted(self.backbone, batch, objective,
                             self.perturbation if needed else None, f, delta, outer), batch)

    def weights(self, views: Views) -> Tensor:
        if self.weighting == 'none':
            return torch.ones_like(views.shift.batch.user, dtype=views.shift.z.user.dtype)
        return self.criterion.weight(views.shift.z, views.shift.batch,
                                     through_mean=self.weighting == 'bilevel')

    def _instance_losses(self, z: Embeddings, moved: Optional[Embeddings], batch: Batch) -> Tensor:
        losses = self._each(z, batch)
        if self.adversarial_weight > 0:
            losses = losses + self.adversarial_weight * self._each(moved, batch)
        return losses

    def instance_losses(self, views: Views) -> Tensor:
        return self._instance_losses(views.shift.z, views.shift.moved, views.shift.batch)

    def outer_weights(self, views: Views) -> tuple[Tensor, Tensor]:
        z = views.shift.z
        return self.criterion.network(z, views.shift.also), self._each(z, views.shift.also).detach()

    def outer_loss(self, batch: Batch) -> Tensor:
        return self._each(*self.backbone.for_batch(batch)).mean()

    def loss(self, views: Views) -> Tensor:
        weight = self.weights(views)
        if self.weighting != 'joint':
            weight = weight.detach()
        loss = (weight * self.instance_losses(views)).mean()
        if self.contrast_weight > 0:
            z, moved = views.shift.z, views.shift.moved
            if self.layer is not None:
                z, moved = (Embeddings(*v.layers[self.layer]) for v in (z, moved))
            loss = loss + self.contrast_weight * self.contrast(z, moved, views.shift.batch)
        return self.regularised(loss, views.batch, views.shift.z)

    def hypergradient(self, views: Views, batch: Batch, outer: Batch, lr: float,
                      finite_difference: bool = False) -> tuple[Tensor, Tensor]:
        r"""See :meth:`BilevelRecommender.hypergradient`.

        Over a linear backbone everything but two sums over the graph and their transposes happens
        on the embeddings of the batch: :math:`\langle \nabla_\Theta \ell_k, v \rangle` is the
        derivative of :math:`\ell_k` along :math:`f(v)`.
        """
        if finite_difference or not (self.backbone.linear and self._only_tables) or (
                views.shift.also is None):
            return super().hypergradient(views, batch, outer, lr, finite_difference)
        z, moved, batch, outer, x, f, _ = views.shift
        with torch.enable_grad():
            weight = self.weights(views).detach().requires_grad_()
            used = [z, moved] if self.adversarial_weight > 0 else [z]
            points = [Embeddings(*(t.detach().requires_grad_() for t in v[:2])) for v in used]
            losses = self._instance_losses(points[0], points[-1], batch)
            first = torch.autograd.grad((weight * losses).mean(),
                                        [t for p in points for t in p[:2]], create_graph=True)
            # The shift is held fixed, so both views move with the tables alike.
            first = [sum(first[side::2]) for side in (0, 1)]
            step = torch.autograd.grad(z[:2], x[:2], [g.detach() for g in first],
                                       retain_graph=True)
            with torch.no_grad():
                moves = f(Embeddings(*step))
            ahead = Embeddings(*((t - lr * m).detach().requires_grad_()
                                 for t, m in zip(z[:2], moves[:2])))
            value = self._each(ahead, outer).mean()
            v = torch.autograd.grad(z[:2], x[:2], torch.autograd.grad(value, ahead[:2]),
                                    retain_graph=True)
            with torch.no_grad():
                along = f(Embeddings(*v))
            slope, = torch.autograd.grad(sum((g * d).sum() for g, d in zip(first, along[:2])),
                                         weight)
        return value.detach(), -lr * slope
