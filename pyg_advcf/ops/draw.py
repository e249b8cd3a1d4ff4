r"""Draws with replacement, many from every row, without a search per draw."""
from typing import Optional

import torch
from torch import Tensor

from pyg_advcf._checks import check_count
from pyg_advcf.ops.backend import choose, kernels
from pyg_advcf.ops.bounds import check_alike, check_table


@torch.library.custom_op('pyg_advcf::merge', mutates_args=())
def _merge(edges: Tensor, points: Tensor) -> Tensor:
    choose('sampled_scores', check_table('edges', edges), 'numba')
    check_table('points', points, edges.size(0))
    check_alike(edges=edges, points=points)
    if edges.size(1) == 0 and points.numel() > 0:
        raise ValueError("'edges' has no columns, but there are points")
    return kernels('numba').merge(edges, points)


@_merge.register_fake
def _(edges, points):
    return torch.empty_like(points, dtype=torch.long, memory_format=torch.contiguous_format)


def sorted_uniform(rows: int, num: int, like: Tensor) -> Tensor:
    r"""``num`` uniform numbers in (0, 1] for each row, in ascending order, ``[rows, num]``.

    The partial sums of exponential numbers, divided by the sum of one more of them, are distributed
    as sorted uniform ones, and need no sorting.

    Args:
        rows: Number of rows.
        num: Numbers per row.
        like: Gives type and device.
    """
    gaps = torch.rand(rows, num + 1, dtype=like.dtype, device=like.device)
    # A zero would be an infinite gap. Below the resolution of the numbers nothing else changes.
    total = gaps.clamp_(min=torch.finfo(like.dtype).eps / 4).log_().neg_().cumsum(1)
    return total[:, :-1] / total[:, -1:]


def upper_edges(weight: Tensor, total: Tensor) -> Tensor:
    r"""Where the column of each weight ends, from partial sums that may be off in their last bits.

    A sum in blocks, as accelerators make it, need not ascend. Here the edges do, and a column
    without weight ends where the one before it does, or below all numbers.

    Args:
        weight: ``[B, N]``.
        total: Its partial sums.
    """
    return total.masked_fill(weight == 0, float('-inf')).cummax(1)[0]


def draw(weight: Tensor, num_draws: int, backend: Optional[str] = None) -> Tensor:
    r"""Columns drawn with replacement by the weights of each row, in ascending order.

    As :func:`torch.multinomial`, whose order is random: fit for sums and means over the draws. The
    draws are sorted from the start, so that one walk along a row finds all of its columns. The
    random numbers, and with them the draws, are the same with every backend.

    Args:
        weight: Weights :math:`\geq 0`, not all 0 in any row, ``[B, N]``.
        num_draws: Draws per row.
        backend: See :func:`pyg_advcf.ops.backend.choose`; all but ``'numba'`` search.

    Returns:
        ``[B, num_draws]``, without gradient.

    Raises:
        ValueError: If ``weight`` is not a matrix of floating-point numbers, or has no columns; on
            CPU, also if a weight is negative, or the sum of a row is 0 or not finite. On CUDA, and
            under :func:`torch.compile`, a sum of 0 is an assertion of the device, a RuntimeError,
            so that nothing waits for it; negative weights are not noticed there.

    Example:
        >>> draw(torch.tensor([[0., 2., 0.], [1., 0., 0.]]), 3)
        tensor([[1, 1, 1],
                [0, 0, 0]])
    """
    check_count('num_draws', num_draws, minimum=0)
    if check_table('weight', weight).size(1) == 0:
        raise ValueError(f"'weight' has shape {list(weight.shape)}, but needs to be [B, N] with at "
                         f"least one column to draw")
    # Not by `no_grad`: an error within it, in compiled code, would leave gradients off.
    weight = weight.detach()
    edges = weight.cumsum(1)
    if weight.device.type != 'cpu':
        edges = upper_edges(weight, edges)
    total = edges[:, -1]
    if weight.device.type != 'cpu' or torch.compiler.is_compiling():
        torch._assert_async(((total > 0) & (total < float('inf'))).all(),
                            "'weight' needs a positive, finite sum in every row, and no NaN")
    elif weight.numel() > 0:
        bad = ~((total > 0) & (total < float('inf')))
        if bad.any():
            row = int(bad.nonzero()[0])
            raise ValueError(f"'weight' needs a positive, finite sum in every row, and no NaN, "
                             f"but that of row {row} is {float(total[row])}")
        if (low := float(weight.min())) < 0:
            raise ValueError(f"'weight' holds {low}, but weights need to be at least 0")
    # Never above the last edge, whatever is rounded, and never 0: no column without weight.
    points = sorted_uniform(weight.size(0), num_draws, edges) * edges[:, -1:]
    if choose('sampled_scores', weight, backend) == 'numba':
        return _merge(edges, points)
    return torch.searchsorted(edges.contiguous(), points)
