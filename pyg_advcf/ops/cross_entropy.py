r"""Cross entropy of the products of two sets of rows, some rows at a time.

:func:`product_cross_entropy` computes its gradients together with the loss: the fastest way where
the rows' weights are known beforehand. :func:`chunked_cross_entropy` returns the loss of every row
and can exclude entries; its backward pass scores the rows again.
"""
from collections.abc import Callable
from typing import Optional, Union

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pyg_advcf._checks import check_count, check_integers
from pyg_advcf.ops.bounds import check_alike, check_ids, check_table, check_vector, check_width


class _ProductCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b, target, weight, bias, chunk_size):
        loss = a.new_zeros(())
        grad_a = torch.empty_like(a) if ctx.needs_input_grad[0] else None
        grad_b = torch.zeros_like(b) if ctx.needs_input_grad[1] else None
        for start in range(0, a.size(0), chunk_size):
            rows = slice(start, start + chunk_size)
            left, column, share = a[rows], target[rows].unsqueeze(1), weight[rows]
            scores = left @ b.t() if bias is None else torch.addmm(bias, left, b.t())
            scores -= scores.amax(1, keepdim=True)
            own = scores.gather(1, column).squeeze(1)
            total = scores.exp_().sum(1)
            loss += ((total.log() - own) * share).sum()
            if grad_a is None and grad_b is None:
                continue
            # From here on `scores` holds the gradient of the scores.
            scores *= (share / total).unsqueeze(1)
            scores.scatter_add_(1, column, -share.unsqueeze(1))
            if grad_a is not None:
                torch.mm(scores, b, out=grad_a[rows])
            if grad_b is not None:
                grad_b.addmm_(scores.t(), left)
        ctx.save_for_backward(grad_a, grad_b, a, b, target, weight, bias)
        return loss

    @staticmethod
    def backward(ctx, grad):
        *found, a, b, target, weight, bias = ctx.saved_tensors
        if not torch.is_grad_enabled():
            found = [None if g is None else grad * g for g in found]
        else:
            # The gradient will be differentiated itself: the same out of what can be.
            scores = a @ b.t() if bias is None else torch.addmm(bias, a, b.t())
            own = F.one_hot(target, b.size(0)).to(a.dtype)
            scores = grad * weight.unsqueeze(1) * (scores.softmax(1) - own)
            found = [scores @ b, scores.t() @ a]
        return (*found, None, None, None, None)


def _check(a: Tensor, b: Tensor, target: Tensor, bias: Optional[Tensor]) -> Tensor:
    r"""Returns ``target`` if all fit each other."""
    check_table('a', a)
    check_table('b', b)
    check_width(a=a, b=b)
    if bias is not None:
        check_vector('bias', bias, b.size(0))
    check_alike(a=a, b=b, bias=bias)
    target = check_ids('target', check_integers('target', target), b.size(0), device=a.device)
    if target.numel() != a.size(0):
        raise ValueError(f"'target' has {target.numel()} entries, but 'a' has {a.size(0)} rows")
    return target


def product_cross_entropy(
    a: Tensor,
    b: Tensor,
    target: Tensor,
    weight: Tensor,
    bias: Optional[Tensor] = None,
    chunk_size: Optional[int] = None,
) -> Tensor:
    r"""Weighted sum of the cross entropies of the scores ``a @ b.t() + bias``.

    Scores are made once, a chunk of rows at a time, and turned into gradients while they are in the
    cache; so neither scores nor probabilities are kept or made again for the backward pass. (Where
    the gradient is differentiated itself, all of them are made at once.)

    Args:
        a: ``[n, D]``.
        b: ``[M, D]``.
        target: The right column of each row, ``[n]``.
        weight: Weights of the rows, ``[n]``, without gradient.
        bias: Added to the columns, ``[M]``, without gradient; :math:`-\infty` leaves one out, but
            never a target.
        chunk_size: Rows at once: memory is ``chunk_size * M``. By default at least 128, and as many
            as give a million scores (on accelerators 16 million).

    Raises:
        ValueError: If the tensors do not fit each other, or a target is out of range (checked on
            CPU).

    Example:
        >>> product_cross_entropy(torch.zeros(2, 3), torch.zeros(4, 3), torch.tensor([0, 1]),
        ...                       torch.ones(2))  # 2 ln 4
        tensor(2.7726)
    """
    target = _check(a, b, target, bias)
    check_vector('weight', weight, a.size(0))
    check_alike(a=a, weight=weight)
    if chunk_size is not None:
        check_count('chunk_size', chunk_size)
    else:
        # What a cache holds, or what keeps an accelerator busy. Few rows make a slow product.
        scores = 2**20 if a.device.type == 'cpu' else 2**24
        chunk_size = max(128, scores // max(b.size(0), 1))
    return _ProductCrossEntropy.apply(a, b, target, weight, bias, chunk_size)


Excluded = Union[Tensor, tuple[Tensor, Tensor], None]


def chunked_cross_entropy(
    a: Tensor,
    b: Tensor,
    target: Tensor,
    chunk_size: int,
    bias: Optional[Tensor] = None,
    excluded: Optional[Callable[[int, int], Excluded]] = None,
) -> Tensor:
    r"""Cross entropy of the scores ``a @ b.t() + bias``, some rows at once.

    Memory is ``chunk_size * M``, forward and backward: of several chunks, the backward pass scores
    each again. PyTorch's own ``linear_cross_entropy`` excludes nothing and can't be differentiated
    twice.

    Args:
        a: ``[B, D]``.
        b: ``[M, D]``.
        target: The right column of each row, ``[B]``; it is never excluded.
        chunk_size: Rows scored at once.
        bias: Added to the columns, ``[M]``.
        excluded: ``excluded(start, stop)`` tells what must not count in these rows: a mask, or
            the pair ``(row, column)``, rows from ``start`` on.

    Returns:
        ``[B]``.

    Raises:
        ValueError: If the tensors do not fit each other, or a target is out of range (checked on
            CPU).
    """
    target = _check(a, b, target, bias)
    check_count('chunk_size', chunk_size)

    def chunk(a: Tensor, b: Tensor, target: Tensor, bias: Optional[Tensor],
              out: Excluded) -> Tensor:
        scores = a @ b.t() if bias is None else torch.addmm(bias, a, b.t())
        lowest = scores.new_tensor(float('-inf'))
        if isinstance(out, Tensor):
            out = out.scatter(1, target.view(-1, 1), False)
            scores = scores.masked_fill(out, float('-inf'))
        elif out is not None:
            row, column = out
            other = column != target[row]
            scores = scores.index_put((row[other], column[other]), lowest)
        return F.cross_entropy(scores, target, reduction='none')

    bounds = [(start, min(start + chunk_size, a.size(0)))
              for start in range(0, a.size(0), chunk_size)]
    losses = []
    for start, stop in bounds:
        args = (a[start:stop], b, target[start:stop], bias,
                None if excluded is None else excluded(start, stop))
        losses.append(chunk(*args) if len(bounds) == 1 else
                      checkpoint(chunk, *args, use_reentrant=False))
    return torch.cat(losses) if losses else a.new_zeros(0)
