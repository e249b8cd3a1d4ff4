r"""PyG's own forms of interactions, homogeneous graphs and split links, and ours."""
import copy
from typing import Any, Optional, Union

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import (
    check_count,
    check_instance,
    check_integers,
    check_numbers,
    shown,
)
from pyg_advcf.interactions import (
    EDGE_TYPE,
    num_nodes,
    resolve_edge_type,
    split_key,
    split_names,
    validate,
)
from pyg_advcf.transforms.edges import edge_attributes

_LABELS = ('edge_label_index', 'edge_label', 'pos_edge_label_index', 'neg_edge_label_index',
           'pos_edge_label', 'neg_edge_label')


def bipartite(data: Data, num_users: int, edge_type: EdgeType = EDGE_TYPE) -> HeteroData:
    r"""Tells the users and the items of a homogeneous graph apart.

    For graphs as PyG's :class:`~torch_geometric.nn.LightGCN` takes them: users come first, and the
    id of an item is its number plus ``num_users``. Edges may lead from users to items, back, or
    both ways; an interaction with both is one pair. Attributes of nodes are divided, those of edges
    kept (an edge in both directions keeps those of the one from the user), and so are the links of
    :class:`~torch_geometric.transforms.RandomLinkSplit`; negative links that join two users or
    two items are left out.

    Args:
        data: The graph.
        num_users: How many of the nodes are users.
        edge_type: The name of the interactions in the result, whose ends name the users and items.

    Raises:
        ValueError: If ``data`` is no homogeneous graph, if no node is left for the items, or if an
            edge joins two users or two items.

    Example:
        >>> edge_index = torch.tensor([[0, 1, 2, 4], [2, 4, 0, 1]])  # Users 0 and 1.
        >>> data = bipartite(Data(edge_index=edge_index, num_nodes=5), num_users=2)
        >>> data['user', 'interacts', 'item'].edge_index
        tensor([[0, 1],
                [0, 2]])
        >>> data['item'].num_nodes
        3
    """
    check_instance('data', data, Data, 'a homogeneous torch_geometric.data.Data; a HeteroData '
                   'knows its users and items already')
    if data.edge_index is None or not data.num_nodes:
        raise ValueError("'data' is without 'edge_index' or 'num_nodes'; set both")
    check_count('num_users', num_users, maximum=data.num_nodes - 1)
    if not isinstance(edge_type, (tuple, list)) or len(edge_type) != 3 or not all(
            isinstance(name, str) for name in edge_type) or edge_type[0] == edge_type[2]:
        raise ValueError(f"'edge_type' is {shown(edge_type)}, but needs to be three names, of "
                         f"which the first and the last differ, such as {EDGE_TYPE}")
    edge_type = tuple(edge_type)
    edges, backward = _forward('edge_index', data.edge_index, num_users, data.num_nodes)
    # Of an interaction with an edge in both directions, the one from the user is kept.
    key = edges[0] * data.num_nodes + edges[1]
    keep = ~(backward & torch.isin(key, key[~backward]))
    found = HeteroData()
    users, items, links = found[edge_type[0]], found[edge_type[2]], found[edge_type]
    users.num_nodes, items.num_nodes = num_users, data.num_nodes - num_users
    for name, value in data.items():
        if name in _LABELS or name in ('edge_index', 'num_nodes'):
            continue
        if data.is_node_attr(name):
            users[name], items[name] = value[:num_users], value[num_users:]
        elif data.is_edge_attr(name):
            links[name] = value[keep]
        else:
            found[name] = value
    links.edge_index = edges[:, keep]
    for prefix in ('', 'pos_', 'neg_'):
        index, label = (data.get(f'{prefix}edge_label{end}') for end in ('_index', ''))
        if index is None:
            continue
        if prefix == 'neg_' or label is not None:
            check_integers(f'{prefix}edge_label_index', index, (2, 'E'))
            if label is not None:
                check_numbers(f'{prefix}edge_label', label, (index.size(1), ))
            mixed = (index[0] < num_users) == (index[1] < num_users)
            negative = mixed if prefix == 'neg_' else mixed & (label == 0)
            index = index[:, ~negative]
            label = label if label is None else label[~negative]
        links[f'{prefix}edge_label_index'] = _forward(
            f'{prefix}edge_label_index', index, num_users, data.num_nodes)[0]
        if label is not None:
            links[f'{prefix}edge_label'] = label
    return found


def _forward(name: str, pairs: Tensor, num_users: int, num_nodes: int) -> tuple[Tensor, Tensor]:
    r"""The pairs as users and items, and which of them were the other way around."""
    pairs = check_integers(name, pairs, (2, 'E'))
    if pairs.numel() > 0 and not 0 <= int(pairs.min()) <= int(pairs.max()) < num_nodes:
        raise ValueError(f"'{name}' holds ids from {int(pairs.min())} to {int(pairs.max())}, but "
                         f"'data' has {num_nodes} nodes")
    backward = pairs[0] >= num_users
    user, item = torch.where(backward, pairs.flip(0), pairs)
    wrong = (user >= num_users) | (item < num_users)
    if bool(wrong.any()):
        a, b = pairs[:, wrong][:, 0].tolist()
        raise ValueError(f"'{name}' joins the nodes {a} and {b}, but with 'num_users' = "
                         f"{num_users} each pair needs one node below it and one from it on")
    return torch.stack([user, item - num_users]), backward


def from_link_split(
    train: Union[Data, HeteroData],
    val: Union[Data, HeteroData, None] = None,
    test: Union[Data, HeteroData, None] = None,
    edge_type: Optional[EdgeType] = None,
    num_users: Optional[int] = None,
    **more: Union[Data, HeteroData],
) -> HeteroData:
    r"""One set of interactions from the outputs of PyG's
    :class:`~torch_geometric.transforms.RandomLinkSplit`.

    Training interactions are the edges of ``train`` and its positive links, so also those of
    ``disjoint_train_ratio``; attributes of edges are kept where this adds none. The positive links
    of the others are the held-out splits, over the graph of ``train`` also for ``test``. Links with
    the label 0 are negatives, which are drawn and ranked anew here.

    Args:
        train: The training part.
        val: The validation part.
        test: The test part.
        edge_type: Which links are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.
        num_users: For homogeneous parts: how many of the nodes are users; see :func:`bipartite`.
        **more: Other held-out parts by split name, as ``test_ood=...`` or ``outer=...``.

    Raises:
        ValueError: If a part has no links, or if a held-out pair is in the training graph too, as
            where the reverse edges were not split along.

    Example:
        >>> from torch_geometric.transforms import RandomLinkSplit
        >>> data = Data(edge_index=torch.tensor([[0, 0, 1, 2, 2], [3, 4, 4, 3, 4]]), num_nodes=5)
        >>> train, val, test = RandomLinkSplit(num_val=1, num_test=1)(data)
        >>> split_names(from_link_split(train, val, test, num_users=3))
        ['val', 'test']
    """
    parts = {'train': train, 'val': val, 'test': test, **more}
    parts = {name: part for name, part in parts.items() if part is not None or name == 'train'}
    for name, part in parts.items():
        check_instance(name, part, (Data, HeteroData), 'what RandomLinkSplit returns')
        if isinstance(part, Data):
            if num_users is None:
                raise ValueError(f"'{name}' is a homogeneous Data; pass 'num_users', where its "
                                 f"items begin")
            parts[name] = bipartite(part, num_users, edge_type or EDGE_TYPE)
    edge_type = resolve_edge_type(parts['train'], edge_type)
    found = copy.copy(parts.pop('train'))
    store, num_items = found[edge_type], num_nodes(found, edge_type)[1]
    links = _positives('train', store) if 'edge_label_index' in store or (
        'pos_edge_label_index' in store) else store.edge_index
    for name in _LABELS:
        store.pop(name, None)
    extra = links[:, ~torch.isin(_keys(links, num_items), _keys(store.edge_index, num_items))]
    if extra.size(1) > 0:
        for name in edge_attributes(store):
            del store[name]
        store.edge_index = torch.cat([store.edge_index, extra.to(store.edge_index.dtype)], dim=1)
    for name, part in parts.items():
        if split_key(name) in store:
            raise ValueError(f"'train' holds a split '{name}' already; pass data without it")
        if edge_type not in part.edge_types:
            raise ValueError(f"'{name}' has the edge types {part.edge_types}, without {edge_type}")
        pairs = _positives(name, part[edge_type])
        both = int(torch.isin(_keys(pairs, num_items),
                              _keys(store.edge_index, num_items)).sum())
        if both > 0:
            raise ValueError(f"'{name}' holds out {both} pairs that are in the training graph too; "
                             f"split the two directions of an edge together, with is_undirected or "
                             f"rev_edge_types of RandomLinkSplit, and drop pairs that repeat")
        store[split_key(name)] = pairs
    validate(found, edge_type)
    return found


def to_link_split(data: HeteroData, edge_type: Optional[EdgeType] = None) -> dict[str, HeteroData]:
    r"""The training part and each held-out split in the form of PyG's
    :class:`~torch_geometric.transforms.RandomLinkSplit`, without negatives.

    Every part has the training graph; of the test part, ``RandomLinkSplit`` would add the
    validation pairs to it. ``from_link_split(**parts)`` is the inverse.

    Args:
        data: Interactions with held-out splits.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Returns:
        By split name, ``'train'`` first: data whose ``edge_label_index`` are the pairs of the
        split, and whose ``edge_label`` is 1 for all.

    Raises:
        ValueError: As :func:`pyg_advcf.validate`.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> list(to_link_split(data))
        ['train', 'val', 'test_iid', 'test_ood']
    """
    edge_type = resolve_edge_type(data, edge_type)
    validate(data, edge_type)
    base = copy.copy(data)
    links = {'train': base[edge_type].edge_index}
    for split in split_names(data, edge_type=edge_type):
        links[split] = base[edge_type].pop(split_key(split))
    parts = {}
    for name, pairs in links.items():
        parts[name] = copy.copy(base)
        parts[name][edge_type].edge_label_index = pairs.long()
        parts[name][edge_type].edge_label = torch.ones(pairs.size(1), device=pairs.device)
    return parts


def _positives(name: str, store: Any) -> Tensor:
    r"""The links of a part that are no negatives."""
    index, label = store.get('pos_edge_label_index'), None
    if index is None:
        index, label = store.get('edge_label_index'), store.get('edge_label')
    if index is None:
        raise ValueError(f"'{name}' has no 'edge_label_index' of the interactions; pass what "
                         f"RandomLinkSplit returns, with 'edge_types' for a HeteroData")
    index = check_integers(f'{name}.edge_label_index', index, (2, 'E'))
    if label is not None:
        index = index[:, check_numbers(f'{name}.edge_label', label, (index.size(1), )) > 0]
    return index


def _keys(pairs: Tensor, num_items: int) -> Tensor:
    return pairs[0].long() * num_items + pairs[1]
