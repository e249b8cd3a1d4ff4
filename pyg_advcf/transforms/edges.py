r"""Selecting training interactions, or nodes, together with all that belongs to them."""
import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.data.storage import EdgeStorage
from torch_geometric.typing import EdgeType

from pyg_advcf.interactions import EDGE_TYPE


def edge_attributes(store: EdgeStorage) -> list[str]:
    r"""The names of the tensors that have a row for each edge, without those of links."""
    num_edges = store.edge_index.size(1)
    return [key for key, value in store.items()
            if key != 'edge_index' and 'edge_label' not in key and isinstance(value, Tensor)
            and value.dim() > 0 and value.size(0) == num_edges]


def keep_edges(data: HeteroData, index: Tensor, edge_type: EdgeType = EDGE_TYPE) -> HeteroData:
    r"""Keeps the training interactions ``index`` and their per-edge attributes, in this order."""
    store = data[edge_type]
    for key in edge_attributes(store):
        store[key] = store[key][index]
    store.edge_index = store.edge_index[:, index]
    return data


def keep_nodes(data: HeteroData, ids: dict[str, Tensor]) -> HeteroData:
    r"""Keeps some nodes of some types, in rising order, and renumbers them everywhere.

    Attributes of nodes and edges, other edge types and held-out pairs follow; what refers to a
    removed node is removed. So do attributes that are a :class:`pandas.Index` with an entry for
    each node, such as the raw ids of :func:`pyg_advcf.datasets.from_frame`. Where there is no
    ``raw_id``, it holds the old ids.

    Args:
        data: Any heterogeneous data.
        ids: The distinct ids that are kept, by node type.
    """
    # The pairs of splits are no edges: PyG's `subgraph` would leave them as they are.
    labels = {(edge_type, key): data[edge_type].pop(key) for edge_type in data.edge_types
              for key in list(data[edge_type].keys()) if key.endswith('edge_label_index')}
    new = {}
    for node_type, kept in ids.items():
        new[node_type] = kept.new_full((data[node_type].num_nodes, ), -1)
        new[node_type][kept] = torch.arange(kept.numel(), device=kept.device)
    data = data.subgraph(ids)
    for node_type, kept in ids.items():
        data[node_type].num_nodes = kept.numel()
        for key, value in list(data[node_type].items()):  # PyG leaves these as they are.
            if isinstance(value, pd.Index) and len(value) == new[node_type].numel():
                data[node_type][key] = value[kept.cpu().numpy()]
        data[node_type].raw_id = data[node_type].get('raw_id', kept)
    for (edge_type, key), pairs in labels.items():
        pairs = torch.stack([new[end][row] if end in new else row
                             for end, row in zip(edge_type[::2], pairs.long())])
        stays = (pairs >= 0).all(dim=0)
        data[edge_type][key] = pairs[:, stays]
        name = key.removesuffix('_index')
        label = data[edge_type].get(name)
        if isinstance(label, Tensor) and label.size(0) == stays.numel():
            data[edge_type][name] = label[stays]
    return data
