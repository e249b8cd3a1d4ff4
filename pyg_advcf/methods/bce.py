r"""Binary cross entropy, the pointwise baseline."""
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Dot
from pyg_advcf.registry import METHODS


@METHODS.register('bce')
class BCE(Recommender):
    r"""Binary cross entropy on dot products.

    Args:
        backbone: Computes the embeddings.
        data: Interactions (every method takes them; this one reads nothing from them).
        neg_weight: Weight of the mean over negatives.
        l2: Weight of the L2 term.
    """
    pairwise = True

    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        neg_weight: float = 1.,
        l2: float = 1e-4,
    ) -> None:
        super().__init__(backbone, Dot(), criteria.BCE(neg_weight), l2, l2_negatives=True)
