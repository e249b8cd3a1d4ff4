r"""Argument checks whose messages name the argument, the value and the remedy.

There is one function for each kind of argument, and every public function and constructor uses it.
What is made of a class of this library is checked next to that class: :func:`pyg_advcf.validate`
(interactions), ``check_batch``, ``check_embeddings``, ``check_similarity``, ``check_backbone`` and
``check_perturbation``.
"""
import difflib
import math
import numbers
import reprlib
from collections.abc import Iterable
from typing import Any, Optional, TypeVar, Union

import numpy as np
import torch
from torch import Tensor
from torch_geometric import EdgeIndex

T = TypeVar('T')
_LARGEST_INT = 2**63 - 1
_INTEGERS = frozenset({torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
                       torch.uint16, torch.uint32, torch.uint64})
_FLOATS = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})


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
    if isinstance(value, str) and value in choices:
        return value
    near = difflib.get_close_matches(str(value).lower(), choices, n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ''
    raise ValueError(f"'{argument}' is {shown(value)}, which is not known.{hint} "
                     f"Choose one of: {', '.join(choices)}")


def check_names(argument: str, value: Any, choices: Iterable[str]) -> list[str]:
    r"""Returns the list of names in ``value``, a name or several, if all are in ``choices``."""
    names = [value] if isinstance(value, str) else value
    if isinstance(names, Tensor) or not isinstance(names, Iterable):
        raise ValueError(f"'{argument}' is {shown(value)}, but needs to be a name or a list of "
                         f"names; choose from: {', '.join(sorted(choices))}")
    return [check_name(argument, name, choices) for name in names]


def _is_number(value: Any) -> bool:
    return (isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
            and math.isfinite(value))


def check_positive(argument: str, value: float, zero: bool = False) -> float:
    r"""Returns ``value`` if it is a finite number above (or, with ``zero``, at least) zero."""
    if not _is_number(value) or value < 0 or (value == 0 and not zero):
        bound = 'at least 0' if zero else 'above 0'
        raise ValueError(f"'{argument}' is {shown(value)}, but needs to be a finite number {bound}")
    return value


def check_ratio(argument: str, value: float, zero: bool = True, one: bool = True,
                why: str = '') -> float:
    r"""Returns ``value`` if it is a number in [0, 1], without the ends that are excluded."""
    if not _is_number(value) or not 0 <= value <= 1 or (value == 0 and not zero) or (
            value == 1 and not one):
        low = 'at least 0' if zero else 'above 0'
        high = 'at most 1' if one else 'below 1'
        raise ValueError(f"'{argument}' is {shown(value)}, but needs to be a number {low} and "
                         f"{high}{why and f': {why}'}")
    return value


def check_count(argument: str, value: int, minimum: int = 1,
                maximum: int = _LARGEST_INT) -> int:
    r"""Returns ``value`` if it is an integer in [``minimum``, ``maximum``]."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"'{argument}' is {shown(value)}, but needs to be an integer of at least "
                         f"{minimum}")
    if value > maximum:
        raise ValueError(f"'{argument}' is {shown(value)}, but needs to be at most {maximum}")
    return value


def check_seed(argument: str, value: int) -> int:
    r"""Returns ``value`` if it can seed all generators of random numbers."""
    return check_count(argument, value, minimum=0)


def check_bool(argument: str, value: bool) -> bool:
    r"""Returns ``value`` if it is ``True`` or ``False``."""
    return check_instance(argument, value, (bool, np.bool_), 'True or False')


def check_callable(argument: str, value: Any, what: str = 'or a transform') -> Any:
    r"""Returns ``value`` if it is ``None`` or can be called; ``what`` follows "a function"."""
    if value is not None and not callable(value):
        raise ValueError(f"'{argument}' is {shown(value)}, but needs to be a function {what}")
    return value


def check_generator(argument: str, value: Optional[torch.Generator]) -> Optional[torch.Generator]:
    r"""Returns ``value`` if it is a generator of random numbers or ``None``."""
    return check_instance(argument, value, (torch.Generator, type(None)),
                          'a torch.Generator or None: torch.Generator().manual_seed(0)')


def _check_tensor(argument: str, value: Any, dtypes: frozenset, kind: str,
                  shape: Optional[tuple]) -> Tensor:
    if not isinstance(value, Tensor):
        how = 'torch.from_numpy' if isinstance(value, np.ndarray) else 'torch.tensor'
        raise ValueError(f"'{argument}' is {shown(value)}, but needs to be a tensor of {kind}; "
                         f"convert it with {how}")
    if value.layout != torch.strided:
        raise ValueError(f"'{argument}' is a sparse tensor, but needs to be dense; convert it with "
                         f"to_dense")
    if value.dtype not in dtypes:
        raise ValueError(f"'{argument}' has dtype {value.dtype}, but needs to be {kind}; convert "
                         f"it if that is what is meant")
    if shape is not None and (value.dim() != len(shape) or any(
            isinstance(wanted, int) and wanted != size
            for wanted, size in zip(shape, value.shape))):
        raise ValueError(f"'{argument}' has shape {list(value.shape)}, but needs to be "
                         f"[{', '.join(map(str, shape))}]")
    return value


def check_floats(argument: str, value: Tensor, shape: Optional[tuple] = None) -> Tensor:
    r"""Returns ``value`` if it is a tensor of real floating-point numbers.

    Args:
        argument: Its name in the message.
        value: What is checked.
        shape: The shape that is needed, where a letter stands for any size: ``('B', 64)``.
    """
    return _check_tensor(argument, value, _FLOATS, 'floating-point numbers', shape)


def check_numbers(argument: str, value: Tensor, shape: Optional[tuple] = None) -> Tensor:
    r"""Returns ``value`` if it is a tensor of real numbers.

    ``shape`` as of :func:`check_floats`.
    """
    return _check_tensor(argument, value, _FLOATS | _INTEGERS, 'real numbers', shape)


def check_mask(argument: str, value: Tensor, shape: Optional[tuple] = None) -> Tensor:
    r"""Returns ``value`` if it is a boolean tensor; ``shape`` as of :func:`check_floats`."""
    return _check_tensor(argument, value, frozenset({torch.bool}), 'torch.bool', shape)


def check_integers(argument: str, value: Tensor, shape: Optional[tuple] = None) -> Tensor:
    r"""Returns ``value`` as int64 if it is a tensor of integers of any width.

    ``shape`` as of :func:`check_floats`.
    """
    return _check_tensor(argument, value, _INTEGERS, 'integers', shape).long()


def check_ids(argument: str, ids: Tensor, size: int, shape: Optional[tuple] = None) -> Tensor:
    r"""Returns ``ids`` as int64 if they are integers of any width, all in ``[0, size)``.

    Their values are looked at, which an accelerator would have to be waited for; where that must
    not be, call it on CPU only. ``shape`` as of :func:`check_floats`.
    """
    ids = check_integers(argument, ids, shape)
    if ids.numel() > 0:
        low, high = (int(v) for v in ids.aminmax())
        if low < 0 or high >= size:
            raise ValueError(f"'{argument}' holds the id {low if low < 0 else high}, but ids need "
                             f"to be in [0, {size}); re-map raw ids with "
                             f"'pyg_advcf.datasets.from_frame'")
    return ids


def check_user_ids(argument: str, user_ids: Any, num_users: int) -> Tensor:
    r"""Returns a list or tensor of user ids as int64, ``[B]``, if all are in range."""
    if isinstance(user_ids, (list, tuple, np.ndarray)):
        if not all(isinstance(u, numbers.Integral) and not isinstance(u, bool) for u in user_ids):
            raise ValueError(f"'{argument}' is {shown(user_ids)}, but needs to hold integers")
        outside = next((u for u in user_ids if not 0 <= u < num_users), None)
        if outside is not None:
            raise ValueError(f"'{argument}' holds the id {outside}, but ids need to be in "
                             f"[0, {num_users})")
        user_ids = torch.tensor([int(u) for u in user_ids], dtype=torch.long)
    return check_ids(argument, user_ids, num_users).view(-1)


def check_finite(argument: str, value: float) -> float:
    r"""Returns ``value`` as a float if it is a finite number, of either sign."""
    if (isinstance(value, bool) or not isinstance(value, numbers.Real)
            or not math.isfinite(value)):
        raise ValueError(f"'{argument}' is {shown(value)}, but needs to be a finite number")
    return float(value)


def check_degrees(argument: str, degree: Tensor, size: Optional[int] = None) -> Tensor:
    r"""Returns ``degree`` if it holds a finite number of at least 0 for every node.

    Args:
        argument: Its name in the message.
        degree: ``[size]``; looked at, so for constructors only.
        size: How many nodes there are; any number of at least 1 by default.
    """
    check_numbers(argument, degree, ('nodes' if size is None else size, ))
    if degree.numel() == 0 or not bool(((degree >= 0) & degree.isfinite()).all()):
        raise ValueError(f"'{argument}' is {shown(degree)}, but needs a finite number of at least "
                         f"0 for each node, as pyg_advcf.degrees(data) returns them")
    return degree


def check_graph(argument: str, graph: EdgeIndex) -> EdgeIndex:
    r"""Returns ``graph`` if it is one that knows its users, its items and its order."""
    remedy = "a graph of 'pyg_advcf.interaction_graph' or 'pyg_advcf.as_graph'"
    check_instance(argument, graph, EdgeIndex, remedy)
    if None in graph.sparse_size() or not graph.is_sorted_by_row:
        raise ValueError(f"'{argument}' is an EdgeIndex of size {graph.sparse_size()} with the "
                         f"order {graph.sort_order}, but needs to be {remedy}")
    return graph


def reads_values(tensor: Tensor) -> bool:
    r"""Whether checks may look at the values: on CPU, outside of a trace."""
    return tensor.device.type == 'cpu' and not torch.compiler.is_compiling()


def check_sizes(num_users: int, num_items: int) -> tuple[int, int]:
    r"""Returns the numbers of users and items if each pair has its own 64-bit key."""
    if num_users * num_items > _LARGEST_INT:
        raise ValueError(f"'num_users' is {num_users} and 'num_items' is {num_items}: the keys "
                         f"user * num_items + item do not fit 64 bits; re-map raw ids to 0, 1, ... "
                         f"with 'pyg_advcf.datasets.from_frame'")
    return num_users, num_items


def check_pairs(argument: str, pairs: Tensor, num_users: int, num_items: int) -> Tensor:
    r"""Returns the pairs ``[2, E]`` as int64 if all ids are in range; they may repeat."""
    check_sizes(num_users, num_items)
    pairs = check_integers(argument, pairs, (2, 'E'))
    if isinstance(pairs, EdgeIndex):  # Its rows can be added to no tensor.
        pairs = pairs.as_tensor()
    check_ids(f'{argument}[0]', pairs[0], num_users)
    check_ids(f'{argument}[1]', pairs[1], num_items)
    return pairs


def check_scores(pos: Tensor, neg: Tensor) -> tuple[Tensor, Tensor]:
    r"""Returns the scores ``[B]`` and ``[B, N]`` if they belong together.

    Whether they are finite is not looked at: a step of training must not wait for an accelerator,
    and :func:`pyg_advcf.fit` names the first loss that is not.
    """
    check_floats('pos', pos)
    check_floats('neg', neg)
    if pos.dim() != 1 or neg.dim() != 2 or neg.size(0) != pos.size(0):
        remedy = '' if neg.dim() != 1 else (
            '; for one negative per row pass neg.unsqueeze(1). Pairs with users of their own, as '
            'negative_sampling draws them, belong to no row: score their items with the users of '
            'the positives')
        raise ValueError(f"'pos' and 'neg' have shapes {list(pos.shape)} and {list(neg.shape)}, "
                         f"but need to be [B] and [B, N]{remedy}")
    if pos.size(0) == 0:
        raise ValueError("'pos' is empty, and the mean over no positives is not a number; skip "
                         "empty batches")
    if neg.size(1) == 0:
        raise ValueError(f"'neg' has shape {list(neg.shape)}, but needs at least one negative")
    if pos.dtype != neg.dtype or pos.device != neg.device:
        raise ValueError(f"'pos' is of {pos.dtype} on {pos.device} and 'neg' of {neg.dtype} on "
                         f"{neg.device}, but they need to be alike")
    return pos, neg
