r"""Values that an argument must not have, by its annotation."""
import inspect
import math
import types
import typing
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from .call import Corruption, becomes

_SEED = (('a text', 'x'), ('a fraction', 1.5), ('NaN', math.nan), ('None', None), ('a list', [1]),
         ('beyond 64 bits', 2**70))
_INT = (('negative', -1), ('a fraction', 1.5), ('a text', '3'), ('NaN', math.nan), ('None', None),
        ('a list', [2]), ('infinite', math.inf), ('True', True), ('a tensor', torch.ones(2)))
_FLOAT = (('negative', -1.), ('NaN', math.nan), ('infinite', math.inf), ('a text', '0.1'),
          ('None', None), ('a list', [0.1]), ('complex', 1j), ('a tensor', torch.ones(2)))
_TEXT = (('unknown', 'no_such_name'), ('empty', ''), ('a number', 3), ('None', None),
         ('a list', ['mean']), ('bytes', b'mean'), ('a tensor', torch.ones(2)))
_TENSOR = (('None', None), ('a text', 'x'), ('a number', 3), ('a dict', {}))
_DATA = (('None', None), ('a text', 'x'), ('a dict', {}), ('homogeneous', Data()),
         ('without interactions', HeteroData()))
_OTHER = (('None', None), ('a text', 'no_such_name'), ('a number', 3), ('a list', [1]))
_COUNTS = (('zero', 0), ('negative', -1), ('a fraction', 1.5), ('a text', 'x'), ('None', None),
           ('a list of texts', ['x']), ('empty', []))
_BOOL = (('a text', 'no'), ('a number', 3), ('None', None), ('a list', [True]))
_NUMBERS = (('a number', 3), ('None', None), ('texts', ['x', 'y']), ('empty', ()))


def _kinds(annotation) -> tuple[list, bool]:
    r"""The kinds of an annotation, and whether it may be ``None``."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kinds = list(typing.get_args(annotation))
        return [k for k in kinds if k is not type(None)], type(None) in kinds
    return [annotation], False


def values(name: str, annotation) -> list[tuple[str, object]]:
    r"""Labels and values; none where the annotation admits anything, or truth values and others."""
    if annotation in (inspect.Parameter.empty, typing.Any):
        return []
    if annotation is bool:
        return list(_BOOL)
    kinds, optional = _kinds(annotation)
    origins = [typing.get_origin(k) or k for k in kinds]
    if bool in origins or typing.Any in origins:
        return []
    if int in origins and len(origins) > 1:
        found = _COUNTS
    elif int in origins:
        found = _SEED if name == 'seed' else _INT
    elif float in origins:
        found = _FLOAT
    elif str in origins and len(origins) == 1:
        found = _TEXT
    elif str in origins:
        found = tuple((label, value) for label, value in _TEXT if label != 'a list')
    elif HeteroData in origins:
        found = _DATA
    elif Tensor in origins:
        found = _TENSOR
    elif any(o in (tuple, list, Sequence, Iterable) for o in origins):
        found = _NUMBERS
    else:
        found = _OTHER
    return [(label, value) for label, value in found if not (optional and value is None)]


def by_signature(function, skip=(), only=None, prefix='') -> list[Corruption]:
    r"""Corruptions of the arguments of a function or class, by its signature.

    Args:
        function: A function or class.
        skip: Arguments, or ``(argument, label)``, that are right with such values.
        only: Arguments to change; all by default.
        prefix: What precedes their names among the arguments of the call.
    """
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name.startswith('_') or name in skip or (only is not None and name not in only) or (
                parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)):
            continue
        # A generator of its own may take a seed of any size.
        found += [becomes(prefix + name, label, value, None if 'beyond' in label else True)
                  for label, value in values(name, parameter.annotation)
                  if (name, label) not in skip]
    return found
