r"""Triton kernels for CUDA: one program per row, sums in 32 bits for halves.

With ``TRITON_INTERPRET=1`` (set before this module is imported) they run on CPU tensors, slowly:
for tests.
"""
from contextlib import AbstractContextManager, nullcontext
from typing import Optional

import torch
import triton
import triton.language as tl
from torch import Tensor

# Edges read at once, and numbers of a row read at once.
_EDGES = 32
_WIDTH = 64


@triton.jit
def _segment_sum(x, indptr, index, weight, out, dim, WEIGHTED: tl.constexpr, WIDE: tl.constexpr,
             EDGES: tl.constexpr, WIDTH: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    start, stop = tl.load(indptr + row), tl.load(indptr + row + 1)
    total = tl.zeros((WIDTH, ), dtype=tl.float64 if WIDE else tl.float32)
    for begin in range(start, stop, EDGES):
        edge = begin + tl.arange(0, EDGES)
        ids = tl.load(index + edge, mask=edge < stop, other=0).to(tl.int64)
        inside = (edge < stop)[:, None] & (column < dim)[None, :]
        values = tl.load(x + ids[:, None] * dim + column[None, :], mask=inside, other=0.)
        values = values.to(total.dtype)
        if WEIGHTED:
            factor = tl.load(weight + edge, mask=edge < stop, other=0.).to(total.dtype)
            values = values * factor[:, None]
        total += tl.sum(values, axis=0)
    tl.store(out + row * dim + column, total.to(out.dtype.element_ty), mask=column < dim)


@triton.jit
def _sddmm(a, b, indptr, index, out, dim, WIDE: tl.constexpr, EDGES: tl.constexpr,
              WIDTH: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    start, stop = tl.load(indptr + row), tl.load(indptr + row + 1)
    # Rows of thousands of entries are shared by several programs.
    first = start + tl.program_id(1) * EDGES
    step = tl.num_programs(1) * EDGES
    for begin in range(first, stop, step):
        edge = begin + tl.arange(0, EDGES)
        ids = tl.load(index + edge, mask=edge < stop, other=0).to(tl.int64)
        total = tl.zeros((EDGES, ), dtype=tl.float64 if WIDE else tl.float32)
        for left in range(0, dim, WIDTH):
            column = left + tl.arange(0, WIDTH)
            own = tl.load(a + row * dim + column, mask=column < dim, other=0.).to(total.dtype)
            inside = (edge < stop)[:, None] & (column < dim)[None, :]
            other = tl.load(b + ids[:, None] * dim + column[None, :], mask=inside, other=0.)
            total += tl.sum(other.to(total.dtype) * own[None, :], axis=1)
        tl.store(out + edge, total.to(out.dtype.element_ty), mask=edge < stop)


def _device(x: Tensor) -> AbstractContextManager:
    r"""Triton launches on the current device, which need not be that of the tensors."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


def segment_sum(x: Tensor, indptr: Tensor, index: Tensor, weight: Optional[Tensor]) -> Tensor:
    rows, dim = indptr.numel() - 1, x.size(1)
    out = x.new_empty(rows, dim)
    width = min(_WIDTH, triton.next_power_of_2(dim))
    with _device(x):
        _segment_sum[rows, triton.cdiv(dim, width)](
            x, indptr, index, x if weight is None else weight, out, dim, weight is not None,
            x.dtype == torch.float64, _EDGES, width)
    return out


def sddmm(a: Tensor, b: Tensor, indptr: Tensor, index: Tensor) -> Tensor:
    rows, dim = indptr.numel() - 1, a.size(1)
    out = a.new_empty(index.numel())
    shares = min(16, triton.cdiv(triton.cdiv(index.numel(), rows), _EDGES))
    with _device(a):
        _sddmm[rows, shares](a, b, indptr, index, out, dim, a.dtype == torch.float64, _EDGES,
                                min(_WIDTH, triton.next_power_of_2(dim)))
    return out
