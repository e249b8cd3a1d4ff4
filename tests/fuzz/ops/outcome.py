r"""Makes a call, and compares what comes of it with what plain PyTorch returns."""
import traceback
from pathlib import Path

import torch

from ..call import is_clear
from .draws import Case
from .expected import Wrong


def _leaves(result):
    if isinstance(result, torch.Tensor):
        return [result]
    return [t for part in result for t in _leaves(part)]


def _differs(found, expected, what):
    if len(found) != len(expected):
        return f'{what}: {len(found)} tensors instead of {len(expected)}'
    for a, b in zip(found, expected):
        if a.shape != b.shape:
            return f'{what}: shape {list(a.shape)} instead of {list(b.shape)}'
        tolerance = {torch.float16: .1, torch.bfloat16: .3, torch.float32: 1e-3}.get(a.dtype, 1e-8)
        if not torch.allclose(a.double(), b.double(), tolerance, tolerance, equal_nan=True):
            return f'{what}: off by {float((a.double() - b.double()).abs().max()):.3g}'
    return None


def outcome_of(case: Case, wrong: str) -> tuple[str, str]:
    r"""What came of the call, and why if it is not what it should be."""
    leaves = [t for t in case.args.values() if isinstance(t, torch.Tensor) and t.requires_grad
              and t.device.type == 'cpu' and t.dtype in (torch.float32, torch.float64)]
    try:
        expected = case.expect(case.args)
    except Wrong:
        expected = None
    try:
        result = case.call(case.args)
        grads = None
        if expected is not None and leaves and not callable(expected):
            total = sum((t.double() * (k + 1)).sum() for k, t in enumerate(_leaves(result))
                        if t.requires_grad)
            if isinstance(total, torch.Tensor):
                grads = torch.autograd.grad(total, leaves, allow_unused=True)
    except Exception as error:
        what = f'{type(error).__name__}: {" ".join(str(error).split())[:200]}'
        if not wrong:
            return 'obscure', f'right arguments were refused: {what}'
        if is_clear(error):
            return 'clear', ''
        frame = (traceback.extract_tb(error.__traceback__) or [None])[-1]
        return 'obscure', f'{what} ({Path(frame.filename).name}:{frame.lineno})'
    if expected is None:
        return 'silent', 'accepted'
    if callable(expected):
        problem = expected(result)
    else:
        problem = _differs(_leaves(result), expected, 'result')
        total = sum((t.double() * (k + 1)).sum() for k, t in enumerate(expected))
        if problem is None and grads is not None and total.requires_grad:
            theirs = torch.autograd.grad(total, leaves, allow_unused=True)
            pairs = [(a, b) for a, b in zip(grads, theirs) if a is not None and b is not None]
            problem = _differs(*zip(*pairs), 'gradient') if pairs else None
    return ('correct', '') if problem is None else ('silent', problem)
