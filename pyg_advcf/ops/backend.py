r"""Which implementation an operation uses, and why."""
import importlib
import importlib.util
import os
from functools import cache
from types import ModuleType
from typing import Optional

import torch
from torch import Tensor

from pyg_advcf._checks import check_name

#: From plain to hand-written. ``'torch'`` gathers and reduces: any device and type, the oracle of
#: the tests and the baseline of the benchmarks. ``'fused'`` calls kernels of PyTorch that keep no
#: tensor per edge or per sampled pair. ``'numba'`` (the extra ``fast``) and ``'triton'`` are
#: kernels of this library, compiled at their first use.
BACKENDS = ('torch', 'fused', 'numba', 'triton')
OPERATIONS = ('spmm', 'sampled_scores')
VARIABLE = 'PYG_ADVCF_BACKEND'

_FLOATS = (torch.float32, torch.float64)
_HALVES = (torch.float16, torch.bfloat16)
# What each backend supports, by operation and device.
_SUPPORT = {
    ('fused', 'spmm', 'cpu'): (_FLOATS + _HALVES, "PyTorch's embedding bag"),
    ('fused', 'spmm', 'cuda'): (_FLOATS + _HALVES, "PyTorch's CSR product (cuSPARSE)"),
    ('fused', 'sampled_scores', 'cpu'): (_FLOATS, "PyTorch's sampled product and embedding bag"),
    ('numba', 'spmm', 'cpu'): (_FLOATS, 'compiled loops'),
    ('numba', 'sampled_scores', 'cpu'): (_FLOATS, 'compiled loops'),
    ('triton', 'spmm', 'cuda'): (_FLOATS + _HALVES, 'Triton kernels'),
    ('triton', 'sampled_scores', 'cuda'): (_FLOATS + _HALVES, 'Triton kernels'),
}
# What an open choice tries, in this order. cuSPARSE goes before the Triton kernel of the same
# product as long as no measurement on CUDA says otherwise.
_ORDER = {'cpu': ('numba', 'fused', 'torch'), 'cuda': ('fused', 'triton', 'torch')}


_PRESENT = {name for name in ('numba', 'triton') if importlib.util.find_spec(name)}


def _installed(package: str) -> bool:
    return package in _PRESENT


def _obstacle(backend: str, operation: str, x: Tensor) -> Optional[str]:
    r"""Why ``backend`` cannot serve ``operation`` on ``x``; ``None`` if it can."""
    if backend == 'torch':
        return None
    if backend == 'numba' and not _installed('numba'):
        return "numba is not installed: pip install 'pyg_advcf[fast]'"
    if backend == 'triton' and not _installed('triton'):
        return 'triton is not installed: pip install triton'
    device = x.device.type
    if backend == 'triton' and device == 'cpu' and os.environ.get('TRITON_INTERPRET') == '1':
        device = 'cuda'  # Triton's interpreter takes tensors of either.
    types, _ = _SUPPORT.get((backend, operation, device), ((), ''))
    if x.dtype not in types:
        return f'it has no kernel of {operation} for {x.dtype} on {x.device.type}'
    return None


def choose(operation: str, x: Tensor, backend: Optional[str] = None) -> str:
    r"""The backend of ``operation`` on ``x``.

    ``backend`` if given, else the one that the environment variable ``PYG_ADVCF_BACKEND`` names,
    else the fastest that supports the device and type of ``x``: on CPU ``'numba'`` where it is
    installed, then ``'fused'``; on CUDA ``'fused'``, then ``'triton'``; ``'torch'`` at last.

    Args:
        operation: ``'spmm'`` (also of propagation) or ``'sampled_scores'``.
        x: The operand.
        backend: Name of a backend, or ``None``.

    Raises:
        ValueError: If the named backend is unknown, or not available for the device and type of
            ``x``.
    """
    source = 'backend'
    if backend is None and VARIABLE in os.environ:
        backend, source = os.environ[VARIABLE], VARIABLE
    if backend is None:
        return next((name for name in _ORDER.get(x.device.type, ())
                     if _obstacle(name, operation, x) is None), 'torch')
    check_name(source, backend, BACKENDS)
    obstacle = _obstacle(backend, operation, x)
    if obstacle is not None:
        raise ValueError(f"'{source}' is '{backend}', which is not available: {obstacle}; name "
                           f"another backend, or leave the choice open")
    return backend


@cache
def kernels(backend: str) -> ModuleType:
    r"""The module with the kernels of ``backend``; imported at first use."""
    return importlib.import_module(f'pyg_advcf.ops._{backend}')


def backends() -> dict[str, str]:
    r"""What each operation uses on this machine, in words.

    Example:
        >>> sorted(backends())[:2]
        ['sampled_scores on cpu', 'spmm on cpu']
    """
    report = {}
    forced = os.environ.get(VARIABLE)
    for device in ('cpu', 'cuda') if torch.cuda.is_available() else ('cpu', ):
        for operation in OPERATIONS:
            x = torch.empty(0, device=device)
            try:
                name = choose(operation, x)
            except ValueError as error:
                report[f'{operation} on {device}'] = f'none: {error}'
                continue
            why = (f'forced by {VARIABLE}' if forced else
                   _SUPPORT[name, operation, device][1] if name != 'torch' else
                   'nothing faster is available')
            missing = {other: _obstacle(other, operation, x) for other in _ORDER[device]
                       if other != name and not forced}
            why += ''.join(f'; not {other}: {obstacle}' for other, obstacle in missing.items()
                           if obstacle)
            report[f'{operation} on {device}'] = f'{name}: {why}'
    return report
