r"""InfoNCE over sampled negatives."""
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Cosine
from pyg_advcf.registry import METHODS


@METHODS.register('infonce')
class InfoNCE(Recommender):
    r"""InfoNCE (sampled softmax) on cosine similarities; ranking uses the cosine too.

    Args:
        backbone: Computes the embeddings.
        data: Interactions (every method takes them; this one reads nothing from them).
        temperature: :math:`\tau`.
        l2: Weight of the L2 term on users and positives; 1e-5 in AdvInfoNCE's comparison.
    """
    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        temperature: float = 0.1,
        l2: float = 1e-5,
    ) -> None:
        super().__init__(backbone, Cosine(temperature), criteria.InfoNCE(), l2)
