r"""What all methods share: backbone, similarity and criterion composed into ``forward(batch)``."""
from collections.abc import Callable
from typing import Any, Optional

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pyg_advcf.criteria import Criterion, EmbeddingL2
from pyg_advcf.interactions import Batch, Embeddings
from pyg_advcf.nn import Backbone, Recommendations, Similarity


class Recommender(nn.Module):
    r"""A trainable method: ``method(batch) -> loss``, ``method.recommend(user_ids, k)``.

    Args:
        backbone: Computes the embeddings.
        similarity: Scores pairs, in training and in ranking.
        criterion: Turns scores into a loss.
        l2: Weight of :class:`~pyg_advcf.criteria.EmbeddingL2`.
        l2_negatives: Whether negatives count there.

    Attributes:
        pairwise: Whether the recipe is published with one negative per positive and dot products.
        needs_negatives: Whether the loader's negatives are looked at; else one is the cheapest.
        skip_input: Whether the readout of the recipe leaves the tables themselves out, as
            ``LightGCN(skip_input=True)`` does.
        needs_layers: Whether the backbone has to propagate, layer by layer.
        needs_backbone: The class of backbone that has what the method reads.
        single_pass: Whether a call records something, so that a step may make only one.
        trained_by: The step that moves the second player, if there is one.
    """
    pairwise = False
    needs_negatives = True
    skip_input = False
    needs_layers = False
    needs_backbone: type[Backbone] = Backbone
    single_pass = False
    trained_by = 'Step'

    def __init__(
        self,
        backbone: Backbone,
        similarity: Similarity,
        criterion: Criterion,
        l2: float = 0.,
        l2_negatives: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.similarity = similarity
        self.criterion = criterion
        self.l2 = EmbeddingL2(l2, l2_negatives)

    def second_player(self) -> list[nn.Parameter]:
        r"""Parameters with an objective of their own; ``trained_by`` moves them."""
        return []

    @classmethod
    def supports(cls, backbone: type[Backbone]) -> bool:
        r"""Whether the method runs over backbones of this class; else its constructor says why."""
        return issubclass(backbone, cls.needs_backbone) and (
            backbone.layered or not cls.needs_layers)

    def on_epoch_start(self, epoch: int) -> None:
        r"""Called by :func:`~pyg_advcf.training.fit` before each (0-based) epoch."""

    def forward(self, batch: Batch) -> Tensor:
        r"""The loss of a batch."""
        z, local = self.backbone.for_batch(batch)
        pos, neg = self.similarity(z, local)
        return self.regularised(self.criterion(pos, neg, batch), batch, z)

    def regularised(self, loss: Tensor, batch: Batch, z: Optional[Embeddings] = None) -> Tensor:
        r"""Adds the L2 term of the batch's rows, and what the backbone adds to any loss.

        Args:
            loss: The loss of the batch.
            batch: As the loader gave it.
            z: The embeddings behind the loss, which spare a backbone a second pass.
        """
        penalty = self.backbone.penalty(batch, z)
        loss = loss if penalty is None else loss + penalty
        return loss if self.l2.weight == 0. else loss + self.l2(self.backbone.x, batch)

    @torch.no_grad()
    def embeddings(self) -> Embeddings:
        r"""Final embeddings in evaluation mode, detached."""
        training = self.training
        z = self.eval().backbone()
        self.train(training)
        return z

    def recommend(self, user_ids: Tensor, k: int = 10, **kwargs) -> Recommendations:
        r"""The ``k`` best items of each user; see :meth:`pyg_advcf.nn.Backbone.recommend`."""
        return self.backbone.recommend(user_ids, k, similarity=self.similarity,
                                       z=self.embeddings(), **kwargs)


class AdversarialRecommender(Recommender):
    r"""A method with a second player, for :class:`~pyg_advcf.training.MinMaxStep`."""
    trained_by = 'MinMaxStep'

    def second_player(self) -> list[nn.Parameter]:
        return self.adversary_parameters()

    def adversary_parameters(self) -> list[nn.Parameter]:
        r"""The parameters that the second player moves."""
        raise NotImplementedError

    def adversary_loss(self, batch: Batch, z: Embeddings) -> tuple[Tensor, dict[str, Tensor]]:
        r"""What the second player minimises on a batch, and what is worth logging of it.

        Args:
            batch: A fresh batch.
            z: Embeddings of the frozen recommender, computed and put through
                :meth:`~pyg_advcf.nn.Similarity.prepare` once per pass.
        """
        raise NotImplementedError


class _At(nn.Module):
    r"""Runs a function of a module, for calls with other parameters."""
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, function: Callable[[Any], Tensor]) -> Tensor:
        return function(self.module)


class BilevelRecommender(Recommender):
    r"""A method whose instance weights learn from held-out pairs.

    For :class:`~pyg_advcf.training.BilevelStep`. The lower level :math:`\Theta` minimises
    :math:`\frac{1}{B} \sum_k w_k(\Lambda)\, \ell_k(\Theta) + \ldots`, the upper level
    :math:`\Lambda` the plain loss :math:`F` of held-out pairs at the :math:`\Theta` that follows.
    """
    trained_by = 'BilevelStep'

    def second_player(self) -> list[nn.Parameter]:
        return self.upper_parameters()

    def upper_parameters(self) -> list[nn.Parameter]:
        r"""The parameters :math:`\Lambda` behind the weights; none if nothing learns weights."""
        raise NotImplementedError

    def views(self, batch: Batch, outer: Optional[Batch] = None,
              delta: Optional[Embeddings] = None) -> Any:
        r"""What both levels need of a batch, computed once.

        Args:
            batch: A training batch.
            outer: A batch of held-out pairs, whose embeddings are computed along.
            delta: The perturbation, if it shall not be found anew.
        """
        raise NotImplementedError

    def weights(self, views: Any) -> Tensor:
        r"""The weights :math:`w_k`, with gradients to :math:`\Lambda` alone, ``[B]``."""
        raise NotImplementedError

    def instance_losses(self, views: Any) -> Tensor:
        r"""What is weighted, :math:`\ell_k`, with gradients to :math:`\Theta`, ``[B]``."""
        raise NotImplementedError

    def outer_weights(self, views: Any) -> tuple[Tensor, Tensor]:
        r"""Unnormalised weights and losses of the held-out pairs, ``[B]`` each."""
        raise NotImplementedError

    def outer_loss(self, batch: Batch) -> Tensor:
        r"""The plain loss :math:`F` of a batch of held-out pairs, at the parameters as they are."""
        raise NotImplementedError

    def loss(self, views: Any) -> Tensor:
        r"""What the lower level minimises, with the weights as they are now."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> Tensor:
        return self.loss(self.views(batch))

    def hypergradient(self, views: Any, batch: Batch, outer: Batch, lr: float,
                      finite_difference: bool = False) -> tuple[Tensor, Tensor]:
        r"""What each weight does to the loss of held-out pairs, one SGD step ahead.

        .. math::
            \Theta' = \Theta - \eta\, \nabla_\Theta \frac{1}{B} \sum_k w_k \ell_k, \qquad
            \frac{\partial F(\Theta')}{\partial w_k} = -\frac{\eta}{B}
            \langle \nabla_\Theta \ell_k, \nabla F(\Theta') \rangle

        Perturbations are held fixed. No ``.grad`` is touched.

        Args:
            views: Of both batches.
            batch: The training batch.
            outer: Held-out pairs.
            lr: :math:`\eta`.
            finite_difference: Whether to take the inner products from the losses at
                :math:`\Theta \pm \xi \nabla F`, :math:`\xi = 0.01 / \|\nabla F\|`, in place of
                a second derivative: less memory, not exact.

        Returns:
            :math:`F(\Theta')` and the derivatives, ``[B]``, both detached.
        """
        theirs = {id(p) for p in self.upper_parameters()}
        named = [(name, p) for name, p in self.named_parameters()
                 if id(p) not in theirs and p.requires_grad]
        theta = [p for _, p in named]

        def at(values: list[Tensor], function: Callable[[Any], Tensor]) -> Tensor:
            swapped = {f'module.{name}': t for (name, _), t in zip(named, values)}
            return functional_call(_At(self), swapped, (function, ))

        def grad(out: Tensor, at: list[Tensor], **kwargs: Any) -> list[Tensor]:
            found = torch.autograd.grad(out, at, allow_unused=True, **kwargs)
            return [torch.zeros_like(t) if g is None else g for g, t in zip(found, at)]

        with torch.enable_grad():
            weight = self.weights(views).detach().requires_grad_()
            inner = (weight * self.instance_losses(views)).mean()
            first = grad(inner, theta, retain_graph=True, create_graph=not finite_difference)
            ahead = [(t - lr * g).detach().requires_grad_() for t, g in zip(theta, first)]
            value = at(ahead, lambda method: method.outer_loss(outer))
            v = grad(value, ahead)
            if not finite_difference:
                product = torch.stack([(g * d).sum() for g, d in zip(first, v)]).sum()
                along, = torch.autograd.grad(product, weight, retain_graph=True)
                return value.detach(), -lr * along
        length = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(d) for d in v]))
        size = torch.where(length > 0, 0.01 / length, 0.)
        with torch.no_grad():
            plus, minus = (
                at([t + sign * size * d for t, d in zip(theta, v)],
                   lambda method: method.instance_losses(method.views(batch, outer, views.delta)))
                for sign in (1., -1.))
            slope = torch.where(size > 0, (plus - minus) / (2 * size), 0.)
        return value.detach(), -lr * slope / slope.numel()
