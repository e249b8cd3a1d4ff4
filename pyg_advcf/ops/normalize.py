r"""Rows of unit length, in one pass over the table forward and one backward."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_advcf.ops.backend import choose, kernels

EPS = 1e-12


@torch.library.custom_op('pyg_advcf::normalize', mutates_args=())
def _normalize(x: Tensor) -> tuple[Tensor, Tensor]:
    return kernels('numba').normalize(x.contiguous(), EPS)


@torch.library.custom_op('pyg_advcf::normalize_backward', mutates_args=())
def _normalize_backward(grad: Tensor, unit: Tensor, norm: Tensor) -> Tensor:
    return kernels('numba').normalize_backward(grad.contiguous(), unit, norm, EPS)


@_normalize.register_fake
def _(x):
    return torch.empty_like(x, memory_format=torch.contiguous_format), x.new_empty(x.size(0))


@_normalize_backward.register_fake
def _(grad, unit, norm):
    return torch.empty_like(unit)


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs, *output)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _backward(ctx, grad, _):
    x, unit, norm = ctx.saved_tensors
    if grad is None:
        return None
    if not torch.is_grad_enabled():
        return _normalize_backward(grad, unit, norm)
    # The gradient will be differentiated itself: the same formula out of operations that can be.
    length = x.norm(dim=-1, keepdim=True).clamp(min=EPS)
    unit = x / length
    along = (grad * unit).sum(-1, keepdim=True) * (norm.unsqueeze(-1) > EPS)
    return (grad - along * unit) / length


_normalize.register_autograd(_backward, setup_context=_save)


def normalize(x: Tensor, backend: Optional[str] = None) -> Tensor:
    r"""Rows of ``x`` divided by their length (by 1e-12 if shorter), as :func:`F.normalize` does.

    Args:
        x: ``[n, D]``.
        backend: See :func:`pyg_advcf.ops.backend.choose`; all but ``'numba'`` use PyTorch's.

    Example:
        >>> normalize(torch.tensor([[3., 4.], [0., 0.]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    if x.numel() == 0 or choose('sampled_scores', x, backend) != 'numba':
        return F.normalize(x, dim=-1)
    return _normalize(x)[0]
