r"""The k-core of a bipartite graph."""
from typing import Optional

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_count
from pyg_advcf.interactions import EDGE_TYPE, degrees, num_nodes, resolve_edge_type, validate
from pyg_advcf.transforms.edges import keep_edges, keep_nodes
from pyg_advcf.transforms.interaction_transform import InteractionTransform


class KCore(InteractionTransform):
    r"""Keeps the largest set of users and items with at least ``k`` training interactions each.

    Users and items are renumbered in their old order; ``data['user'].raw_id`` and
    ``data['item'].raw_id`` hold the raw ids of :func:`~pyg_advcf.datasets.from_frame`, or the old
    ids where there are none. Attributes of nodes and edges, held-out pairs and the edges of other
    types follow; what refers to a removed node is removed.

    Args:
        k: Least degree, at least 1.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Raises:
        ValueError: If ``k`` is below 1, or if nothing is left.

    Example:
        >>> from pyg_advcf import interaction_data
        >>> pairs = torch.tensor([[0, 0, 1, 1, 2], [0, 1, 0, 1, 2]])
        >>> data = KCore(2)(interaction_data(pairs, 3, 3))
        >>> data['user'].num_nodes, data['item'].raw_id.tolist()
        (2, [0, 1])
    """
    def __init__(self, k: int, edge_type: Optional[EdgeType] = None) -> None:
        super().__init__(edge_type)
        self.k = check_count('k', k)

    def forward(self, data: HeteroData) -> HeteroData:
        edge_type = resolve_edge_type(data, self.edge_type)
        interactions = validate(data, edge_type)
        edge_index = interactions[EDGE_TYPE].edge_index
        sizes = num_nodes(interactions)
        keep = torch.arange(edge_index.size(1), device=edge_index.device)
        while True:
            user, item = edge_index[:, keep]
            count = (torch.bincount(user, minlength=sizes[0]),
                     torch.bincount(item, minlength=sizes[1]))
            stays = (count[0][user] >= self.k) & (count[1][item] >= self.k)
            if bool(stays.all()):
                break
            keep = keep[stays]
        if keep.numel() == 0:
            highest = [int(d.max()) for d in degrees(interactions)]
            raise ValueError(f"the {self.k}-core is empty: the highest degrees are {highest[0]} "
                             f"(user) and {highest[1]} (item); lower 'k'")
        users, items = (torch.unique(edge_index[row, keep].long()) for row in (0, 1))
        data = keep_edges(data, keep, edge_type)
        data = keep_nodes(data, {edge_type[0]: users, edge_type[2]: items})
        if isinstance(data.get('relevant'), Tensor):
            data.relevant = data.relevant[users][:, items]
        return data

    def __repr__(self) -> str:
        return f'KCore(k={self.k})'
