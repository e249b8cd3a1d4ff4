r"""Selecting training interactions together with their attributes."""
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_advcf.interactions import EDGE_TYPE, is_split_key


def keep_edges(data: HeteroData, index: Tensor) -> HeteroData:
    r"""Keeps the training interactions ``index`` and their per-edge attributes, in this order."""
    store = data[EDGE_TYPE]
    num_edges = store.edge_index.size(1)
    for key, value in list(store.items()):
        if key == 'edge_index':
            store[key] = value[:, index]
        elif not is_split_key(key) and isinstance(value, Tensor) and (
                value.dim() > 0 and value.size(0) == num_edges):
            store[key] = value[index]
    return data
