r"""Embeddings of users and items, which know which rows of the data they hold."""
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_advcf._checks import (
    check_floats,
    check_ids,
    check_instance,
    check_integers,
)
from pyg_advcf.batch import Batch, check_batch
from pyg_advcf.link import SampledRows
from pyg_advcf.ops import bounds


class Index:
    r"""Where the row of each node of the data is in a table that does not hold all rows in order.

    Args:
        position: The row of every node, ``[num_nodes]``; ``-1`` where the table has none. Several
            nodes may share a row.
        ids: The nodes in the order of the rows, if every row belongs to one node.

    Example:
        >>> index = Index.of(torch.tensor([7, 3, 7]), size=9)
        >>> index.ids, index(torch.tensor([3, 7]))
        (tensor([3, 7]), tensor([0, 1]))
    """
    def __init__(self, position: Tensor, ids: Optional[Tensor] = None) -> None:
        self.position, self.ids = position, ids
        # A loss asks several times for the rows of the same tensors.
        self._found: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    @classmethod
    def of(cls, ids: Tensor, size: int) -> 'Index':
        r"""The index of a table with a row for each of the distinct ``ids``, in rising order."""
        ids = check_ids('batch', ids, size)
        seen = torch.zeros(size, dtype=torch.bool, device=ids.device)
        seen[ids] = True
        ids = seen.nonzero().view(-1)
        position = torch.full((size, ), -1, dtype=torch.long, device=ids.device)
        position[ids] = torch.arange(ids.numel(), device=ids.device)
        return cls(position, ids)

    def __call__(self, ids: Tensor) -> Tensor:
        r"""The rows of ``ids``.

        Raises:
            ValueError: If an id is out of range or the table has no row for it (checked on CPU).
        """
        if torch.compiler.is_compiling():
            return _look_up(self.position, check_integers('ids', ids))
        if not isinstance(ids, Tensor) or ids.is_inference():  # Has no version.
            return _rows_of(self.position, ids)
        key = id(ids), ids._version  # The entry keeps the tensor, so its `id` is not reused.
        if key not in self._found:
            self._found[key] = ids, _rows_of(self.position, ids)
        return self._found[key][1]


def _rows_of(position: Tensor, ids: Tensor) -> Tensor:
    ids = check_integers('ids', ids)
    bounds.check_ids('ids', ids, position.numel(), None, position.device)
    rows = position[ids.reshape(-1)].view(ids.shape)  # Never a part of `position` itself.
    if rows.device.type == 'cpu' and rows.numel() > 0 and int(rows.min()) < 0:
        missing = int(ids.reshape(-1)[rows.reshape(-1).argmin()])
        raise ValueError(f"the embeddings hold no row for the id {missing}: they were encoded for "
                         f"another batch; call 'encode' with the batch that is scored, or compute "
                         f"all embeddings by calling the backbone")
    return rows


# An operation, so that compiled code checks the ids too.
@torch.library.custom_op('pyg_advcf::look_up', mutates_args=())
def _look_up(position: Tensor, ids: Tensor) -> Tensor:
    return _rows_of(position, ids)


@_look_up.register_fake
def _(position, ids):
    return position.new_empty(ids.shape)


def _rows(table: Tensor, index: Optional[Index], ids: Tensor) -> Tensor:
    if index is None:
        return bounds.check_ids('ids', check_integers('ids', ids), table.size(0), None,
                                table.device)
    return index(ids)


def _indices(rows: SampledRows) -> tuple[Index, Index]:
    r"""The indices of the tables of a sampled mini-batch: always the same two objects."""
    if 'indices' not in rows.__dict__:
        rows.__dict__['indices'] = (Index(rows.user_position, rows.user_ids),
                                    Index(rows.item_position, rows.item_ids))
    return rows.__dict__['indices']


def _same(a: Optional[Index], b: Optional[Index]) -> bool:
    if a is b:
        return True
    return a is not None and b is not None and torch.equal(a.position, b.position)


@dataclass(eq=False)
class Embeddings:
    r"""A table of users and one of items. Unpacks into the two: ``user, item = z``.

    What a backbone returns holds either all rows, or the rows that a batch reads; then it maps the
    ids of the data to its rows by itself, so that ids always are those of the data.

    Attributes:
        user: User embeddings, ``[num_users, D]`` or fewer rows.
        item: Item embeddings, ``[num_items, D]`` or fewer rows.
        user_index: Which users the rows belong to; ``None`` if all users in order.
        item_index: Which items the rows belong to; ``None`` if all items in order.
        layers: The embeddings of every propagation layer, from layer 0 on, where they were
            requested with ``return_layers=True``; else empty.

    Example:
        >>> z = Embeddings(torch.eye(2), torch.ones(3, 2))
        >>> z.users(torch.tensor([1, 1]))
        tensor([[0., 1.],
                [0., 1.]])
    """
    user: Tensor
    item: Tensor
    user_index: Optional[Index] = None
    item_index: Optional[Index] = None
    layers: tuple['Embeddings', ...] = ()

    @classmethod
    def from_link(cls, batch: Batch, user: Tensor, item: Optional[Tensor] = None) -> 'Embeddings':
        r"""What a model computed for the nodes of a sampled mini-batch.

        Where a node was sampled several times (``disjoint=True``), each row of the batch reads its
        own copy, and what looks a node up by its id, as a contrast of views does, the first one.

        Args:
            batch: Of the same mini-batch, by :meth:`Batch.from_link <pyg_advcf.Batch.from_link>`.
            user: A row for each sampled user; or for each node of a homogeneous mini-batch.
            item: A row for each sampled item; those of ``user`` by default.

        Raises:
            ValueError: If ``batch`` is of no sampled mini-batch, or the tables have other rows.

        Example:
            >>> from torch_geometric.data import HeteroData
            >>> data = HeteroData()
            >>> data['user'].n_id, data['item'].n_id = torch.tensor([7]), torch.tensor([9, 2])
            >>> data['user'].src_index = torch.tensor([0])
            >>> data['item'].dst_pos_index = torch.tensor([0])
            >>> data['item'].dst_neg_index = torch.tensor([1])
            >>> data['user', 'buys', 'item'].input_id = torch.tensor([30])
            >>> batch = Batch.from_link(data)
            >>> z = Embeddings.from_link(batch, torch.ones(1, 4), torch.ones(2, 4))
            >>> z.items(torch.tensor([2])).shape  # The item 2 of the data.
            torch.Size([1, 4])
        """
        check_instance('batch', batch, Batch, 'a Batch')
        if batch.rows is None:
            raise ValueError("'batch' is of no sampled mini-batch; make it by Batch.from_link")
        item = user if item is None else item
        for name, table, ids in (('user', user, batch.rows.user_ids),
                                 ('item', item, batch.rows.item_ids)):
            check_floats(name, table, ('rows', 'D'))
            if table.size(0) != ids.numel():
                raise ValueError(f"'{name}' has {table.size(0)} rows, but {ids.numel()} nodes were "
                                 f"sampled; pass what the model computed for this mini-batch")
        return cls(user, item, *_indices(batch.rows))

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.user, self.item))

    def user_rows(self, ids: Tensor) -> Tensor:
        r"""The rows of ``user`` that belong to the user ids, in the shape of ``ids``.

        Raises:
            ValueError: If an id is out of range or has no row (checked on CPU).
        """
        return _rows(self.user, self.user_index, ids)

    def item_rows(self, ids: Tensor) -> Tensor:
        r"""The rows of ``item`` that belong to the item ids; see :meth:`user_rows`."""
        return _rows(self.item, self.item_index, ids)

    def rows(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        r"""The rows of the batch's users, positive items and negative items.

        Raises:
            ValueError: If an id has no row, or if ``batch`` is of a sampled mini-batch and the
                tables look like those of its nodes, without saying whose rows they hold.
        """
        batch = _check_not_local(self, check_batch(batch))
        sampled = batch.rows
        if sampled is not None and (self.user_index, self.item_index) == _indices(sampled):
            return sampled.user, sampled.item, sampled.neg_item
        return (self.user_rows(batch.user), self.item_rows(batch.item),
                self.item_rows(batch.neg_item))

    def users(self, ids: Tensor) -> Tensor:
        r"""The embeddings of the user ids, ``[*, D]``."""
        return F.embedding(self.user_rows(ids), self.user)

    def items(self, ids: Tensor) -> Tensor:
        r"""The embeddings of the item ids, ``[*, D]``."""
        return F.embedding(self.item_rows(ids), self.item)

    @property
    def is_complete(self) -> bool:
        r"""Whether all users and all items have their own row, in order."""
        return self.user_index is None and self.item_index is None

    def check_complete(self, argument: str) -> 'Embeddings':
        r"""Returns these embeddings if they hold all rows.

        Args:
            argument: Their name in the error message.

        Raises:
            ValueError: If they hold only the rows of a batch.
        """
        if not self.is_complete:
            raise ValueError(f"'{argument}' holds the rows of a batch, but all rows are needed; "
                             f"compute them without a batch: backbone()")
        return self

    def map(self, function: Callable[..., Tensor], *others: 'Embeddings') -> 'Embeddings':
        r"""Applies ``function`` to the tables of this and of ``others``, side by side.

        Layers are mapped too where all have them, and dropped otherwise. The rows stay the same.

        Raises:
            ValueError: If the others hold different rows.
        """
        check_instance('function', function, Callable, 'a function of tables')
        for other in others:
            check_instance('others', other, Embeddings, 'Embeddings')
            if not (_same(self.user_index, other.user_index)
                    and _same(self.item_index, other.item_index)):
                raise ValueError("the embeddings hold different rows; encode all of them for the "
                                 "same batch, by one encoder: encode = backbone.encoder(batch)")
        layers = ()
        if all(len(other.layers) == len(self.layers) for other in others):
            layers = tuple(layer.map(function, *(other.layers[place] for other in others))
                           for place, layer in enumerate(self.layers))
        user, item = (function(*tables) for tables in zip(self, *others))
        return Embeddings(user, item, self.user_index, self.item_index, layers)

    def with_tables(self, user: Tensor, item: Tensor) -> 'Embeddings':
        r"""The same rows with other values, without layers."""
        return Embeddings(user, item, self.user_index, self.item_index)

    def detach(self) -> 'Embeddings':
        r"""Detaches both tables."""
        return self.map(Tensor.detach)

    def replace(self, **changes) -> 'Embeddings':
        r"""A copy with some attributes changed."""
        return replace(self, **changes)


def check_embeddings(
    argument: str,
    z: Embeddings,
    num_users: Optional[int] = None,
    num_items: Optional[int] = None,
    one_width: bool = True,
) -> Embeddings:
    r"""Returns ``z`` if its tables fit each other, and the sizes that are given.

    Args:
        argument: Its name in the message.
        z: What is checked.
        num_users: Users that it has to embed, if it holds all of them.
        num_items: Items that it has to embed, if it holds all of them.
        one_width: Whether both tables need to be of one width, as features need not be.

    Raises:
        ValueError: If it is no :class:`Embeddings`, or its tables are not ``[n, D]`` and ``[m, D]``
            of one floating-point type on one device.
    """
    check_instance(argument, z, Embeddings,
                   'Embeddings(user, item), as a backbone returns them')
    for name, table in (('user', z.user), ('item', z.item)):
        check_floats(f'{argument}.{name}', table, ('rows', 'D'))
    user, item = z
    if (one_width and user.size(1) != item.size(1)) or (
            user.dtype != item.dtype or user.device != item.device):
        raise ValueError(f"'{argument}' embeds users as {user.dtype} {list(user.shape)} on "
                         f"{user.device} and items as {item.dtype} {list(item.shape)} on "
                         f"{item.device}, but both need one width, one type and one device")
    if (num_users is not None and z.user_index is None and user.size(0) != num_users) or (
            num_items is not None and z.item_index is None and item.size(0) != num_items):
        raise ValueError(f"'{argument}' embeds {user.size(0)} users and {item.size(0)} items, but "
                         f"'data' has {num_users} and {num_items}; embed all of them, in order")
    return z


def _check_not_local(z: Embeddings, batch: Batch) -> Batch:
    r"""Raises if ``z`` has the rows of a sampled mini-batch and does not say so."""
    sampled = batch.rows
    if sampled is not None and z.is_complete and (z.user.size(0), z.item.size(0)) == (
            sampled.user_ids.numel(), sampled.item_ids.numel()) and not sampled.in_order:
        raise ValueError("the embeddings have a row for each node of the sampled mini-batch, but "
                         "'batch' holds ids of the data; make them by Embeddings.from_link(batch, "
                         "user, item), or pass batch._replace(rows=None) if they are those of all "
                         "nodes")
    return batch


def check_rows(z: Embeddings, batch: Batch, negatives: bool = True) -> Batch:
    r"""Returns ``batch`` if ``z`` can have rows for it: as :func:`pyg_advcf.batch.check_batch`.

    Embeddings that hold some rows look the ids up themselves.
    """
    if isinstance(batch, Batch):
        _check_not_local(z, batch)
    return check_batch(batch, *(table.size(0) if index is None else None for table, index in (
        (z.user, z.user_index), (z.item, z.item_index))), negatives=negatives)
