r"""InvCF."""
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf.interactions import Batch, Embeddings, degrees
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Cosine
from pyg_advcf.registry import METHODS


@METHODS.register('invcf')
class InvCF(Recommender):
    r"""InvCF, InfoNCE on preferences that popularity is held apart from.

    Next to the backbone's tables there is one of popularity, with a row for each training degree,
    which goes through the same backbone. Ranking is by the preferences alone. See
    :class:`~pyg_advcf.criteria.InvCF`.

    Args:
        backbone: Computes the embeddings.
        data: Interactions; their degrees are the popularity.
        temperature: :math:`\tau > 0`.
        popularity: :math:`\lambda_1 \geq 0`, weight of the loss of the popularity embeddings.
        independence: :math:`\lambda_2 \geq 0`, weight of the distance correlation.
        invariance: :math:`\lambda_3 \geq 0`, weight of the losses with both side by side.
        factors: Blocks of columns whose correlation is measured.
        l2: Weight of the L2 term on users and positives.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> from pyg_advcf import InteractionLoader, LightGCN, Step, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = InvCF(LightGCN(data, dim=8), data, independence=0.1)
        >>> loader = InteractionLoader(data, num_neg=8)
        >>> history = fit(Step(method), loader, epochs=2, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        temperature: float = 0.1,
        popularity: float = 1e-5,
        independence: float = 0.,
        invariance: float = 1e-4,
        factors: int = 4,
        l2: float = 1e-5,
    ) -> None:
        criterion = criteria.InvCF(temperature, popularity, independence, invariance, factors)
        super().__init__(backbone, Cosine(temperature), criterion, l2)
        self.popularity = criteria.PopularityEmbedding(*degrees(data), backbone.dim)

    def _table(self, x: Embeddings, batch: Batch, local: Batch) -> Embeddings:
        r"""The rows of popularity that belong to the rows ``x``."""
        sides = []
        for side, ours, whole, ids, places in (
                ('user', x.user, self.backbone.x.user, batch.user, local.user),
                ('item', x.item, self.backbone.x.item,
                 torch.cat([batch.item, batch.neg_item.reshape(-1)]),
                 torch.cat([local.item, local.neg_item.reshape(-1)]))):
            bucket = getattr(self.popularity, f'{side}_bucket')
            if ours is not whole:  # Then each of its rows is one that the batch names.
                bucket = bucket.new_zeros(ours.size(0)).index_copy(0, places, bucket[ids])
            sides.append(F.embedding(bucket, getattr(self.popularity, side).weight))
        return Embeddings(*sides)

    def forward(self, batch: Batch) -> Tensor:
        x, f, local = self.backbone.local(batch)
        z, p = f(x), f(self._table(x, batch, local))
        return self.regularised(self.criterion(z, p, local), batch, z)
