r"""The k-core of a bipartite graph."""
import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.transforms import BaseTransform

from pyg_advcf._checks import check_count
from pyg_advcf.interactions import EDGE_TYPE, degrees, num_nodes, split_key, split_names, validate
from pyg_advcf.transforms.edges import keep_edges


class KCore(BaseTransform):
    r"""Keeps the largest set of users and items with at least ``k`` training interactions each.

    Users and items are renumbered in their old order; ``data['user'].raw_id`` and
    ``data['item'].raw_id`` hold the old ids. Held-out pairs of removed nodes are dropped, and so
    are their rows of node attributes.

    Args:
        k: Least degree, at least 1.

    Raises:
        ValueError: If ``k`` is below 1, or if nothing is left.

    Example:
        >>> from pyg_advcf import interaction_data
        >>> pairs = torch.tensor([[0, 0, 1, 1, 2], [0, 1, 0, 1, 2]])
        >>> data = KCore(2)(interaction_data(pairs, 3, 3))
        >>> data['user'].num_nodes, data['item'].raw_id.tolist()
        (2, [0, 1])
    """
    def __init__(self, k: int) -> None:
        self.k = check_count('k', k)

    def forward(self, data: HeteroData) -> HeteroData:
        validate(data)
        edge_index = data[EDGE_TYPE].edge_index
        sizes = num_nodes(data)
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
            highest = [int(d.max()) for d in degrees(data)]
            raise ValueError(f"the {self.k}-core is empty: the highest degrees are {highest[0]} "
                             f"(user) and {highest[1]} (item); lower 'k'")
        data = keep_edges(data, keep)
        old = [torch.unique(data[EDGE_TYPE].edge_index[row]) for row in (0, 1)]
        new = [self._inverse(ids, size) for ids, size in zip(old, sizes)]
        for node_type, ids, size in zip(('user', 'item'), old, sizes):
            store = data[node_type]
            for key, value in list(store.items()):
                if isinstance(value, Tensor) and value.dim() > 0 and value.size(0) == size:
                    store[key] = value[ids]
            store.num_nodes = ids.numel()
            store.raw_id = store.get('raw_id', ids)
        if isinstance(data.get('relevant'), Tensor):
            data.relevant = data.relevant[old[0]][:, old[1]]
        store = data[EDGE_TYPE]
        store.edge_index = torch.stack([n[p] for n, p in zip(new, store.edge_index)])
        for split in split_names(data):
            key = split_key(split)
            pairs = torch.stack([n[p] for n, p in zip(new, store[key])])
            store[key] = pairs[:, (pairs >= 0).all(dim=0)]
        return data

    @staticmethod
    def _inverse(ids: Tensor, size: int) -> Tensor:
        inverse = ids.new_full((size, ), -1)
        inverse[ids] = torch.arange(ids.numel(), dtype=ids.dtype, device=ids.device)
        return inverse

    def __repr__(self) -> str:
        return f'KCore(k={self.k})'
