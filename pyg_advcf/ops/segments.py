r"""The two primitives that every operation here is made of, for any backend; no autograd.

A *pattern* is a compressed sparse matrix without values: row :math:`r` holds the columns
``index[indptr[r]:indptr[r + 1]]``, which may repeat and need no order. Nothing is checked here: the
operations have done it (:mod:`pyg_advcf.ops.bounds`).
"""
from typing import Optional

import torch
from torch import Tensor

from pyg_advcf.ops.backend import kernels


def segment_sum(
    x: Tensor,
    indptr: Tensor,
    index: Tensor,
    weight: Optional[Tensor],
    backend: str,
) -> Tensor:
    r"""Sums the rows of ``x`` that each row of the pattern names, times ``weight`` if given.

    Args:
        x: ``[m, D]``.
        indptr: ``[n + 1]``.
        index: ``[E]``.
        weight: ``[E]``, or ``None`` for ones.
        backend: Name of a backend that :func:`~pyg_advcf.ops.backend.choose` has chosen.

    Returns:
        ``[n, D]``.
    """
    if index.numel() == 0 or x.size(1) == 0:
        return x.new_zeros(indptr.numel() - 1, x.size(1))
    if weight is not None:
        weight = weight.contiguous()
    return kernels(backend).segment_sum(x.contiguous(), indptr.contiguous(), index.contiguous(),
                                        weight)


def sddmm(a: Tensor, b: Tensor, indptr: Tensor, index: Tensor, backend: str) -> Tensor:
    r"""Dot products of row :math:`r` of ``a`` with the rows of ``b`` that the pattern's row names.

    Args:
        a: ``[n, D]``.
        b: ``[m, D]``.
        indptr: ``[n + 1]``.
        index: ``[E]``.
        backend: As of :func:`segment_sum`.

    Returns:
        ``[E]``.
    """
    if index.numel() == 0 or a.size(1) == 0:
        return a.new_zeros(index.numel())
    return kernels(backend).sddmm(a.contiguous(), b.contiguous(), indptr.contiguous(),
                                  index.contiguous())


def regular(index: Tensor) -> Tensor:
    r"""``indptr`` of the pattern whose rows are the rows of ``index [B, N]``."""
    return torch.arange(index.size(0) + 1, device=index.device).mul_(index.size(1))


def transposed(index: Tensor, size: int, weight: Tensor,
               backend: str) -> tuple[Tensor, Tensor, Tensor]:
    r"""The transposed pattern of :func:`regular`, and the weights in its order.

    The entries of a column stay in the order of their rows, so what is summed along them is summed
    in the same order always.
    """
    module = kernels(backend)
    if hasattr(module, 'transposed') and index.numel() > 0:
        return module.transposed(index.contiguous(), size, weight.contiguous())
    flat = index.reshape(-1)
    value, order = torch.sort(flat.to(torch.int32) if size < 2**31 else flat, stable=True)
    # Not by `bincount`, which waits for accelerators.
    indptr = torch.searchsorted(value, torch.arange(size + 1, device=index.device,
                                                    dtype=value.dtype))
    row = torch.div(order, max(index.size(1), 1), rounding_mode='floor')
    return indptr, row, weight.reshape(-1)[order]
