r"""The best columns of every row, with ties broken by the lower id."""
import torch
from torch import Tensor

from pyg_advcf._checks import check_count
from pyg_advcf.ops.bounds import check_table


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    r"""The ``k`` best columns of every row, ties broken by the lower id.

    Entries of :math:`-\infty` are no candidates. Where fewer than ``k`` remain, the rest of the
    list holds the id ``-1`` with the score :math:`-\infty`.

    Returns:
        ids and scores, both ``[rows, k]``.

    Raises:
        ValueError: If ``scores`` is no matrix of floating-point numbers, holds NaN, or ``k`` is
            below 1.

    Example:
        >>> top_k(torch.tensor([[1., 3., 3., float('-inf')]]), 4)[0]
        tensor([[ 1,  2,  0, -1]])
    """
    check_count('k', k)
    rows, columns = check_table('scores', scores).shape
    width = min(k, columns)
    value, index = scores.topk(min(k + 1, columns), dim=1)
    if value[:, :1].isnan().any():  # The largest of all.
        raise ValueError("'scores' holds NaN, which has no place in an order")
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
