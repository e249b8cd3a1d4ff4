r"""Compiled loops for CPU, where pruning or fusing saves passes over the tables.

Whole segments stay PyTorch's: its kernel fetches ahead and is faster than such loops. One thread
takes one stretch of rows, cut so that all stretches hold about as many edges; a row is summed by
one thread in the order of its edges, so results do not depend on the number of threads.

The threads are PyTorch's own (its OpenMP runtime, where it has one). Numba would start others, and
those spin while they wait, as PyTorch's do: where cores are shared that costs many times the work.
"""
import ctypes
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import llvmlite.binding
import numba
import numpy as np
import torch
from numba import carray, cfunc, njit, types
from numba.extending import intrinsic
from torch import Tensor

from pyg_advcf.ops._fused import segment_sum

__all__ = ['segment_sum', 'sddmm', 'merge', 'normalize', 'normalize_backward', 'perturb',
           'pruned_sum', 'transposed']

# Sums may be reordered and contracted; NaN and infinities keep their meaning.
_OPTIONS = dict(fastmath={'reassoc', 'contract', 'nsz'}, error_model='numpy', cache=True,
                nogil=True)
# Below this many numbers to read, waking a second thread takes longer than the work.
_WORTHWHILE = 2**17


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


@njit(**_OPTIONS)
def _pruned_sum(x, indptr, index, work, rows, place, longest, out, part, parts):
    dim = x.shape[1]
    found = np.empty(0 if place is None else longest, index.dtype)
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
        p = q = s = t = a.dtype.type(0)
        for d in range(dim):
            p += a[r, d] * b[i, d]
            q += a[r, d] * b[j, d]
            s += a[r, d] * b[k, d]
            t += a[r, d] * b[m, d]
        out[e], out[e + 1], out[e + 2], out[e + 3] = p, q, s, t
        e += 4
    while e < stop:
        i = index[e]
        p = a.dtype.type(0)
        for d in range(dim):
            p += a[r, d] * b[i, d]
        out[e] = p
        e += 1


@njit(**_OPTIONS)
def _sddmm(a, b, indptr, index, out, part, parts):
    for r in range(_cut(indptr, part, parts), _cut(indptr, part + 1, parts)):
        if a.shape[1] == 64:
            _dots(a, b, r, index, indptr[r], indptr[r + 1], 64, out)
        elif a.shape[1] == 128:
            _dots(a, b, r, index, indptr[r], indptr[r + 1], 128, out)
        else:
            _dots(a, b, r, index, indptr[r], indptr[r + 1], a.shape[1], out)


@njit(**_OPTIONS)
def _count(index, count, part, parts):
    r"""First of three passes of a stable counting sort by column: each part counts its rows."""
    count[part, :] = 0
    for r in range(index.shape[0] * part // parts, index.shape[0] * (part + 1) // parts):
        for n in range(index.shape[1]):
            count[part, index[r, n]] += 1


@njit(**_OPTIONS)
def _begin(count, indptr):
    r"""Second pass: where each column begins, and where each part begins in it."""
    total = 0
    for j in range(count.shape[1]):
        indptr[j] = total
        for part in range(count.shape[0]):
            here = count[part, j]
            count[part, j] = total
            total += here
    indptr[count.shape[1]] = total


@njit(**_OPTIONS)
def _put(index, weight, count, row, out, part, parts):
    r"""Third pass: every entry to its place."""
    for r in range(index.shape[0] * part // parts, index.shape[0] * (part + 1) // parts):
        for n in range(index.shape[1]):
            j = index[r, n]
            place = count[part, j]
            count[part, j] = place + 1
            row[place] = r
            out[place] = weight[r, n]


@njit(**_OPTIONS)
def _normalize(x, eps, norm, out, part, parts):
    rows, dim = x.shape
    for r in range(rows * part // parts, rows * (part + 1) // parts):
        square = x.dtype.type(0)
        for d in range(dim):
            square += x[r, d] * x[r, d]
        length = np.sqrt(square)
        norm[r] = length
        inverse = 1 / max(length, eps[0])
        for d in range(dim):
            out[r, d] = x[r, d] * inverse


@njit(**_OPTIONS)
def _normalize_backward(grad, unit, norm, eps, out, part, parts):
    rows, dim = unit.shape
    for r in range(rows * part // parts, rows * (part + 1) // parts):
        along = grad.dtype.type(0)
        if norm[r] > eps[0]:
            for d in range(dim):
                along += grad[r, d] * unit[r, d]
        inverse = 1 / max(norm[r], eps[0])
        for d in range(dim):
            out[r, d] = (grad[r, d] - along * unit[r, d]) * inverse


@njit(**_OPTIONS)
def _perturb(x, bits, length, part, parts):
    rows, dim = x.shape
    kind = x.dtype.type
    for r in range(rows * part // parts, rows * (part + 1) // parts):
        square = kind(0)
        for d in range(dim):
            b = kind(bits[r, d] & 32767) + kind(0.5)
            square += b * b
        scale = length[0] / np.sqrt(square)
        for d in range(dim):
            step = scale * (kind(bits[r, d] & 32767) + kind(0.5))
            v = x[r, d]
            x[r, d] = v + step if v > 0 else v - step if v < 0 else v


@njit(**_OPTIONS)
def _merge(edges, points, out, part, parts):
    rows, last = edges.shape[0], edges.shape[1] - 1
    for r in range(rows * part // parts, rows * (part + 1) // parts):
        j = k = 0
        # One step along one of the two, chosen without a branch to mispredict.
        while k < points.shape[1]:
            out[r, k] = j
            step = (j < last) & (edges[r, j] < points[r, k])
            j += step
            k += not step


def _openmp() -> Optional[ctypes.CDLL]:
    r"""PyTorch's OpenMP runtime, if it has one with this interface."""
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / 'lib' / 'libtorch_cpu.so'))
        library.GOMP_parallel.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_uint] * 2
        library.GOMP_parallel.restype = None
        for name in ('thread_num', 'num_threads'):
            address = ctypes.cast(getattr(library, f'omp_get_{name}'), ctypes.c_void_p).value
            llvmlite.binding.add_symbol(f'pyg_advcf_{name}', address)
    except (OSError, AttributeError):
        return None
    return library


_runtime = _openmp()
_thread_num = types.ExternalFunction('pyg_advcf_thread_num', types.int32())
_num_threads = types.ExternalFunction('pyg_advcf_num_threads', types.int32())


@intrinsic
def _pointer(typing_context, address, kind):
    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.CPointer(kind.instance_type)(address, kind), codegen


@functools.lru_cache
def _body(kernel: Callable, signature: tuple) -> Any:
    r"""What each thread runs: unpacks addresses and shapes, and calls the kernel for its parts.

    There may be fewer threads than parts: the environment can limit them.
    """
    scope = {'kernel': kernel, 'carray': carray, 'pointer': _pointer, 'thread_num': _thread_num,
             'num_threads': _num_threads}
    arguments, position = [], 1
    for i, kind in enumerate(signature):
        if kind is None:
            arguments.append('None')
        elif kind == 'integer':
            arguments.append(f'packed[{position}]')
            position += 1
        else:
            dtype, ndim = kind
            scope[f'kind{i}'] = numba.from_dtype(np.dtype(dtype))
            shape = ''.join(f'packed[{position + 1 + d}], ' for d in range(ndim))
            arguments.append(f'carray(pointer(packed[{position}], kind{i}), ({shape}))')
            position += 1 + ndim
    source = (f"def body(address):\n"
              f"    packed = carray(address, ({position}, ))\n"
              f"    part = thread_num()\n"
              f"    while part < packed[0]:\n"
              f"        kernel({', '.join(arguments)}, part, packed[0])\n"
              f"        part += num_threads()\n")
    exec(source, scope)
    return cfunc(types.void(types.CPointer(types.int64)))(scope['body'])


def _run(kernel: Callable, numbers: int, *args: Any) -> None:
    r"""Runs ``kernel(*args, part, parts)`` for all parts.

    Args:
        kernel: Compiled; its arguments are arrays, integers or ``None``.
        numbers: How many numbers it reads, to judge whether a second thread is worth its while.
        *args: The arguments but the last two.
    """
    parts = _parts(numbers)
    if parts == 1:
        kernel(*args, 0, 1)
        return
    signature, packed = [], [parts]
    for arg in args:
        if arg is None:
            signature.append(None)
        elif isinstance(arg, int):
            signature.append('integer')
            packed.append(arg)
        else:
            signature.append((arg.dtype.str, arg.ndim))
            packed += [arg.ctypes.data, *arg.shape]
    body = _body(kernel, tuple(signature))
    packed = np.array(packed, dtype=np.int64)
    _runtime.GOMP_parallel(body.address, packed.ctypes.data, parts, 0)


def _parts(numbers: int) -> int:
    return torch.get_num_threads() if _runtime and numbers >= _WORTHWHILE else 1


def _array(t: Optional[Tensor]) -> Optional[np.ndarray]:
    # Threads are told where an array begins and its shape, but no strides.
    return None if t is None else t.detach().contiguous().numpy()


def _ids(t: Optional[Tensor]) -> Optional[np.ndarray]:
    # Unsigned ids spare the check for negative ones at every access.
    return None if t is None else _array(t).view(f'u{t.itemsize}')


def pruned_sum(x: Tensor, indptr: Tensor, index: Tensor, rows: Optional[Tensor],
               place: Optional[Tensor]) -> Tensor:
    r"""Sums of the segments ``rows`` over those rows of a table that ``x`` holds.

    Args:
        x: ``[m, D]``, or some rows of such a table where ``place`` is given.
        indptr: ``[n + 1]``.
        index: ``[E]``.
        rows: The segments to sum, ``[R]``; ``None`` for all.
        place: Where ``x`` has each row of the table, ``[m]``; ``-1`` for rows of zeros.
    """
    work, longest = indptr, 0
    if rows is not None:
        work = torch.zeros(rows.numel() + 1, dtype=torch.long)
        torch.cumsum(indptr.diff()[rows], 0, out=work[1:])
    if place is not None and index.numel() > 0:
        longest = 1 + int(indptr.diff().max())
    out = x.new_empty(work.numel() - 1, x.size(1))
    _run(_pruned_sum, int(work[-1]) * x.size(1), _array(x), _array(indptr), _ids(index),
         _array(work), _array(rows), _array(place), longest, _array(out))
    return out


def sddmm(a: Tensor, b: Tensor, indptr: Tensor, index: Tensor) -> Tensor:
    r"""See :func:`pyg_advcf.ops.segments.sddmm`."""
    out = a.new_empty(index.numel())
    _run(_sddmm, index.numel() * a.size(1), _array(a), _array(b), _array(indptr), _ids(index),
         _array(out))
    return out


def transposed(index: Tensor, size: int, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""See :func:`pyg_advcf.ops.segments.transposed`."""
    kind = torch.int32 if index.numel() < 2**31 else torch.int64
    indptr, row = torch.empty(size + 1, dtype=kind), torch.empty(index.numel(), dtype=kind)
    out = weight.new_empty(index.numel())
    count = np.empty((_parts(2 * index.numel()), size), dtype=np.int64)
    _run(_count, 2 * index.numel(), _ids(index), count)
    _begin(count, _array(indptr))
    _run(_put, 2 * index.numel(), _ids(index), _array(weight), count, _array(row), _array(out))
    return indptr, row, out


def normalize(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    r"""Rows of unit length, and the lengths that they had."""
    norm, out = x.new_empty(x.size(0)), x.new_empty(x.shape)
    _run(_normalize, x.numel(), _array(x), _array(x.new_tensor([eps])), _array(norm), _array(out))
    return out, norm


def normalize_backward(grad: Tensor, unit: Tensor, norm: Tensor, eps: float) -> Tensor:
    r"""The gradient of :func:`normalize` in one pass."""
    out = unit.new_empty(unit.shape)
    _run(_normalize_backward, unit.numel(), _array(grad), _array(unit), _array(norm),
         _array(grad.new_tensor([eps])), _array(out))
    return out


def perturb(x: Tensor, bits: Tensor, length: float) -> None:
    r"""Moves every row of ``x`` by ``length``, away from 0, along what 15 bits an entry stand for.

    Args:
        x: ``[n, D]``, contiguous; overwritten.
        bits: ``[n, D]``, 16-bit integers, whose highest bit is not looked at.
        length: Of the step.
    """
    _run(_perturb, x.numel(), _array(x), _array(bits), _array(x.new_tensor([length])))


def merge(edges: Tensor, points: Tensor) -> Tensor:
    r"""The first column of each row's ascending ``edges`` that reaches each ascending point."""
    out = torch.empty(points.shape, dtype=torch.long)
    _run(_merge, edges.numel() + points.numel(), _array(edges), _array(points), _array(out))
    return out
