r"""What all methods share: backbone, similarity and criterion composed into ``forward(batch)``."""
from typing import Optional

import torch
from torch import Tensor, nn

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
        needs_layers: Whether the backbone has to propagate, layer by layer.
        needs_backbone: The class of backbone that has what the method reads.
        single_pass: Whether a call records something, so that a step may make only one.
    """
    pairwise = False
    needs_layers = False
    needs_backbone: type[Backbone] = Backbone
    single_pass = False

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
