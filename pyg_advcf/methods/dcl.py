r"""The decoupled contrastive loss."""
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Cosine
from pyg_advcf.registry import METHODS


@METHODS.register('dcl')
class DCL(Recommender):
    r"""Decoupled contrastive loss on cosines, `arXiv 2110.06848 <https://arxiv.org/abs/2110.06848>`_.

    Args:
        backbone: Computes the embeddings.
        data: Interactions (every method takes them; this one reads nothing from them).
        temperature: :math:`\tau > 0`.
        l2: Weight of the L2 term on users and positives.

    Raises:
        ValueError: If ``temperature`` is not above 0 or ``l2`` negative.

    Example:
        >>> from pyg_advcf import InteractionLoader, MF, Step, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = DCL(MF(data, dim=8), data, temperature=0.2)
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
        l2: float = 1e-5,
    ) -> None:
        super().__init__(backbone, Cosine(temperature), criteria.DCL(), l2)
