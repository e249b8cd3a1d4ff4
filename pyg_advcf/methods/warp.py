r"""WARP."""
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Dot
from pyg_advcf.registry import METHODS


@METHODS.register('warp')
class WARP(Recommender):
    r"""WARP on dot products: the first violating negative, weighted by the estimated rank.

    The loader's ``num_neg`` is the most draws per positive. See
    :class:`~pyg_advcf.criteria.WARP`.

    Args:
        backbone: Computes the embeddings.
        data: Interactions (every method takes them; this one reads nothing from them).
        margin: :math:`\mu > 0`.
        l2: Weight of the L2 term on users and positives.

    Raises:
        ValueError: If ``margin`` is not above 0 or ``l2`` negative.

    Example:
        >>> from pyg_advcf import InteractionLoader, MF, Step, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = WARP(MF(data, dim=8), data)
        >>> loader = InteractionLoader(data, num_neg=10)
        >>> history = fit(Step(method), loader, epochs=2, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        margin: float = 1.,
        l2: float = 1e-4,
    ) -> None:
        super().__init__(backbone, Dot(), criteria.WARP(backbone.num_items, margin), l2)
