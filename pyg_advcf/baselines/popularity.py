r"""The most popular items, for everybody."""
from typing import Optional

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf.baselines.baseline import Baseline
from pyg_advcf.registry import BASELINES


@BASELINES.register('popularity')
class Popularity(Baseline):
    r"""The most popular items for everybody: :math:`s_{ui} = d_i`, the number of users of an item.

    What is worth reporting has to be better than this.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        edge_type: See :class:`Baseline`.

    Example:
        >>> from pyg_advcf import interaction_data
        >>> data = interaction_data(torch.tensor([[0, 0, 1], [0, 1, 1]]), 2, 3)
        >>> Popularity(data).scores(torch.tensor([0]))
        tensor([[1., 2., 0.]])
    """
    def __init__(self, data: HeteroData, edge_type: Optional[EdgeType] = None) -> None:
        super().__init__(data, edge_type)
        self.degree = torch.bincount(self.known.item, minlength=self.num_items)

    def _scores(self, users: Tensor) -> Tensor:
        return self.degree.to(torch.get_default_dtype()).repeat(users.numel(), 1)
