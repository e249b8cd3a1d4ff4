r"""sDRO."""
from typing import Optional

from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf.criteria.sdro import popularity_groups
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Cosine
from pyg_advcf.registry import METHODS


@METHODS.register('sdro')
class SDRO(Recommender):
    r"""sDRO, InfoNCE weighted towards the group of users with the largest running loss.

    See :class:`~pyg_advcf.criteria.SDRO`.

    Args:
        backbone: Computes the embeddings.
        data: Interactions; the groups are read off them.
        temperature: :math:`\tau > 0`.
        step: :math:`\eta \geq 0`.
        rate: :math:`\alpha \in [0, 1]`.
        group: The group of every user, ``[num_users]``; niche, diverse and blockbuster tastes if
            absent.
        l2: Weight of the L2 term on users and positives.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> from pyg_advcf import InteractionLoader, MF, Step, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = SDRO(MF(data, dim=8), data, temperature=0.2)
        >>> loader = InteractionLoader(data, num_neg=8)
        >>> history = fit(Step(method), loader, epochs=2, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    single_pass = True

    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        temperature: float = 0.1,
        step: float = 0.01,
        rate: float = 0.01,
        group: Optional[Tensor] = None,
        l2: float = 1e-5,
    ) -> None:
        if group is None:  # Not every kind of taste needs to occur.
            group = popularity_groups(data).unique(return_inverse=True)[1]
        super().__init__(backbone, Cosine(temperature), criteria.SDRO(group, step, rate), l2)
