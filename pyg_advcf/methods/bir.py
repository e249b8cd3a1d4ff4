r"""BIR."""
from typing import Optional

from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf.interactions import Batch, degrees
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Dot
from pyg_advcf.nn.ranking import known_among
from pyg_advcf.registry import METHODS


@METHODS.register('bir')
class BIR(Recommender):
    r"""BIR, in-batch negatives resampled by score, `arXiv 2205.14859
    <https://arxiv.org/abs/2205.14859>`_.

    On dot products. The negatives are the items of the batch, a user's training items left out;
    those of the loader are not looked at, so ``num_neg=1`` is the cheapest. See
    :class:`~pyg_advcf.criteria.BIR`.

    Args:
        backbone: Computes the embeddings.
        data: Interactions; their degrees are the popularity.
        num_draws: Draws per row; by default as many as the batch has items, which is published and
            takes most of the time of a step.
        l2: Weight of the L2 term on users and positives.

    Raises:
        ValueError: If ``num_draws`` is below 1 or ``l2`` negative.

    Example:
        >>> from pyg_advcf import InteractionLoader, MF, Step, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = BIR(MF(data, dim=8), data)
        >>> history = fit(Step(method), InteractionLoader(data), epochs=2, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    needs_negatives = False

    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        num_draws: Optional[int] = None,
        l2: float = 1e-4,
    ) -> None:
        super().__init__(backbone, Dot(), criteria.BIR(degrees(data)[1], num_draws), l2)

    def pool(self, batch: Batch) -> Tensor:
        r"""Ids of the items that all rows share as negatives."""
        return batch.item

    def forward(self, batch: Batch) -> Tensor:
        pool = self.pool(batch)
        batch = batch._replace(neg_item=pool,
                               neg_mask=~known_among(self.backbone.known, batch.user, pool))
        return super().forward(batch)
