r"""BPR, the pairwise baseline."""
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Dot
from pyg_advcf.registry import METHODS


@METHODS.register('bpr')
class BPR(Recommender):
    r"""Bayesian personalised ranking on dot products, `arXiv 1205.2618
    <https://arxiv.org/abs/1205.2618>`_; over :class:`~pyg_advcf.nn.LightGCN` it is LightGCN as
    published.

    Args:
        backbone: Computes the embeddings.
        data: Interactions (every method takes them; this one reads nothing from them).
        l2: Weight of the L2 term; 1e-4 in LightGCN.

    Example:
        >>> from pyg_advcf import InteractionLoader, LightGCN, Step, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = BPR(LightGCN(data, dim=8), data)
        >>> history = fit(Step(method), InteractionLoader(data), epochs=2, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    pairwise = True

    def __init__(self, backbone: Backbone, data: HeteroData, l2: float = 1e-4) -> None:
        super().__init__(backbone, Dot(), criteria.BPR(), l2, l2_negatives=True)
