r"""What an object was made from: the arguments of its constructor, and a description of them.

Whatever defines an experiment is a :class:`Recorded`: backbones, criteria, similarities,
recommenders, views and perturbations, steps and the loader. Subclasses are recorded without doing
anything for it. A checkpoint compares these descriptions.
"""
import copy
import functools
import hashlib
import inspect
import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any, Optional

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf.interactions import (
    EDGE_TYPE,
    as_interactions,
    candidate_mask,
    num_nodes,
    resolve_edge_type,
    split_key,
    split_names,
)

_KEY = '_recorded_call'


class _Call:
    r"""A call of a class or function, kept as it was made."""
    def __init__(self, target: Callable, args: tuple, kwargs: dict[str, Any]) -> None:
        self.target, self.args, self.kwargs = target, args, kwargs

    def __deepcopy__(self, memo: dict[int, Any]) -> '_Call':
        # The copy of a model shares the data, and its record names the copies of the model's parts.
        def copied(value: Any) -> Any:
            if isinstance(value, (Tensor, HeteroData)):
                return memo.get(id(value), value)
            return copy.deepcopy(value, memo)

        return _Call(self.target, tuple(map(copied, self.args)),
                     {key: copied(value) for key, value in self.kwargs.items()})

    def arguments(self) -> dict[str, Any]:
        r"""What every parameter received, defaults included."""
        is_class = inspect.isclass(self.target)
        signature = inspect.signature(self.target.__init__ if is_class else self.target)
        bound = signature.bind(*((None, ) if is_class else ()), *self.args, **self.kwargs)
        bound.apply_defaults()
        found: dict[str, Any] = {}
        for place, (name, value) in enumerate(bound.arguments.items()):
            if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                found.update(value)
            elif not (is_class and place == 0):
                found[name] = value
        return found


class _ConstructorSignature:
    r"""That of ``__init__``, for tools that would take it from :meth:`Recorded.__new__`."""
    def __get__(self, obj: Optional['Recorded'], owner: type) -> inspect.Signature:
        if obj is not None:  # A call of an instance has another.
            raise AttributeError('__signature__')
        signature = inspect.signature(owner.__init__)
        return signature.replace(parameters=list(signature.parameters.values())[1:])


class Recorded:
    r"""Base class of objects that know the arguments of their constructor; see :func:`arguments`.

    It goes before other base classes, ``class Mine(Recorded, torch.nn.Module)``. The call of the
    class counts, not those of ``super().__init__`` in it. Copies keep the record.
    """
    __signature__ = _ConstructorSignature()

    def __new__(cls, *args: Any, **kwargs: Any) -> 'Recorded':
        self = super().__new__(cls)
        self.__dict__[_KEY] = _Call(cls, args, kwargs)
        return self


def recorded(build: Callable) -> Callable:
    r"""Decorates a function that builds a :class:`Recorded`: the call of the function counts."""
    @functools.wraps(build)
    def wrapper(*args: Any, **kwargs: Any) -> Recorded:
        built = build(*args, **kwargs)
        built.__dict__[_KEY] = _Call(wrapper, args, kwargs)
        return built

    wrapper.records_calls = True
    return wrapper


def _call_of(obj: Recorded) -> _Call:
    # A module that `torch.compile` wrapped has the original inside.
    call = getattr(getattr(obj, '_orig_mod', obj), _KEY, None)
    if call is None:
        raise ValueError(f"'obj' is of type {type(obj).__name__}, which does not record its "
                         f"arguments; derive it from 'pyg_advcf.record.Recorded'")
    return call


def is_recorded(obj: Any) -> bool:
    r"""Whether the object knows the arguments of its constructor."""
    return isinstance(getattr(obj, '_orig_mod', obj), Recorded)


def arguments(obj: Recorded) -> dict[str, Any]:
    r"""The arguments that the constructor of ``obj`` received, defaults included.

    They are the objects themselves. Of an object that a function of this library built, such as
    :func:`pyg_advcf.methods.infonce`, they are those of the function.

    Args:
        obj: An instance of :class:`Recorded`, also one that :func:`torch.compile` wrapped.

    Raises:
        ValueError: If ``obj`` records nothing.

    Example:
        >>> from pyg_advcf import Cosine, methods, MF
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> arguments(Cosine())
        {'temperature': 0.1, 'norm_power': None, 'prior': 0.0}
        >>> backbone = MF(SyntheticExposure(num_users=50, num_items=40)[0], dim=8)
        >>> list(arguments(methods.infonce(backbone)))
        ['backbone', 'temperature', 'l2', 'log_q']
    """
    return _call_of(obj).arguments()


def target(obj: Recorded) -> Callable:
    r"""The class or the function that ``obj`` was built by.

    Raises:
        ValueError: If ``obj`` records nothing.
    """
    return _call_of(obj).target


def fingerprint(tensor: Tensor) -> str:
    r"""A digest of type, shape and all entries in their order.

    Ids of any width have the same.

    Example:
        >>> a = torch.tensor([[0, 1], [2, 3]])
        >>> fingerprint(a) == fingerprint(a.int()), fingerprint(a) == fingerprint(a.flip(1))
        (True, False)
    """
    tensor = tensor.detach().cpu()
    if tensor.layout != torch.strided:
        tensor = tensor.to_sparse_coo().coalesce()
        parts = [fingerprint(tensor.indices()), fingerprint(tensor.values())]
    else:
        tensor = tensor.as_subclass(Tensor)
        if not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool):
            tensor = tensor.long()
        parts = [tensor.contiguous().view(-1).view(torch.uint8).numpy()]
    digest = hashlib.blake2b(_form(tensor).encode(), digest_size=12)
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def qualified_name(value: Any) -> str:
    r"""Where a class or function is defined, such as ``'pyg_advcf.nn.lightgcn.LightGCN'``."""
    return f'{value.__module__}.{value.__qualname__}'


def describe_data(data: HeteroData) -> dict[str, Any]:
    r"""Interactions as their sizes and a :func:`fingerprint` of every split and of the mask.

    Example:
        >>> from pyg_advcf import interaction_data
        >>> data = interaction_data(torch.tensor([[0, 0, 1], [0, 1, 1]]), 2, 3,
        ...                         val=torch.tensor([[1], [2]]))
        >>> list(describe_data(data))
        ['users', 'items', 'interactions', 'candidate_mask', 'val']
    """
    mask = candidate_mask(data)
    return {**dict(zip(('users', 'items'), num_nodes(data))),
            'interactions': fingerprint(data[EDGE_TYPE].edge_index),
            'candidate_mask': None if mask is None else fingerprint(mask),
            **{split: fingerprint(data[EDGE_TYPE][split_key(split)])
               for split in sorted(split_names(data))}}


def describe_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    r"""An optimizer as its class and the settings that it started with, for each of its groups.

    Example:
        >>> sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        >>> describe_optimizer(sgd)['arguments']['lr']
        0.1
    """
    groups = [{key: describe(value) for key, value in group.items()
               if key not in ('params', 'initial_lr')} for group in optimizer.param_groups]
    for group, found in zip(optimizer.param_groups, groups):
        if 'initial_lr' in group:  # A scheduler has changed the other one since.
            found['lr'] = describe(group['initial_lr'])
    return {'class': qualified_name(type(optimizer)),
            'arguments': groups[0] if len(groups) == 1 else {'groups': groups}}


def describe_module(module: nn.Module) -> dict[str, Any]:
    r"""A module that is not ours, as far as it can be known from outside."""
    return {'class': qualified_name(type(module)), 'arguments': {
        'modules': repr(module),
        'parameters': {name: _form(p) for name, p in module.named_parameters()}}}


def _data(data: HeteroData, edge_type: Optional[EdgeType], memo: dict[Any, Any]) -> Any:
    edge_type = resolve_edge_type(data, edge_type)
    if (id(data), edge_type) not in memo:
        memo[id(data), edge_type] = describe_data(as_interactions(data, edge_type))
    return memo[id(data), edge_type]


def describe(value: Any, memo: Optional[dict[Any, Any]] = None) -> Any:
    r"""What ``value`` is, as plain data that JSON can hold and that is the same in every process.

    A :class:`Recorded` becomes ``{'class': qualified name, 'arguments': {...}}``, with what it was
    made from described in turn; arguments whose names begin with an underscore are left out.
    Interactions and tensors become fingerprints, functions their qualified names, other modules
    their representation and the shapes of their parameters.

    Args:
        value: Anything.
        memo: Descriptions of data by their :func:`id` and edge type, which are computed once.

    Example:
        >>> from pyg_advcf.criteria import BSL
        >>> describe(BSL(0.2))['arguments']['pos_temperature']
        0.2
    """
    memo = {} if memo is None else memo
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {str(key): describe(entry, memo) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(entry, memo) for entry in value]
    if isinstance(value, (set, frozenset)):
        return sorted((describe(entry, memo) for entry in value), key=repr)
    if is_recorded(value):
        made = arguments(value)
        return {'class': qualified_name(target(value)), 'arguments': {
            name: (_data(entry, made.get('edge_type'), memo) if isinstance(entry, HeteroData)
                   else describe(entry, memo))
            for name, entry in made.items() if not name.startswith('_')}}
    if isinstance(value, HeteroData):
        return _data(value, None, memo)
    if isinstance(value, np.ndarray) and value.dtype.kind in 'biufc':
        value = torch.from_numpy(value)
    if isinstance(value, Tensor):
        return f'{_form(value)} {fingerprint(value)}'
    if isinstance(value, nn.Module):
        return describe_module(value)
    if isinstance(value, Optimizer):
        return describe_optimizer(value)
    if isinstance(value, functools.partial):
        return {'class': f'partial of {describe(value.func, memo)}', 'arguments': {
            **{str(place): describe(entry, memo) for place, entry in enumerate(value.args)},
            **describe(value.keywords, memo)}}
    if hasattr(value, '__qualname__') and hasattr(value, '__module__'):
        return qualified_name(value)
    text = repr(value)  # Of a type, device, transform or the like; an address says nothing.
    return qualified_name(type(value)) if ' at 0x' in text else text
