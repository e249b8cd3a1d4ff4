r"""ACCF: adversarial contrastive views and learned instance weights."""
from typing import Optional, Union

import torch
from torch import Tensor, nn

from pyg_advcf import criteria
from pyg_advcf._checks import check_count, check_name, check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.methods.perturbed import Perturbed, perturbed
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone
from pyg_advcf.nn.backbone import check_backbone
from pyg_advcf.registry import METHODS
from pyg_advcf.transforms import FastGradient, Perturbation
from pyg_advcf.transforms.perturb import check_perturbation

WEIGHTINGS = ('none', 'joint', 'bilevel')


@METHODS.register('accf')
class ACCF(Recommender):
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

    The defaults are the method as published, with the settings of the article's code (the article
    itself names none): views and weights, which need the split ``outer`` of
    ``RandomSplit(val=0., outer=0.05)``. Every part is an argument: ``weighting='none'`` leaves the
    views, ``adversarial_weight=0, contrast_weight=0`` leaves weighted BPR,
    ``perturbation=RandomNoise(...)`` has random views. What did best on Amazon Pet by validation is
    ``LightGCN(skip_input=True)`` with ``temperature=0.2, epsilon=0.1, l2=1e-3``; the page of
    results compares the parts.

    Args:
        backbone: Computes the embeddings.
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
        layer: What is contrasted: the two versions of the final embeddings by default, those of one
            layer, or with ``'each'`` those of every propagated layer, averaged.
        l2: Weight of the L2 term.

    Raises:
        ValueError: If an argument is out of range or unknown, or if the backbone has no such layer.

    Example:
        >>> from pyg_advcf import InteractionLoader, LightGCN, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> from pyg_advcf.transforms import RandomSplit
        >>> data = SyntheticExposure(num_users=99, num_items=40)[0]
        >>> data = RandomSplit(val=0., outer=0.1, per_user=False)(data)
        >>> method = ACCF(LightGCN(data, dim=8, skip_input=True))
        >>> history = fit(method, InteractionLoader(data), epochs=2, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    def __init__(
        self,
        backbone: Backbone,
        adversarial_weight: float = 0.1,
        contrast_weight: float = 0.05,
        temperature: float = 0.5,
        epsilon: float = 0.5,
        norm: str = 'row',
        weighting: str = 'bilevel',
        perturbation: Optional[Perturbation] = None,
        scope: str = 'batch',
        layer: Union[int, str, None] = None,
        l2: float = 1e-4,
    ) -> None:
        check_backbone('backbone', backbone)
        self.weighting = check_name('weighting', weighting, WEIGHTINGS)
        criterion = criteria.BPR()
        if weighting != 'none':
            criterion = criteria.InstanceWeighted(criterion, backbone.dim)
        super().__init__(backbone, criterion, l2=l2,
                         requires=['layers'] if layer is not None else ())
        self.adversarial_weight = check_positive('adversarial_weight', adversarial_weight,
                                                 zero=True)
        self.contrast_weight = check_positive('contrast_weight', contrast_weight, zero=True)
        self.contrast = criteria.ViewInfoNCE(temperature, scope)
        # Built in any case, which checks its arguments.
        fast = FastGradient(epsilon, norm)
        self.perturbation = (fast if perturbation is None
                             else check_perturbation('perturbation', perturbation))
        self.layer = layer
        if isinstance(layer, str):
            check_name('layer', layer, ('each', ))
        elif layer is not None:
            if check_count('layer', layer, minimum=0) > backbone.num_layers:
                raise ValueError(f"'layer' is {layer}, but the backbone has {backbone.num_layers}")
        # The shortcut of `hypergradient` moves the tables and nothing else.
        tables = {id(t) for t in backbone.x}
        self._only_tables = all(id(p) in tables for p in backbone.parameters())

    def outer_parameters(self) -> list[nn.Parameter]:
        return list(self.criterion.network.parameters()) if self.weighting == 'bilevel' else []

    def row_losses(self, z: Embeddings, batch: Batch) -> Tensor:
        r"""The ranking loss of every row without weights, ``[B]``."""
        return criteria.functional.bpr(*self.similarity(z, batch), 'none')

    def ranking_loss(self, z: Embeddings, batch: Batch) -> Tensor:
        losses = self.row_losses(z, batch)
        return (losses if self.weighting == 'none'
                else self.criterion.weight(z, batch).detach() * losses).mean()

    def perturb(self, batch: Batch, outer_batch: Optional[Batch] = None,
                perturbation: Optional[Embeddings] = None) -> Perturbed:
        r"""The clean and the perturbed embeddings, which both levels need.

        Args:
            batch: A training batch.
            outer_batch: A batch of held-out pairs, encoded in the same pass.
            perturbation: The perturbation, if it is known; found by default.
        """
        fixed: list[Tensor] = []

        def objective(z: Embeddings) -> Tensor:
            losses = self.row_losses(z, batch)
            if self.weighting == 'none':
                return losses.mean()
            if not fixed:  # The weights at the clean point, where the search begins.
                fixed.append(self.criterion.weight(z, batch).detach())
            return (fixed[0] * losses).mean()

        contrasts = self.contrast_weight > 0
        needed = self.adversarial_weight > 0 or contrasts
        whole = self.layer is not None or (contrasts and self.contrast.scope == 'all')
        kwargs = {} if self.layer is None else {'return_layers': True}
        return perturbed(self.backbone, objective, self.perturbation if needed else None, batch,
                         outer_batch, perturbation, whole, **kwargs)

    def weights(self, found: Perturbed) -> Tensor:
        r"""The weights :math:`w_k`, with gradients only to their network, ``[B]``."""
        if self.weighting == 'none':
            return torch.ones_like(found.batch.user, dtype=found.z.user.dtype)
        return self.criterion.weight(found.z, found.batch)

    def _instance_losses(self, z: Embeddings, z_adv: Optional[Embeddings],
                         batch: Batch) -> Tensor:
        losses = self.row_losses(z, batch)
        if self.adversarial_weight > 0:
            losses = losses + self.adversarial_weight * self.row_losses(z_adv, batch)
        return losses

    def instance_losses(self, found: Perturbed) -> Tensor:
        r"""What is weighted, :math:`\ell_k`, with gradients to the tables, ``[B]``."""
        return self._instance_losses(found.z, found.z_adv, found.batch)

    def outer_weights(self, found: Perturbed) -> tuple[Tensor, Tensor]:
        r"""Unnormalised weights and losses of the held-out pairs, ``[B]`` each."""
        return (self.criterion.network(found.z, found.outer_batch),
                self.row_losses(found.z, found.outer_batch).detach())

    def outer_loss(self, batch: Batch) -> Tensor:
        r"""The plain loss of a batch of held-out pairs at the present parameters."""
        return self.row_losses(self.backbone.encode(batch), batch).mean()

    def inner_loss(self, found: Perturbed) -> Tensor:
        r"""What the tables minimise, with the weights as they are now."""
        weight = self.weights(found)
        if self.weighting != 'joint':
            weight = weight.detach()
        loss = (weight * self.instance_losses(found)).mean()
        if self.contrast_weight > 0:
            contrasts = [self.contrast(z, z_adv, found.batch)
                         for z, z_adv in self._contrasted(found)]
            loss = loss + self.contrast_weight * sum(contrasts) / len(contrasts)
        return loss + self.penalty(found.batch, found.z)

    def _contrasted(self, found: Perturbed) -> list[tuple[Embeddings, Embeddings]]:
        if self.layer is None:
            return [(found.z, found.z_adv)]
        layers = list(zip(found.z.layers, found.z_adv.layers))
        return layers[1:] if self.layer == 'each' else [layers[self.layer]]

    def forward(self, batch: Batch) -> Tensor:
        return self.inner_loss(self.perturb(batch))

    def hypergradient(self, found: Perturbed, lr: float) -> Optional[tuple[Tensor, Tensor]]:
        r"""See :func:`pyg_advcf.training.hypergradient`: a closed form, or ``None`` without one.

        Over a linear backbone everything but two sums over the graph and their transposes happens
        on the embeddings of the batch: :math:`\langle \nabla_\Theta \ell_k, v \rangle` is the
        derivative of :math:`\ell_k` along :math:`f(v)`.

        Args:
            found: Of a training batch together with held-out pairs.
            lr: Learning rate of the look-ahead.
        """
        if not (self.backbone.linear and self._only_tables) or found.outer_batch is None:
            return None
        z, batch, encode = found.z, found.batch, found.encode
        x = encode.x
        with torch.enable_grad():
            weight = self.weights(found).detach().requires_grad_()
            used = [z, found.z_adv] if self.adversarial_weight > 0 else [z]
            points = [v.with_tables(*(t.detach().requires_grad_() for t in v)) for v in used]
            losses = self._instance_losses(points[0], points[-1], batch)
            first = torch.autograd.grad((weight * losses).mean(),
                                        [t for p in points for t in p], create_graph=True)
            # The perturbation is held fixed, so both views move with the tables alike.
            first = [sum(first[side::2]) for side in (0, 1)]
            step = torch.autograd.grad(tuple(z), tuple(x), [g.detach() for g in first],
                                       retain_graph=True)
            with torch.no_grad():
                moves = encode(x.with_tables(*step))
            ahead = z.with_tables(*((t - lr * m).detach().requires_grad_()
                                    for t, m in zip(z, moves)))
            value = self.row_losses(ahead, found.outer_batch).mean()
            v = torch.autograd.grad(tuple(z), tuple(x), torch.autograd.grad(value, tuple(ahead)),
                                    retain_graph=True)
            with torch.no_grad():
                along = encode(x.with_tables(*v))
            slope, = torch.autograd.grad(sum((g * d).sum() for g, d in zip(first, along)), weight)
        return value.detach(), -lr * slope
