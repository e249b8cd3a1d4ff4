r"""Which implementation an operation uses, and why."""
import os
from typing import Optional

import torch
from torch import Tensor

from pyg_advcf._checks import check_name

#: ``'torch'`` gathers and scatters: any device and type, the oracle of the tests and the baseline
#: of the benchmarks. ``'fused'`` calls kernels of PyTorch that keep no tensor per edge or per
#: sampled pair.
BACKENDS = ('fused', 'torch')
VARIABLE = 'PYG_ADVCF_BACKEND'

_FLOATS = (torch.float32, torch.float64)
_HALVES = (torch.float16, torch.bfloat16)
# What the fused kernels support, by operation and device.
_FUSED = {
    ('spmm', 'cpu'): (_FLOATS + _HALVES, "PyTorch's embedding bag"),
    ('spmm', 'cuda'): (_FLOATS + _HALVES, "PyTorch's CSR product (cuSPARSE)"),
    ('sampled_scores', 'cpu'): (_FLOATS, "PyTorch's sampled product and weighted embedding bag"),
}


def choose(operation: str, x: Tensor, backend: Optional[str] = None) -> str:
    r"""The backend of ``operation`` on ``x``.

    ``backend`` if given, else the one that the environment variable ``PYG_ADVCF_BACKEND`` names,
    else the fastest that supports the device and type of ``x``.

    Args:
        operation: ``'spmm'`` (also of propagation) or ``'sampled_scores'``.
        x: The operand.
        backend: Name of a backend, or ``None``.

    Raises:
        ValueError: If the named backend is unknown.
        RuntimeError: If it is known but does not support the device and type of ``x``.
    """
    source = 'backend'
    if backend is None and VARIABLE in os.environ:
        backend, source = os.environ[VARIABLE], VARIABLE
    types, _ = _FUSED.get((operation, x.device.type), ((), ''))
    if backend is None:
        return 'fused' if x.dtype in types else 'torch'
    check_name(source, backend, BACKENDS)
    if backend == 'fused' and x.dtype not in types:
        raise RuntimeError(f"'{source}' is 'fused', but there is no fused kernel of {operation} "
                           f"for {x.dtype} on {x.device.type}; use 'torch', or leave the choice "
                           f"open")
    return backend


def backends() -> dict[str, str]:
    r"""What each operation uses on this machine, in words.

    Example:
        >>> backends()['spmm on cpu']
        "fused: PyTorch's embedding bag"
    """
    report = {}
    forced = os.environ.get(VARIABLE)
    for device in ('cpu', 'cuda') if torch.cuda.is_available() else ('cpu', ):
        for operation in ('spmm', 'sampled_scores'):
            x = torch.empty(0, device=device)
            name = choose(operation, x)
            why = (f'forced by {VARIABLE}' if forced else
                   _FUSED[operation, device][1] if name == 'fused' else
                   'no fused kernel for this device')
            report[f'{operation} on {device}'] = f'{name}: {why}'
    return report
