r"""What PyG's link loaders return, read as positives and negatives with the ids of the data."""
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Optional, Union

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_count, check_instance

_TRIPLET = "NegativeSampling('triplet', amount=N)"


@dataclass(eq=False)
class SampledRows:
    r"""Where the users and items of a batch are in the tables of a sampled mini-batch.

    Attributes:
        user: Row of the user of every positive, ``[B]``.
        item: Row of every positive item, ``[B]``.
        neg_item: Row of every negative item, ``[B, N]``.
        user_ids: The user that each row of the table of users belongs to; negative if none.
        item_ids: The item that each row of the table of items belongs to; negative if none.
    """
    user: Tensor
    item: Tensor
    neg_item: Tensor
    user_ids: Tensor
    item_ids: Tensor

    def to(self, device: torch.device) -> 'SampledRows':
        r"""Moves all tensors to ``device``."""
        return SampledRows(*(getattr(self, name).to(device)
                             for name in self.__dataclass_fields__))

    @cached_property
    def in_order(self) -> bool:
        r"""Whether the tables hold all nodes from the first on, so that rows are ids."""
        return all(torch.equal(ids, torch.arange(ids.numel(), device=ids.device))
                   for ids in (self.user_ids, self.item_ids))

    @cached_property
    def user_position(self) -> Tensor:
        r"""The first row of every user; ``-1`` for users without one."""
        return _first_rows(self.user_ids)

    @cached_property
    def item_position(self) -> Tensor:
        r"""The first row of every item; ``-1`` for items without one."""
        return _first_rows(self.item_ids)


def _first_rows(ids: Tensor) -> Tensor:
    rows = torch.arange(ids.numel(), device=ids.device)
    named = ids >= 0
    ids, rows, none = ids[named], rows[named], ids.numel()
    first = ids.new_full((int(ids.max()) + 1 if ids.numel() > 0 else 0, ), none)
    first.scatter_reduce_(0, ids, rows, 'amin')
    return first.masked_fill_(first == none, -1)


class Link(NamedTuple):
    r"""Positives and negatives of a sampled mini-batch.

    Attributes:
        user: User ids of the data, ``[B]``.
        item: Ids of the positive items, ``[B]``.
        neg_item: Ids of the negative items, ``[B, N]``.
        id: Which of the loader's ``edge_label_index`` each positive is, ``[B]``.
        rows: Where they are in the tables that a model computes for the sampled nodes.
    """
    user: Tensor
    item: Tensor
    neg_item: Tensor
    id: Tensor
    rows: SampledRows


def _input_type(data: HeteroData, edge_type: Optional[EdgeType]) -> EdgeType:
    found = [t for t in data.edge_types if 'input_id' in data[t]]
    if len(found) != 1:
        raise ValueError(f"'data' has the edge types {data.edge_types}, of which "
                         f"{len(found) or 'none'} has an 'input_id': it is not a mini-batch of "
                         f"LinkNeighborLoader or LinkLoader")
    if edge_type is not None and found[0] not in (edge_type, tuple(edge_type)):
        raise ValueError(f"'edge_type' is {edge_type!r}, but the loader samples links of "
                         f"{found[0]}; pass that, or edge_label_index=({edge_type!r}, ...) to the "
                         f"loader")
    if found[0][0] == found[0][2]:
        raise ValueError(f"the loader samples links of {found[0]}, whose ends are of one type, but "
                         f"they need to lead from users to items")
    return found[0]


def _need(store: Any, key: str, name: str) -> Tensor:
    value = store.get(key)
    if value is None:
        raise ValueError(f"'data' has no {name}, so it is not a mini-batch of a link loader that "
                         f"knows the ids of its nodes; use LinkNeighborLoader or LinkLoader")
    return value


def read_link(
    data: Union[Data, HeteroData],
    edge_type: Optional[EdgeType] = None,
    num_users: Optional[int] = None,
) -> Link:
    r"""Reads a mini-batch of ``LinkNeighborLoader`` or ``LinkLoader``.

    Args:
        data: The mini-batch, sampled with triplet or binary negative sampling, disjoint or not.
        edge_type: The links of a heterogeneous mini-batch, from users to items; by default those
            that the loader samples.
        num_users: How many of the nodes are users, for a homogeneous mini-batch, where they come
            first and the items follow.

    Raises:
        ValueError: If ``data`` is no such mini-batch or has no negatives, or if the links do not
            lead from users to items.
    """
    check_instance('data', data, (Data, HeteroData),
                   'a mini-batch of LinkNeighborLoader or LinkLoader')
    if isinstance(data, HeteroData):
        edge_type = _input_type(data, edge_type)
        users, items, links = data[edge_type[0]], data[edge_type[2]], data[edge_type]
        user_ids = _need(users, 'n_id', f"data['{edge_type[0]}'].n_id")
        item_ids = _need(items, 'n_id', f"data['{edge_type[2]}'].n_id")
    else:
        if num_users is None:
            raise ValueError("'num_users' is needed for a homogeneous mini-batch, whose first "
                             "'num_users' nodes are the users and the others the items")
        check_count('num_users', num_users)
        users = items = links = data
        n_id = _need(data, 'n_id', 'data.n_id')
        user_ids = n_id.masked_fill(n_id >= num_users, -1)
        item_ids = (n_id - num_users).clamp(min=-1)
    input_id = _need(links, 'input_id', 'input_id')
    count = input_id.numel()
    neg = items.get('dst_neg_index')
    if neg is not None:
        user, item = users.src_index, items.dst_pos_index
        # PyG drops the last dimension for one negative per positive.
        neg = neg.view(count, -1).contiguous()
    else:
        label, index = links.get('edge_label'), links.get('edge_label_index')
        drawn = 0 if index is None else index.size(1) - count
        if label is None or drawn <= 0:
            raise ValueError(f"'data' has no negatives; pass neg_sampling={_TRIPLET} to the "
                             f"loader")
        if drawn % count != 0:
            raise ValueError(f"'data' has {drawn} negatives for {count} positives, but needs the "
                             f"same number for each; pass neg_sampling={_TRIPLET} to the loader")
        # The sources that are drawn for negatives are not used: each negative item is compared
        # with the user of a positive, as everywhere else.
        user, item = index[:, :count]
        neg = index[1, count:].view(-1, count).t().contiguous()
    found = Link(user_ids[user], item_ids[item], item_ids[neg], input_id,
                 SampledRows(user, item, neg, user_ids, item_ids))
    for name, ids in (('sources', found.user), ('destinations', found.item),
                      ('negatives', found.neg_item)):
        if ids.device.type == 'cpu' and ids.numel() > 0 and int(ids.min()) < 0:
            raise ValueError(f"some {name} of the links are no "
                             f"{'users' if name == 'sources' else 'items'}: with 'num_users' = "
                             f"{num_users}, links need to lead from nodes below it to the others, "
                             f"and negatives to be drawn from the items")
    return found
