r"""DirectAU."""
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf.interactions import Batch
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Cosine
from pyg_advcf.registry import METHODS


@METHODS.register('directau')
class DirectAU(Recommender):
    r"""DirectAU, alignment and uniformity as the loss, `arXiv 2206.12811
    <https://arxiv.org/abs/2206.12811>`_.

    It looks at no negatives: a loader with ``num_neg=1`` is the cheapest. Ranking is by cosine.

    Args:
        backbone: Computes the embeddings.
        data: Interactions (every method takes them; this one reads nothing from them).
        gamma: Weight :math:`\gamma \geq 0` of the uniformity; 0.2 to 10 are published.
        unique: Whether a node that a batch repeats counts once in the uniformity.
        l2: Weight of the L2 term on users and positives.

    Raises:
        ValueError: If ``gamma`` or ``l2`` is negative.

    Example:
        >>> from pyg_advcf import InteractionLoader, MF, Step, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = DirectAU(MF(data, dim=8), data)
        >>> history = fit(Step(method), InteractionLoader(data), epochs=2, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    needs_negatives = False

    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        gamma: float = 1.,
        unique: bool = False,
        l2: float = 1e-5,
    ) -> None:
        super().__init__(backbone, Cosine(1.), criteria.DirectAU(gamma, unique), l2)

    def forward(self, batch: Batch) -> Tensor:
        z, local = self.backbone.for_batch(batch)
        return self.regularised(self.criterion(z, local), batch, z)
