r"""Groups of rows of a batch, without a Python loop and without a synchronisation."""
import torch
from torch import Tensor


def first_occurrence(ids: Tensor) -> Tensor:
    r"""For every entry, the place where its value occurs first.

    Example:
        >>> first_occurrence(torch.tensor([7, 3, 7, 3]))
        tensor([0, 1, 0, 1])
    """
    if ids.numel() == 0:
        return ids.long()
    value, order = torch.sort(ids, stable=True)
    new = torch.ones_like(value, dtype=torch.bool)
    new[1:] = value[1:] != value[:-1]
    # Along the sorted values, the first of a run stands for the run.
    start = torch.where(new, torch.arange(ids.numel(), device=ids.device), 0).cummax(0)[0]
    return torch.empty_like(order).scatter_(0, order, order[start])


def group_sum(x: Tensor, group: Tensor) -> Tensor:
    r"""The sum over each entry's group, ``[B]``; ``group`` as :func:`first_occurrence` has it.

    Example:
        >>> group_sum(torch.tensor([1., 2., 3.]), torch.tensor([0, 1, 0]))
        tensor([4., 2., 4.])
    """
    return torch.zeros_like(x).index_add(0, group, x)[group]


def group_logsumexp(x: Tensor, group: Tensor) -> Tensor:
    r"""The log of the sum of exponentials over each entry's group, ``[B]``.

    Example:
        >>> group_logsumexp(torch.tensor([1., 200., 1.]), torch.tensor([0, 1, 0]))
        tensor([  1.6931, 200.0000,   1.6931])
    """
    highest = torch.zeros_like(x).scatter_reduce(0, group, x.detach(), 'amax', include_self=False)
    highest = highest[group]
    return group_sum((x - highest).exp(), group).log() + highest
