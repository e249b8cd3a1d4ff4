r"""The cosine contrastive loss."""
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Cosine
from pyg_advcf.registry import METHODS


@METHODS.register('ccl')
class CCL(Recommender):
    r"""Cosine contrastive loss of SimpleX, `arXiv 2109.12613 <https://arxiv.org/abs/2109.12613>`_.

    Args:
        backbone: Computes the embeddings.
        data: Interactions (every method takes them; this one reads nothing from them).
        weight: :math:`w \geq 0` of the mean over the negatives.
        margin: :math:`\mu \in [-1, 1]`.
        l2: Weight of the L2 term on users and positives.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> from pyg_advcf import InteractionLoader, MF, Step, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = CCL(MF(data, dim=8), data, weight=10.)
        >>> loader = InteractionLoader(data, num_neg=8)
        >>> history = fit(Step(method), loader, epochs=2, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        weight: float = 1.,
        margin: float = 0.4,
        l2: float = 1e-5,
    ) -> None:
        super().__init__(backbone, Cosine(1.), criteria.CCL(weight, margin), l2)
