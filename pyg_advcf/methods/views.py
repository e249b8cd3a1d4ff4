r"""What methods with contrastive views share."""
from collections.abc import Iterable, Sequence
from typing import Optional

from torch import Tensor, nn

from pyg_advcf import criteria
from pyg_advcf._checks import check_positive, shown
from pyg_advcf.batch import Batch
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Encoder, Similarity

# The embeddings to rank with, and pairs of views to contrast.
Views = tuple[Embeddings, Sequence[tuple[Embeddings, Embeddings]]]


class ViewRecommender(Recommender):
    r"""A ranking loss, plus a contrast between views of the same nodes.

    .. math::
        L = L_{BPR}(Z) + \lambda \sum_{(A, B)} L_{contrast}(A, B) + \lambda_2 R

    A subclass implements :meth:`views`. By default the views are those that the backbone has of its
    own (:class:`pyg_advcf.nn.LightGCL`, :class:`pyg_advcf.nn.DCCF`).

    Args:
        backbone: Computes the embeddings.
        contrast: The criterion between two views, ``contrast(a, b, batch)``.
        weight: Weight :math:`\lambda \geq 0` of the contrast.
        criterion: The ranking loss; BPR by default.
        similarity: As of :class:`Recommender`.
        l2: Weight :math:`\lambda_2 \geq 0` of the L2 term.
        requires: As of :class:`Recommender`.

    Raises:
        ValueError: As :class:`Recommender`, or if ``weight`` is negative.
    """
    def __init__(
        self,
        backbone: Backbone,
        contrast: nn.Module,
        weight: float,
        criterion: Optional[nn.Module] = None,
        similarity: Optional[Similarity] = None,
        l2: float = 1e-4,
        requires: Iterable[str] = (),
    ) -> None:
        criterion = criteria.BPR() if criterion is None else criterion
        super().__init__(backbone, criterion, similarity, l2, requires=requires)
        if isinstance(contrast, type) or not isinstance(contrast, nn.Module):
            raise ValueError(f"'contrast' is {shown(contrast)}, but needs to be a module that is "
                             f"called as contrast(a, b, batch), such as ViewInfoNCE()")
        self.contrast = contrast
        self.weight = check_positive('weight', weight, zero=True)

    def encoder(self, batch: Batch) -> Encoder:
        r"""Encodes what the batch reads, or all nodes if the contrast compares with all."""
        whole = getattr(self.contrast, 'scope', 'batch') == 'all'
        return self.backbone.encoder(*(() if whole else (batch, )))

    def views(self, batch: Batch) -> Views:
        r"""The embeddings to rank with, and the pairs of views to contrast.

        Args:
            batch: Its rows are read; ``self.encoder(batch)`` computes them.
        """
        return self.backbone.views()

    def forward(self, batch: Batch) -> Tensor:
        z, pairs = self.views(batch)
        loss = self.ranking_loss(z, batch)
        for first, second in pairs:
            loss = loss + self.weight * self.contrast(first, second, batch)
        return loss + self.penalty(batch, z)
