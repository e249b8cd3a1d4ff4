r"""The compressed forms of a graph: made once, whatever graph it is, and again if it changes."""
from typing import Any, NamedTuple, Optional

import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from pyg_advcf._checks import check_ids, shown
from pyg_advcf._remembered import Remembered


class Structure(NamedTuple):
    r"""A graph by users and by items, both in rising order.

    Attributes:
        size: Number of users and of items.
        rowptr: Where the items of each user begin and end in ``col``, ``[users + 1]``.
        col: ``[E]``.
        colptr: Where the users of each item begin and end in ``row``, ``[items + 1]``.
        row: ``[E]``.
        order: Leads from the order by users to the order by items, ``[E]``.
        column: The graph's column of each edge in the order by users; ``None`` if it is the same.
        place: Leads back: where each column of the graph is in the order by users.
        repeats: Whether an edge occurs more than once.
    """
    size: tuple[int, int]
    rowptr: Tensor
    col: Tensor
    colptr: Tensor
    row: Tensor
    order: Tensor
    column: Optional[Tensor]
    place: Optional[Tensor]
    repeats: bool

    def pattern(self, transpose: bool) -> tuple[Tensor, Tensor]:
        r"""``(indptr, index)`` by users, or by items if ``transpose``."""
        return (self.colptr, self.row) if transpose else (self.rowptr, self.col)

    def weighted(self) -> tuple[Tensor, ...]:
        r"""What the operations with a weight per edge take."""
        return self.rowptr, self.col, self.colptr, self.row, self.order


def _stamp(graph: EdgeIndex) -> Optional[tuple]:
    r"""Differs after a change; ``None`` if changes can't be noticed."""
    pairs = graph.as_tensor()
    if graph.is_inference() or pairs.is_inference():
        return None
    # Changes through the graph count in its own version, those through `as_tensor` in the other.
    return graph._version, pairs._version, pairs.data_ptr(), pairs.shape, graph.sparse_size()


# Compiled code calls it as it is: what a graph keeps is lost in the trace of it.
@torch.compiler.disable
def structure(graph: Any) -> Structure:
    r"""The compressed forms of ``graph``; cached as long as the graph lives and is not changed.

    Edges may come in any order, and repeat. Whatever PyTorch Geometric has cached of the graph is
    not read, for it is not renewed when the graph is changed.

    Args:
        graph: An :class:`~torch_geometric.EdgeIndex` of shape (users, items).

    Raises:
        ValueError: If it is none, its size is unknown, or an id is beyond it.

    Example:
        >>> graph = EdgeIndex([[1, 0, 0], [1, 1, 0]], sparse_size=(2, 2))
        >>> found = structure(graph)
        >>> found.rowptr.tolist(), found.col.tolist(), found.column.tolist()
        ([0, 2, 3], [0, 1, 1], [2, 1, 0])
    """
    if not isinstance(graph, EdgeIndex):
        raise ValueError(f"'graph' is {shown(graph)}, but needs to be an EdgeIndex; make it with "
                         f"'pyg_advcf.as_graph'")
    return _structures(graph)


def _find(graph: EdgeIndex) -> Structure:
    # Tensors made in inference mode could not be saved for a backward pass later.
    with torch.inference_mode(False), torch.no_grad():
        return _compress(graph.as_tensor(), *graph.sparse_size())


_structures = Remembered(_find, _stamp)


def _compress(pairs: Tensor, users: Optional[int], items: Optional[int]) -> Structure:
    if users is None or items is None:
        raise ValueError(f"'graph' has the sparse size ({users}, {items}), but both numbers are "
                         f"needed; pass 'sparse_size=(num_users, num_items)', or make it with "
                         f"'pyg_advcf.as_graph'")
    if not 0 <= users < 2**31 or not 0 <= items < 2**31:
        raise ValueError(f"'graph' has the sparse size ({users}, {items}), but both numbers need "
                         f"to be in [0, 2**31)")
    for side, size in enumerate((users, items)):
        check_ids(f'graph[{side}]', pairs[side], size)
    user, item = pairs
    key = user.long() * items + item
    column = place = None
    if (key[1:] < key[:-1]).any():
        key, column = torch.sort(key, stable=True)
        user, item = user[column], item[column]
        place = torch.empty_like(column)
        place[column] = torch.arange(column.numel(), device=column.device)
    other, order = torch.sort(item, stable=True)
    return Structure((users, items), _pointers(user, users), item, _pointers(other, items),
                     user[order], order.to(pairs.dtype), column, place,
                     bool((key[1:] == key[:-1]).any()))


def _pointers(ids: Tensor, size: int) -> Tensor:
    r"""Where each of ``size`` rows begins and ends among the rising ``ids``."""
    bounds = torch.arange(size + 1, dtype=ids.dtype, device=ids.device)
    return torch.searchsorted(ids.contiguous(), bounds, out_int32=ids.dtype == torch.int32)
