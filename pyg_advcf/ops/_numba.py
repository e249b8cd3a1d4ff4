r"""Compiled loops for CPU, where pruning or fusing saves passes over the tables.

Whole bags stay PyTorch's: its kernel fetches ahead and is faster than such loops. One thread takes
one stretch of rows, cut so that all stretches hold about as many edges; a row is summed by one
thread in the order of its edges, so results do not depend on the number of threads.
"""
from typing import Optional

import numba
import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from pyg_advcf.ops._fused import bag_sum

__all__ = ['bag_sum', 'edge_dot', 'normalize', 'normalize_backward', 'pruned_sum', 'transposed']

# Sums may be reordered and contracted; NaN and infinities keep their meaning.
_OPTIONS = dict(fastmath={'reassoc', 'contract', 'nsz'}, error_model='numpy', cache=True)


@njit(inline='always')
def _cut(indptr, part, parts):
    r"""First row of a part: rows and edges count alike, so that empty rows are shared too."""
    rows = indptr.size - 1
    target = (indptr[rows] + rows) * part // parts
    low, high = 0, rows
    while low < high:
        middle = (low + high) // 2
        if indptr[middle] + middle < target:
            low = middle + 1
        else:
            high = middle
    return low


@njit(inline='always')
def _add(out, row, x, ids, start, stop, dim):
    r"""Adds rows of ``x`` to a row of ``out``: four at a time, to store a quarter as often."""
    e = start
    while e + 4 <= stop:
        i, j, k, m = ids[e], ids[e + 1], ids[e + 2], ids[e + 3]
        for d in range(dim):
            out[row, d] += (x[i, d] + x[j, d]) + (x[k, d] + x[m, d])
        e += 4
    while e < stop:
        i = ids[e]
        for d in range(dim):
            out[row, d] += x[i, d]
        e += 1


@njit(parallel=True, **_OPTIONS)
def _pruned_sum(x, indptr, index, work, rows, place, longest, parts, out):
    dim = x.shape[1]
    for part in prange(parts):
        found = np.empty(0 if place is None else longest, np.uint32)
        for k in range(_cut(work, part, parts), _cut(work, part + 1, parts)):
            r = k if rows is None else rows[k]
            start, stop = indptr[r], indptr[r + 1]
            for d in range(dim):
                out[k, d] = 0
            if place is None:
                ids = index
            else:
                # Written always, counted where present: no branch to mispredict.
                count = 0
                for e in range(start, stop):
                    p = place[index[e]]
                    found[count] = p
                    count += p >= 0
                ids, start, stop = found, 0, count
            # Loops of a constant length compile to straight vector code.
            if dim == 64:
                _add(out, k, x, ids, start, stop, 64)
            elif dim == 128:
                _add(out, k, x, ids, start, stop, 128)
            else:
                _add(out, k, x, ids, start, stop, dim)


@njit(inline='always')
def _dots(a, b, r, index, start, stop, dim, out):
    e = start
    while e + 4 <= stop:  # Four sums at once hide the latency of each.
        i, j, k, m = index[e], index[e + 1], index[e + 2], index[e + 3]
        p = q = s = t = a[r, 0] * 0
        for d in range(dim):
            p += a[r, d] * b[i, d]
            q += a[r, d] * b[j, d]
            s += a[r, d] * b[k, d]
            t += a[r, d] * b[m, d]
        out[e], out[e + 1], out[e + 2], out[e + 3] = p, q, s, t
        e += 4
    while e < stop:
        i = index[e]
        p = a[r, 0] * 0
        for d in range(dim):
            p += a[r, d] * b[i, d]
        out[e] = p
        e += 1


@njit(parallel=True, **_OPTIONS)
def _edge_dot(a, b, indptr, index, parts, out):
    for part in prange(parts):
        for r in range(_cut(indptr, part, parts), _cut(indptr, part + 1, parts)):
            if a.shape[1] == 64:
                _dots(a, b, r, index, indptr[r], indptr[r + 1], 64, out)
            elif a.shape[1] == 128:
                _dots(a, b, r, index, indptr[r], indptr[r + 1], 128, out)
            else:
                _dots(a, b, r, index, indptr[r], indptr[r + 1], a.shape[1], out)


@njit(parallel=True, **_OPTIONS)
def _transposed(index, size, weight, parts, count, indptr, row, out):
    r"""A counting sort by column, each part over rows of its own; stable."""
    rows, width = index.shape
    for part in prange(parts):
        count[part, :] = 0
        for r in range(rows * part // parts, rows * (part + 1) // parts):
            for n in range(width):
                count[part, index[r, n]] += 1
    total = 0
    for j in range(size):
        indptr[j] = total
        for part in range(parts):
            here = count[part, j]
            count[part, j] = total
            total += here
    indptr[size] = total
    for part in prange(parts):
        for r in range(rows * part // parts, rows * (part + 1) // parts):
            for n in range(width):
                j = index[r, n]
                place = count[part, j]
                count[part, j] = place + 1
                row[place] = r
                out[place] = weight[r, n]


@njit(parallel=True, **_OPTIONS)
def _normalize(x, eps, parts, norm, out):
    rows, dim = x.shape
    for part in prange(parts):
        for r in range(rows * part // parts, rows * (part + 1) // parts):
            square = x[r, 0] * 0
            for d in range(dim):
                square += x[r, d] * x[r, d]
            length = np.sqrt(square)
            norm[r] = length
            inverse = 1 / max(length, eps)
            for d in range(dim):
                out[r, d] = x[r, d] * inverse


@njit(parallel=True, **_OPTIONS)
def _normalize_backward(grad, unit, norm, eps, parts, out):
    rows, dim = unit.shape
    for part in prange(parts):
        for r in range(rows * part // parts, rows * (part + 1) // parts):
            along = grad[r, 0] * 0
            if norm[r] > eps:
                for d in range(dim):
                    along += grad[r, d] * unit[r, d]
            inverse = 1 / max(norm[r], eps)
            for d in range(dim):
                out[r, d] = (grad[r, d] - along * unit[r, d]) * inverse


def _parts() -> int:
    r"""As many threads as PyTorch uses."""
    threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(threads)
    return threads


def _array(t: Optional[Tensor]) -> Optional[np.ndarray]:
    return None if t is None else t.numpy()


def _ids(t: Optional[Tensor]) -> Optional[np.ndarray]:
    # Unsigned ids spare the check for negative ones at every access.
    return None if t is None else t.numpy().view(f'u{t.itemsize}')


def pruned_sum(x: Tensor, indptr: Tensor, index: Tensor, rows: Optional[Tensor],
               place: Optional[Tensor]) -> Tensor:
    r"""Sums of the bags ``rows`` over those rows of a table that ``x`` holds.

    Args:
        x: ``[m, D]``, or some rows of such a table where ``place`` is given.
        indptr: ``[n + 1]``.
        index: ``[E]``.
        rows: The bags to sum, ``[R]``; ``None`` for all.
        place: Where ``x`` has each row of the table, ``[m]``; ``-1`` for rows of zeros.
    """
    work, longest = indptr, 0
    if rows is not None:
        work = torch.zeros(rows.numel() + 1, dtype=torch.long)
        torch.cumsum(indptr.diff()[rows], 0, out=work[1:])
    if place is not None:
        longest = 1 + int(indptr.diff().max())
    out = x.new_empty(work.numel() - 1, x.size(1))
    _pruned_sum(_array(x), _array(indptr), _ids(index), _array(work), _array(rows), _array(place),
                longest, _parts(), _array(out))
    return out


def edge_dot(a: Tensor, b: Tensor, indptr: Tensor, index: Tensor) -> Tensor:
    out = a.new_empty(index.numel())
    _edge_dot(_array(a), _array(b), _array(indptr), _ids(index), _parts(), _array(out))
    return out


def transposed(index: Tensor, size: int, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""See :func:`pyg_advcf.ops.bags.transposed`."""
    parts = _parts()
    indptr = torch.empty(size + 1, dtype=torch.int32)
    row = torch.empty(index.numel(), dtype=torch.int32)
    out = weight.new_empty(index.numel())
    count = np.empty((parts, size), dtype=np.int64)
    _transposed(_ids(index), size, _array(weight), parts, count, _array(indptr), _array(row),
                _array(out))
    return indptr, row, out


def normalize(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    r"""Rows of unit length, and the lengths that they had."""
    norm, out = x.new_empty(x.size(0)), torch.empty_like(x)
    _normalize(_array(x), x.new_tensor(eps).numpy()[()], _parts(), _array(norm), _array(out))
    return out, norm


def normalize_backward(grad: Tensor, unit: Tensor, norm: Tensor, eps: float) -> Tensor:
    r"""The gradient of :func:`normalize` in one pass."""
    out = torch.empty_like(unit)
    _normalize_backward(_array(grad), _array(unit), _array(norm), grad.new_tensor(eps).numpy()[()],
                        _parts(), _array(out))
    return out
