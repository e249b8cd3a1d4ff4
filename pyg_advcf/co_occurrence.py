r"""Items that share users: the sparse matrix of interactions, and the neighbours of every item."""
from collections.abc import Callable

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from pyg_advcf._checks import check_pairs
from pyg_advcf.ops.top_k import top_k

_ENTRIES = 2**22  # Co-occurrences held at once.


def interaction_matrix(pairs: Tensor, num_users: int, num_items: int) -> sparse.csr_matrix:
    r"""The binary matrix :math:`R` of the distinct pairs ``[2, E]``, in float64.

    Example:
        >>> interaction_matrix(torch.tensor([[0, 1], [2, 0]]), 2, 3).toarray()
        array([[0., 0., 1.],
               [1., 0., 0.]])
    """
    user, item = check_pairs('pairs', pairs, num_users, num_items).cpu().numpy()
    return sparse.csr_matrix((np.ones(user.size), (user, item)), shape=(num_users, num_items))


def nearest_items(
    r: sparse.csr_matrix,
    k: int,
    weigh: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    itself: bool = False,
) -> tuple[Tensor, Tensor]:
    r"""The ``k`` items of the largest weight among those that share users with each item.

    The counts :math:`R^T R` are made and cut to their largest entries some rows at a time, as a
    sparse product; ties go to the lower id.

    Args:
        r: :math:`R`, as of :func:`interaction_matrix`.
        k: Neighbours of each item.
        weigh: The weight of items ``i`` and their neighbours ``j``, called as ``weigh(i, j,
            common)`` with the numbers of common users; three arrays of one length.
        itself: Whether an item may be its own neighbour.

    Returns:
        Ids and weights in float64, both ``[num_items, k]``; where an item has fewer neighbours, 0
        with weight 0.

    Example:
        >>> r = interaction_matrix(torch.tensor([[0, 0, 1], [0, 1, 1]]), 2, 3)
        >>> nearest_items(r, 1, lambda i, j, common: common)[0].tolist()
        [[1], [0], [0]]
    """
    num_items = r.shape[1]
    by_item = r.T.tocsr()
    ids = torch.zeros(num_items, k, dtype=torch.long)
    weights = torch.zeros(num_items, k, dtype=torch.float64)
    # Rows of like length together, so that padding them to the longest wastes little.
    bound = np.minimum(by_item @ np.diff(r.indptr), num_items).astype(np.int64)
    order = np.argsort(bound, kind='stable')
    start = 0
    while start < num_items:
        # At least one row, else as many as fit at the length of the longest.
        width = bound[order[start:]] * np.arange(1, num_items - start + 1)
        stop = start + max(int(np.searchsorted(width, _ENTRIES, side='right')), 1)
        rows, start = order[start:stop], stop
        product = (by_item[rows] @ r).tocsr()
        product.sort_indices()
        length = np.diff(product.indptr)
        row = np.repeat(np.arange(rows.size), length)
        place = np.arange(row.size) - product.indptr[row]
        value = weigh(rows[row], product.indices, product.data)
        if not itself:
            value[product.indices == rows[row]] = -np.inf
        shape = rows.size, max(int(length.max(initial=0)), 1)
        padded, column = np.full(shape, -np.inf), np.zeros(shape, dtype=np.int64)
        padded[row, place], column[row, place] = value, product.indices
        found, weight = top_k(torch.from_numpy(padded), k)
        present = found >= 0
        found = torch.from_numpy(column).gather(1, found.clamp(min=0))
        rows = torch.from_numpy(rows)
        ids[rows], weights[rows] = found.where(present, 0), weight.where(present, 0.)
    return ids, weights
