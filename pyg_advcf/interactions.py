r"""User-item interactions as one :class:`~torch_geometric.data.HeteroData`.

The training graph is ``data['user', 'interacts', 'item'].edge_index``. The same edge type holds the
held-out pairs: ``val_edge_label_index``, and ``test_edge_label_index`` or, for several test sets,
``test_<name>_edge_label_index``. A *split* is named by what precedes ``_edge_label_index``. The
split ``outer`` holds training interactions that are left out of the graph for the outer problem of
bi-level training. They are known, so they are neither sampled as negatives nor recommended.

Data with other names work too: what takes data takes ``edge_type=``, whose first node type are the
users and whose last the items. Without it the only edge type between two node types is used.
"""
from typing import Any, Optional

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data, HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import (
    check_count,
    check_instance,
    check_integers,
    check_mask,
    check_name,
    check_pairs,
    check_sizes,
)
from pyg_advcf._remembered import Remembered

EDGE_TYPE = ('user', 'interacts', 'item')
_SUFFIX = '_edge_label_index'
# The numbers of users and items for which pairs were found to be right: what is evaluated every few
# epochs is looked through once.
_sizes_of = Remembered()


def split_key(split: str) -> str:
    r"""The attribute of the edge type that holds the pairs of ``split``.

    Example:
        >>> split_key('val')
        'val_edge_label_index'
    """
    return split + _SUFFIX


def is_split_key(key: str) -> bool:
    r"""Whether an attribute of the edge type holds the pairs of a split."""
    return key.endswith(_SUFFIX)


def interaction_data(
    edge_index: Tensor,
    num_users: int,
    num_items: int,
    **splits: Tensor,
) -> HeteroData:
    r"""Builds and validates the :class:`~torch_geometric.data.HeteroData` of a set of interactions.

    Args:
        edge_index: Training pairs, ``[2, E]``, users in row 0. Integers of any width; those that
            are not 32 or 64 bits wide are widened.
        num_users: Number of users.
        num_items: Number of items.
        **splits: Held-out pairs by split name, for example ``val=...``, ``test_ood=...``.

    Raises:
        ValueError: As :func:`validate`.

    Example:
        >>> data = interaction_data(torch.tensor([[0, 0, 1], [0, 1, 1]]), 2, 3,
        ...                         val=torch.tensor([[1], [2]]))
        >>> split_names(data)
        ['val']
    """
    data = HeteroData()
    data['user'].num_nodes = check_count('num_users', num_users)
    data['item'].num_nodes = check_count('num_items', num_items)
    for key, pairs in (('edge_index', edge_index),
                       *((split_key(name), pairs) for name, pairs in splits.items())):
        wide = check_integers(key, pairs, (2, 'E'))
        data[EDGE_TYPE][key] = pairs if pairs.dtype == torch.int32 else wide
    return validate(data)


def resolve_edge_type(data: HeteroData, edge_type: Optional[EdgeType] = None) -> EdgeType:
    r"""The edge type that holds the interactions of ``data``.

    Args:
        data: Interactions, with node and edge types of any name.
        edge_type: Its name, as ``('customer', 'buys', 'article')``, or as the two node types if
            one edge type leads from the first to the second. By default ``('user', 'interacts',
            'item')`` if there is one, else the only edge type between two different node types;
            reverse ones, as :class:`~torch_geometric.transforms.ToUndirected` adds, do not count.

    Raises:
        ValueError: If there is no such edge type, or several without ``edge_type``.

    Example:
        >>> data = HeteroData()
        >>> data['customer', 'buys', 'article'].edge_index = torch.tensor([[0], [0]])
        >>> data['article', 'rev_buys', 'customer'].edge_index = torch.tensor([[0], [0]])
        >>> resolve_edge_type(data)
        ('customer', 'buys', 'article')
    """
    if isinstance(data, Data):
        raise ValueError("'data' is a homogeneous Data; tell users and items apart with "
                         "'pyg_advcf.bipartite(data, num_users)'")
    check_instance('data', data, HeteroData,
                   "the HeteroData of interactions; build it with 'pyg_advcf.interaction_data' or "
                   "'pyg_advcf.datasets.from_frame'")
    between = [t for t in data.edge_types if t[0] != t[2] and 'edge_index' in data[t]]
    forward = [t for t in between if not t[1].startswith('rev_')] or between
    if edge_type is None:
        found = [EDGE_TYPE] if EDGE_TYPE in between else forward
        if not found:
            raise ValueError(f"'data' has the edge types {data.edge_types}, but needs one between "
                             f"two node types with an 'edge_index', as {EDGE_TYPE}; build it with "
                             f"'pyg_advcf.interaction_data' or 'pyg_advcf.datasets.from_frame'")
        remedy = "name the one that holds the interactions with 'edge_type'"
    else:
        found = [t for t in between if edge_type in (t, list(t), (t[0], t[2]), '__'.join(t))]
        remedy = "its ends are the users and the items, and it needs an 'edge_index'"
    if len(found) != 1:
        what = ('' if edge_type is None else
                f"'edge_type' is {edge_type!r}, which is {'no one' if found else 'none'} of them; ")
        raise ValueError(f"'data' has the edge types {found or between or data.edge_types} "
                         f"between different node types; {what}{remedy}")
    return found[0]


def as_interactions(data: HeteroData, edge_type: Optional[EdgeType] = None) -> HeteroData:
    r"""The interactions of ``data`` under the names of this library; tensors are shared.

    Args:
        data: Interactions; with names of its own, other node types and edge types are left out.
        edge_type: See :func:`resolve_edge_type`.

    Raises:
        ValueError: As :func:`resolve_edge_type`.

    Example:
        >>> data = HeteroData()
        >>> data['customer'].num_nodes, data['article'].x = 3, torch.ones(4, 2)
        >>> data['customer', 'buys', 'article'].edge_index = torch.tensor([[0, 2], [1, 3]])
        >>> num_nodes(as_interactions(data))
        (3, 4)
    """
    edge_type = resolve_edge_type(data, edge_type)
    if edge_type == EDGE_TYPE:
        return data
    view = HeteroData()
    for ours, theirs in (('user', edge_type[0]), ('item', edge_type[2])):
        view[ours].update(data[theirs])
        view[ours].num_nodes = _count(data, theirs)
    view[EDGE_TYPE].update(data[edge_type])
    return view


def _store(data: HeteroData, edge_type: Optional[EdgeType] = None) -> Any:
    r"""What ``data`` holds for the edge type."""
    return as_interactions(data, edge_type)[EDGE_TYPE]


def split_names(data: HeteroData, prefix: str = '',
                edge_type: Optional[EdgeType] = None) -> list[str]:
    r"""The names of the held-out splits, for example ``['val', 'test_iid', 'test_ood']``."""
    return [key[:-len(_SUFFIX)] for key in _store(data, edge_type).keys()
            if is_split_key(key) and key.startswith(prefix)]


def held_out(data: HeteroData, split: str, edge_type: Optional[EdgeType] = None) -> Tensor:
    r"""The held-out pairs of ``split``, ``[2, E]``.

    Raises:
        ValueError: If there is no such split, or if it is empty.
    """
    data = as_interactions(data, edge_type)
    if not split_names(data):
        raise ValueError(f"'split' is {split!r}, but 'data' has no held-out split; cut one with "
                         f"'pyg_advcf.transforms.RandomSplit'")
    check_name('split', split, split_names(data))
    pairs = data[EDGE_TYPE][split_key(split)]
    check_integers(split_key(split), pairs, (2, 'E'))
    if pairs.size(1) == 0:
        raise ValueError(f"the split '{split}' is empty, so nothing can be measured on it; split "
                         f"the data with a larger ratio (see 'pyg_advcf.transforms.RandomSplit')")
    return pairs


def known_pairs(data: HeteroData, edge_type: Optional[EdgeType] = None) -> Tensor:
    r"""Training pairs, and those of the split ``outer`` if there is one, ``[2, E]``."""
    data = as_interactions(data, edge_type)
    store = data[EDGE_TYPE]
    if 'outer' not in split_names(data):
        return store.edge_index
    return torch.cat([store.edge_index, store[split_key('outer')]], dim=1)


def _count(data: HeteroData, node_type: str) -> int:
    store = data[node_type]
    if 'num_nodes' not in store:
        features = [v for k, v in store.items() if isinstance(v, Tensor) and v.dim() > 0 and (
            k in ('x', 'n_id') or k.startswith('node'))]
        if not features:
            raise ValueError(f"'data' does not say how many nodes there are: set "
                             f"data['{node_type}'].num_nodes, or features data['{node_type}'].x")
        return features[0].size(0)
    return int(check_count(f"data['{node_type}'].num_nodes", store['num_nodes']))


def num_nodes(data: HeteroData, edge_type: Optional[EdgeType] = None) -> tuple[int, int]:
    r"""The number of users and of items: ``num_nodes``, or the rows of the features ``x``.

    Raises:
        ValueError: If one is unknown or below 1, or if a pair has no 64-bit key.
    """
    edge_type = resolve_edge_type(data, edge_type)
    return check_sizes(*(_count(data, node_type) for node_type in edge_type[::2]))


def candidate_mask(data: HeteroData, edge_type: Optional[EdgeType] = None) -> Optional[Tensor]:
    r"""Which items a ranking may hold, ``[num_items]``; ``None`` if all.

    Raises:
        ValueError: If ``data['item'].candidate_mask`` is not boolean or not of that shape.
    """
    data = as_interactions(data, edge_type)
    _, num_items = num_nodes(data)
    mask = data['item'].get('candidate_mask')
    return mask if mask is None else check_mask("data['item'].candidate_mask", mask,
                                                (num_items, ))


@torch.compiler.disable  # It would trace the sorting of the array, and none of the tensor.
def _sorted_keys(pairs: Tensor, num_items: int) -> Tensor:
    r"""The keys ``user * num_items + item`` of pairs, in rising order; of int64 ids."""
    key = pairs[0] * num_items + pairs[1]
    if key.device.type != 'cpu':
        return torch.sort(key)[0]
    key.numpy().sort()  # In place, and faster than PyTorch, which sorts positions along with it.
    return key


def _check_pairs(argument: str, pairs: Tensor, num_users: int, num_items: int) -> None:
    r"""Checks pairs of which none may occur twice, once for each version of the tensor."""
    if isinstance(pairs, Tensor) and _sizes_of.known(pairs) == (num_users, num_items):
        return
    check_integers(argument, pairs, (2, 'E'))
    if pairs.dtype not in (torch.int32, torch.int64):
        raise ValueError(f"'{argument}' has dtype {pairs.dtype}, but needs to be torch.int64 or "
                         f"torch.int32; convert it with long(), or build the data with "
                         f"'pyg_advcf.interaction_data'")
    key = _sorted_keys(check_pairs(argument, pairs, num_users, num_items), num_items)
    repeats = int((key[1:] == key[:-1]).sum())
    if repeats > 0:
        raise ValueError(f"'{argument}' holds {repeats} duplicate pairs of {pairs.size(1)}; drop "
                         f"them with 'torch_geometric.utils.coalesce'")
    _sizes_of.put(pairs, (num_users, num_items))


def validate(data: HeteroData, edge_type: Optional[EdgeType] = None) -> HeteroData:
    r"""Returns ``data`` if they are a well-formed set of interactions, as :func:`as_interactions`.

    Every function that takes ``data`` calls it. Pairs that did not change since are not looked
    through again.

    Raises:
        ValueError: If the edge type is missing, if the training graph is empty, if an id is out of
            range, if a pair occurs twice in one split, if pairs have no 64-bit keys (numbers of
            users and items too large), or if a split or the candidate mask is not of the form
            above.
    """
    data = as_interactions(data, edge_type)
    num_users, num_items = num_nodes(data)
    candidate_mask(data)
    store = data[EDGE_TYPE]
    _check_pairs('edge_index', store.edge_index, num_users, num_items)
    if store.edge_index.size(1) == 0:
        raise ValueError("'edge_index' is empty: there is no training interaction")
    for split in split_names(data):
        if split not in ('val', 'outer', 'test') and not split.startswith('test_'):
            raise ValueError(f"'{split}' is no name of a split: training stops by 'val', "
                             f"bi-level training uses 'outer', and test sets are 'test' or "
                             f"'test_<name>'")
        _check_pairs(split_key(split), store[split_key(split)], num_users, num_items)
    return data


def validate_for(model: Any, data: HeteroData,
                 edge_type: Optional[EdgeType] = None) -> HeteroData:
    r"""As :func:`validate`; by default the edge type that ``model`` was built for, if there is one.

    Args:
        model: A recommender, a backbone, or anything else.
        data: Interactions.
        edge_type: See :func:`resolve_edge_type`.
    """
    own = getattr(getattr(model, 'backbone', model), 'edge_type', None)
    if edge_type is None and isinstance(data, HeteroData) and own in data.edge_types:
        edge_type = own
    return validate(data, edge_type)


def interaction_graph(data: HeteroData, edge_type: Optional[EdgeType] = None) -> EdgeIndex:
    r"""The training graph as an :class:`~torch_geometric.EdgeIndex` of shape (users, items).

    Sorted by row, then by column; 32-bit ids, since propagation is bound by the memory that it
    reads. :mod:`pyg_advcf.ops` compresses it at its first use, once.
    """
    data = validate(data, edge_type)
    num_users, num_items = num_nodes(data)
    return as_graph(data[EDGE_TYPE].edge_index, num_users, num_items)


def as_graph(pairs: Tensor, num_users: int, num_items: int) -> EdgeIndex:
    r"""As :func:`interaction_graph`, for the pairs ``[2, E]`` of any view.

    Raises:
        ValueError: If ``pairs`` are not of that shape, an id is out of range, or the graph is too
            large for 32-bit ids.
    """
    check_count('num_users', num_users)
    check_count('num_items', num_items)
    if isinstance(pairs, Tensor) and pairs.is_meta:
        raise ValueError("'pairs' is on the device 'meta', so it has no ids; move what it is made "
                         "of to a real device")
    pairs = check_pairs('pairs', pairs, num_users, num_items)
    if max(num_users, num_items, pairs.size(1)) >= 2**31:
        raise ValueError(f"'num_users' is {num_users}, 'num_items' is {num_items} and there are "
                         f"{pairs.size(1)} pairs, but a graph has 32-bit ids; number users and "
                         f"items without gaps")
    key = _sorted_keys(pairs, num_items)
    pairs = torch.stack([key // num_items, key % num_items]).to(torch.int32)
    return EdgeIndex(pairs, sparse_size=(num_users, num_items), sort_order='row')


def degrees(data: HeteroData,
            edge_type: Optional[EdgeType] = None) -> tuple[Tensor, Tensor]:
    r"""Training degree of every user and every item (an item's popularity), as int64."""
    data = as_interactions(data, edge_type)
    edge_index = data[EDGE_TYPE].edge_index
    num_users, num_items = num_nodes(data)
    _check_pairs('edge_index', edge_index, num_users, num_items)
    return (torch.bincount(edge_index[0].long(), minlength=num_users),
            torch.bincount(edge_index[1].long(), minlength=num_items))
