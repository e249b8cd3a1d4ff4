r"""Matrix factorisation."""
from typing import Optional

from torch_geometric import EdgeIndex

from pyg_advcf.interactions import Embeddings
from pyg_advcf.nn.backbone import Backbone
from pyg_advcf.registry import BACKBONES


@BACKBONES.register('mf')
class MF(Backbone):
    r"""Matrix factorisation: the tables themselves, :math:`Z = E^0`.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        dim: Width of the embeddings.
        init: See :class:`~pyg_advcf.nn.backbone.Backbone`.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> model = MF(SyntheticExposure(num_users=20, num_items=30)[0], dim=8)
        >>> model.recommend([0, 1], k=5).item.shape
        torch.Size([2, 5])
    """
    def forward(
        self,
        graph: Optional[EdgeIndex] = None,
        x: Optional[Embeddings] = None,
    ) -> Embeddings:
        r"""Returns the tables; ``graph`` has no influence."""
        x = self.x if x is None else x
        return Embeddings(x.user, x.item)
