r"""No operation reads or writes beyond its tensors: checks of tables, ids and patterns.

Kernels go wherever an id points to, so every operation checks its ids itself. A call through
:func:`torch.compile` or ``torch.ops`` is checked as well, although what Python does before is left
out there. What was found out about a tensor is kept while the tensor lives and is not changed: a
graph is checked once, and the ids of a batch once for the forward and the backward pass. Changes
are noticed by the tensor's version; those made through ``.data`` or NumPy have none.

On accelerators ids are not looked at, since that would stop the queue of kernels (a graph is looked
at once, when it is compressed). PyTorch's kernels then end in an assertion of the device, after
which the process can't use it any more; the Triton kernels read what is there.
"""
from typing import Any, Optional

import torch
from torch import Tensor

from pyg_advcf import _checks
from pyg_advcf._checks import check_floats, shown
from pyg_advcf._remembered import Remembered

ID_TYPES = (torch.int32, torch.int64)


def _find_range(ids: Tensor) -> tuple[int, int]:
    if ids.numel() == 0:
        return 0, -1
    low, high = ids.aminmax()
    return int(low), int(high)


def _find_distinct(ids: Tensor) -> bool:
    # Only asked of ids in range.
    seen = torch.zeros(_range(ids)[1] + 1, dtype=torch.bool)
    seen[ids.long()] = True
    return int(seen.sum()) == ids.numel()


def _find_total(indptr: Tensor) -> int:
    r"""What ``indptr`` ends with; -1 if it does not begin with 0 or does not ascend."""
    if indptr.numel() == 0 or int(indptr[0]) != 0 or (indptr[1:] < indptr[:-1]).any():
        return -1
    return int(indptr[-1])


_range, _distinct = Remembered(_find_range), Remembered(_find_distinct)
_total = Remembered(_find_total)


def _with_values(argument: str, x: Tensor) -> Tensor:
    if x.is_meta:
        raise ValueError(f"'{argument}' is on the device 'meta', so it has no values; move what it "
                         f"is made of to a real device")
    return x


def check_table(argument: str, x: Any, rows: Optional[int] = None) -> Tensor:
    r"""Returns ``x`` if it is a matrix of floating-point numbers, with so many rows."""
    shape = 'rows' if rows is None else rows, 'D'
    return _with_values(argument, check_floats(argument, x, shape))


def check_vector(argument: str, x: Any, size: int) -> Tensor:
    r"""Returns ``x`` if it is a vector of ``size`` floating-point numbers."""
    return _with_values(argument, check_floats(argument, x, (size, )))


def check_alike(**tensors: Optional[Tensor]) -> None:
    r"""Raises if the tensors differ in type or device."""
    found = {name: t for name, t in tensors.items() if t is not None}
    (first, like), *others = found.items()
    for name, t in others:
        if t.dtype != like.dtype or t.device != like.device:
            raise ValueError(f"'{first}' is {like.dtype} on {like.device} and '{name}' {t.dtype} "
                             f"on {t.device}, but they need to be alike")


def check_width(**tables: Tensor) -> None:
    r"""Raises if the tables differ in width."""
    if len({t.size(1) for t in tables.values()}) != 1:
        shapes = ', '.join(f"'{name}' has shape {list(t.shape)}" for name, t in tables.items())
        raise ValueError(f"{shapes}, but they need the same width")


def check_id_type(argument: str, ids: Any, dim: Optional[int],
                  device: Optional[torch.device] = None) -> Tensor:
    r"""Returns ``ids`` if they are a tensor of 32- or 64-bit ids with so many dimensions."""
    if not isinstance(ids, Tensor) or ids.layout != torch.strided or ids.is_meta or (
            ids.dtype not in ID_TYPES or dim not in (None, ids.dim())):
        shape = '' if dim is None else f", of shape [{', '.join('BN'[:dim])}]"
        raise ValueError(f"'{argument}' is {shown(ids)}, but needs to be a tensor of ids, "
                         f"int64 or int32{shape}")
    if device is not None and ids.device != device:
        raise ValueError(f"'{argument}' is on {ids.device}, but what it indexes is on {device}; "
                         f"move one of them")
    return ids


def check_ids(argument: str, ids: Any, size: int, dim: Optional[int] = 1,
              device: Optional[torch.device] = None, distinct: bool = False) -> Tensor:
    r"""Returns ``ids`` if all are in ``[0, size)``, and none is repeated if ``distinct``.

    Inside of :func:`torch.compile` it returns a copy, and the check is a part of what is compiled.
    """
    check_id_type(argument, ids, dim, device)
    if torch.compiler.is_compiling():
        return _checked(ids, argument, size, distinct)
    if ids.device.type == 'cpu':
        low, high = _range(ids)
        if low < 0 or high >= size:
            _checks.check_ids(argument, ids, size)  # Raises.
        if distinct and not _distinct(ids):
            count = torch.unique(ids).numel()
            raise ValueError(f"'{argument}' repeats ids: {ids.numel()} are given, {count} are "
                             f"distinct; pass each once")
    return ids


@torch.library.custom_op('pyg_advcf::checked', mutates_args=())
def _checked(ids: Tensor, argument: str, size: int, distinct: bool) -> Tensor:
    return check_ids(argument, ids, size, None, distinct=distinct).clone()


@_checked.register_fake
def _(ids, argument, size, distinct):
    return torch.empty_like(ids)


def known_range(ids: Tensor, *parts: Tensor) -> Tensor:
    r"""Returns ``ids``, which hold what ``parts`` hold: what is known of these is not sought again.
    """
    if not torch.compiler.is_compiling() and ids.device.type == 'cpu' and ids.numel() > 0:
        low, high = zip(*(_range(part) for part in parts if part.numel() > 0))
        _range.put(ids, (min(low), max(high)))
    return ids


def check_pattern(indptr: Tensor, index: Tensor, size: int, device: torch.device,
                  names: tuple[str, str] = ('indptr', 'index')) -> None:
    r"""Raises if ``(indptr, index)`` is no pattern with ``size`` columns.

    See :mod:`pyg_advcf.ops.segments`.
    """
    check_id_type(names[0], indptr, 1, device)
    if indptr.numel() == 0:
        raise ValueError(f"'{names[0]}' is empty, but needs an entry more than there are rows")
    check_ids(names[1], index, size, device=device)
    if device.type == 'cpu' and _total(indptr) != index.numel():
        raise ValueError(f"'{names[0]}' needs to ascend from 0 to {index.numel()}, the number of "
                         f"entries of '{names[1]}'")
