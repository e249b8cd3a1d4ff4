r"""BSL."""
from typing import Optional

from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Cosine
from pyg_advcf.registry import METHODS


@METHODS.register('bsl')
class BSL(Recommender):
    r"""BSL, a bilateral softmax loss, `arXiv 2312.12882 <https://arxiv.org/abs/2312.12882>`_.

    The rows of one user in a batch are that user's positives. See
    :class:`~pyg_advcf.criteria.BSL`.

    Args:
        backbone: Computes the embeddings.
        data: Interactions (every method takes them; this one reads nothing from them).
        temperature: :math:`\tau_2 > 0` of the negatives.
        pos_temperature: :math:`\tau_1 > 0` of the positives; that of the negatives if absent.
        l2: Weight of the L2 term on users and positives.

    Raises:
        ValueError: If a temperature is not above 0 or ``l2`` negative.

    Example:
        >>> from pyg_advcf import InteractionLoader, MF, Step, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = BSL(MF(data, dim=8), data, temperature=0.2, pos_temperature=0.5)
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
        pos_temperature: Optional[float] = None,
        l2: float = 1e-5,
    ) -> None:
        pos_temperature = temperature if pos_temperature is None else pos_temperature
        super().__init__(backbone, Cosine(1.), criteria.BSL(pos_temperature, temperature), l2)
