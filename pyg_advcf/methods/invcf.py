r"""InvCF."""
from torch import Tensor

from pyg_advcf import criteria
from pyg_advcf.batch import Batch
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Encoder
from pyg_advcf.registry import METHODS


@METHODS.register('invcf')
class InvCF(Recommender):
    r"""InvCF, InfoNCE on preferences that are separated from popularity.

    Next to the backbone's tables there is one of popularity, with a row for each training degree,
    which goes through the same backbone. Ranking uses the preferences only. See
    :class:`~pyg_advcf.criteria.InvCFLoss`.

    Args:
        backbone: Computes the embeddings.
        temperature: :math:`\tau > 0`.
        popularity: :math:`\lambda_1 \geq 0`, weight of the loss of the popularity embeddings.
        independence: :math:`\lambda_2 \geq 0`, weight of the distance correlation.
        invariance: :math:`\lambda_3 \geq 0`, weight of the losses with both side by side.
        factors: Blocks of columns whose correlation is measured.
        l2: Weight of the L2 term on users and positives.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> from pyg_advcf import InteractionLoader, LightGCN, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = InvCF(LightGCN(data, dim=8), independence=0.1)
        >>> loader = InteractionLoader(data, num_neg=8)
        >>> history = fit(method, loader, epochs=2, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    def __init__(
        self,
        backbone: Backbone,
        temperature: float = 0.1,
        popularity: float = 1e-5,
        independence: float = 0.,
        invariance: float = 1e-4,
        factors: int = 4,
        l2: float = 1e-5,
    ) -> None:
        criterion = criteria.InvCFLoss(temperature, popularity, independence, invariance, factors)
        super().__init__(backbone, criterion, criterion.similarity, l2)
        if independence > 0:
            criterion.check_width(backbone.dim)
        self.popularity = criteria.PopularityEmbedding(*backbone.degrees, backbone.dim)

    def forward(self, batch: Batch) -> Tensor:
        encode = self.backbone.encoder(batch)
        z = encode()
        return self._loss(z, encode, batch) + self.penalty(batch, z)

    def ranking_loss(self, z: Embeddings, batch: Batch) -> Tensor:
        return self._loss(z, self.backbone.encoder(*(() if z.is_complete else (batch, ))), batch)

    def _loss(self, z: Embeddings, encode: Encoder, batch: Batch) -> Tensor:
        return self.criterion(z, encode(self.popularity.rows_like(encode.x)), batch)
