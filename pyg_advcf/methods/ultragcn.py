r"""UltraGCN."""
import torch
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Dot
from pyg_advcf.nn.ultragcn import constraint_weights
from pyg_advcf.registry import METHODS


@METHODS.register('ultragcn')
class UltraGCN(Recommender):
    r"""UltraGCN, weights in place of propagation, `arXiv 2110.15114
    <https://arxiv.org/abs/2110.15114>`_.

    :class:`~pyg_advcf.criteria.ConstrainedBCE` on dot products, the weights from the degrees.
    Published over :class:`pyg_advcf.nn.UltraGCN`, which adds the term of similar items; over any
    other backbone that term is missing. The paper sums over a batch of :math:`B` and decays the
    whole tables; here both terms are means and the L2 term is that of the batch's rows.

    Args:
        backbone: Computes the embeddings.
        data: Interactions, whose degrees give the weights.
        weights: :math:`w_1, \dots, w_4 \geq 0`; (1e-6, 1, 1e-6, 1) for Gowalla, (1e-8, 1, 1, 1e-8)
            for Amazon-Book.
        neg_weight: :math:`\nu \geq 0`, 300 for Gowalla (with 1500 negatives), 500 for Amazon-Book
            (with 500).
        l2: Weight of the L2 term.

    Raises:
        ValueError: If a weight is negative.

    Example:
        >>> from pyg_advcf import InteractionLoader, Step, fit, nn
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = UltraGCN(nn.UltraGCN(data, dim=8), data)
        >>> loader = InteractionLoader(data, num_neg=16)
        >>> history = fit(Step(method), loader, epochs=2, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        weights: tuple[float, float, float, float] = (1e-6, 1., 1e-6, 1.),
        neg_weight: float = 300.,
        l2: float = 1e-4,
    ) -> None:
        factors = (t.to(torch.get_default_dtype()) for t in constraint_weights(data))
        super().__init__(backbone, Dot(), criteria.ConstrainedBCE(*factors, weights, neg_weight),
                         l2)
