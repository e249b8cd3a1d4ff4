r"""Argument checks whose messages name the argument, the value and the remedy."""
import difflib
import math
import numbers
import reprlib
from collections.abc import Iterable
from typing import Any, TypeVar, Union

import numpy as np
import torch
from torch import Tensor

T = TypeVar('T')


def shown(value: Any) -> str:
    r"""A value in a few words, for messages."""
    if isinstance(value, Tensor):
        return f'a tensor of {value.dtype} and shape {list(value.shape)}'
    if isinstance(value, np.ndarray):
        return f'a NumPy array of {value.dtype} and shape {list(value.shape)}'
    if isinstance(value, (list, tuple, dict, set, frozenset)):
        return f'the {type(value).__name__} {reprlib.repr(value)}'
    text = repr(value)
    return text if len(text) <= 80 else f'{text[:77]}... ({type(value).__name__})'


def check_instance(argument: str, value: T, kind: Union[type, tuple[type, ...]],
                   remedy: str) -> T:
    r"""Returns ``value`` if it is an instance of ``kind``; ``remedy`` says what it needs to be."""
    if not isinstance(value, kind):
        raise ValueError(f"'{argument}' is {shown(value)}, but needs to be {remedy}")
    return value


def check_name(argument: str, value: Any, choices: Iterable[str]) -> str:
    r"""Returns ``value`` if it is one of ``choices``, else raises with the nearest match."""
    choices = sorted(choices)
    if value in choices:
        return value
    near = difflib.get_close_matches(str(value).lower(), choices, n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ''
    raise ValueError(f"'{argument}' is {value!r}, which is not known.{hint} "
                     f"Choose one of: {', '.join(choices)}")


def check_positive(argument: str, value: float, zero: bool = False) -> float:
    r"""Returns ``value`` if it is a finite number above (or, with ``zero``, at least) zero."""
    if not isinstance(value, numbers.Real) or not math.isfinite(value) or value < 0 or (
            value == 0 and not zero):
        bound = 'at least 0' if zero else 'above 0'
        raise ValueError(f"'{argument}' is {value!r}, but needs to be a finite number {bound}")
    return value


def check_count(argument: str, value: int, minimum: int = 1) -> int:
    r"""Returns ``value`` if it is an integer of at least ``minimum``."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"'{argument}' is {value!r}, but needs to be an integer of at least "
                         f"{minimum}")
    return value


def check_bool(argument: str, value: bool) -> bool:
    r"""Returns ``value`` if it is ``True`` or ``False``."""
    return check_instance(argument, value, (bool, np.bool_), 'True or False')


def check_callable(argument: str, value: Any, what: str = 'or a transform') -> Any:
    r"""Returns ``value`` if it is ``None`` or can be called; ``what`` follows "a function"."""
    if value is not None and not callable(value):
        raise ValueError(f"'{argument}' is {shown(value)}, but needs to be a function {what}")
    return value


def check_ids(argument: str, ids: Tensor, size: int) -> Tensor:
    r"""Returns ``ids`` if all are in ``[0, size)``."""
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise ValueError(f"'{argument}' has dtype {ids.dtype}, but ids need to be integers")
    if ids.numel() > 0:
        low, high = (int(v) for v in ids.aminmax())
        if low < 0 or high >= size:
            raise ValueError(f"'{argument}' holds the id {low if low < 0 else high}, but ids need "
                             f"to be in [0, {size}); re-map raw ids with "
                             f"'pyg_advcf.datasets.from_frame'")
    return ids
