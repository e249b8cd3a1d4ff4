r"""Top-k items of users, with masked pairs left out."""
from typing import Optional

import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from pyg_advcf.ops.spmm import compressed


class PairMask:
    r"""A set of user-item pairs that a ranking leaves out, indexed by user.

    Args:
        indptr: Where each user's items begin and end, ``[num_users + 1]``; a graph's compressed
            form will do.
        item: The items, grouped by user.
    """
    def __init__(self, indptr: Tensor, item: Tensor) -> None:
        self.indptr, self.item = indptr, item

    @classmethod
    def from_keys(cls, keys: Tensor, num_users: int, num_items: int) -> 'PairMask':
        r"""From the sorted, unique ``user * num_items + item`` of the pairs."""
        bounds = torch.arange(num_users + 1, device=keys.device) * num_items
        return cls(torch.searchsorted(keys, bounds), keys % num_items)

    def __call__(self, user: Tensor) -> tuple[Tensor, Tensor]:
        r"""``(row, item)`` of the pairs of ``user``, where ``row`` counts along ``user``."""
        start, count = self.indptr[user], self.indptr[user + 1] - self.indptr[user]
        row = torch.repeat_interleave(torch.arange(user.numel(), device=user.device), count)
        first = torch.cumsum(count, 0) - count
        offset = torch.arange(row.numel(), device=user.device) - first[row]
        return row, self.item[start[row] + offset].long()


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    r"""The ``k`` best columns of every row, ties broken by the lower id.

    Entries of :math:`-\infty` are no candidates. Where fewer than ``k`` remain, the rest of the
    list holds the id ``-1`` with the score :math:`-\infty`.

    Returns:
        ids and scores, both ``[rows, k]``.

    Example:
        >>> top_k(torch.tensor([[1., 3., 3., float('-inf')]]), 4)[0]
        tensor([[ 1,  2,  0, -1]])
    """
    rows, columns = scores.shape
    width = min(k, columns)
    value, index = scores.topk(min(k + 1, columns), dim=1)
    if columns > k:
        # A tie across the k-th place: which of its items `topk` took is not defined.
        tied = (value[:, k - 1] == value[:, k]) & ~value[:, k].isneginf()
        tied = tied.nonzero().view(-1)
        if tied.numel() > 0:
            best, order = torch.sort(scores[tied], dim=1, descending=True, stable=True)
            value[tied], index[tied] = best[:, :k + 1], order[:, :k + 1]
    value, index = value[:, :width], index[:, :width]
    # Ties inside the list: by id first, then (stably) by score.
    index, order = torch.sort(index, dim=1)
    value, order = torch.sort(value.gather(1, order), dim=1, descending=True, stable=True)
    index = index.gather(1, order).masked_fill_(value.isneginf(), -1)
    if width < k:
        value = torch.cat([value, value.new_full((rows, k - width), float('-inf'))], dim=1)
        index = torch.cat([index, index.new_full((rows, k - width), -1)], dim=1)
    return index, value


def rank(
    user_emb: Tensor,
    item_emb: Tensor,
    k: int,
    masked: Optional[tuple[Tensor, Tensor]] = None,
    candidate_mask: Optional[Tensor] = None,
) -> tuple[Tensor, Tensor]:
    r"""Top ``k`` items by dot product for the rows of ``user_emb``; see :func:`top_k`."""
    scores = user_emb @ item_emb.t()
    if masked is not None:
        scores[masked] = float('-inf')
    if candidate_mask is not None:
        scores[:, ~candidate_mask] = float('-inf')
    return top_k(scores, k)


def _known_by_pairs(graph: EdgeIndex, user: Tensor, item: Tensor) -> Tensor:
    r"""Goes through the items of the users: few, but how many, the host has to know."""
    row, known = PairMask(*compressed(graph, False))(user)
    value, order = torch.sort(item)
    first = torch.searchsorted(value, known)
    count = torch.searchsorted(value, known, right=True) - first
    # An item that the pool repeats has as many columns.
    offset = torch.arange(int(count.sum()), device=item.device)
    offset = offset - torch.repeat_interleave(count.cumsum(0) - count, count)
    column = order[torch.repeat_interleave(first, count) + offset]
    mask = torch.zeros(user.numel(), item.numel(), dtype=torch.bool, device=item.device)
    mask[torch.repeat_interleave(row, count), column] = True
    return mask


def _known_by_search(graph: EdgeIndex, user: Tensor, item: Tensor) -> Tensor:
    r"""Looks every pair up, which needs no synchronisation."""
    row, column = graph.as_tensor().long()
    num_items = graph.get_sparse_size(1)
    keys = row * num_items + column
    key = user.unsqueeze(1) * num_items + item
    return keys[torch.searchsorted(keys, key).clamp_(max=keys.numel() - 1)] == key


def known_among(graph: EdgeIndex, user: Tensor, item: Tensor) -> Tensor:
    r"""Whether the users have interacted with the items of one pool, ``[B, P]``.

    Args:
        graph: As :func:`pyg_advcf.interaction_graph` returns it.
        user: ``[B]``.
        item: ``[P]``; may repeat.

    Example:
        >>> from pyg_advcf import as_graph
        >>> graph = as_graph(torch.tensor([[0, 0, 1], [0, 1, 1]]), 2, 3)
        >>> known_among(graph, torch.tensor([1, 0]), torch.tensor([1, 2, 0]))
        tensor([[ True, False, False],
                [ True, False,  True]])
    """
    search = _known_by_pairs if user.device.type == 'cpu' else _known_by_search
    return search(graph, user.long(), item.long())
