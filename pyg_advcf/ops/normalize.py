r"""Rows of unit length, in one pass over the table forward and one backward."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_advcf.ops.backend import choose, kernels
from pyg_advcf.ops.bounds import check_alike, check_table, check_vector

EPS = 1e-12


@torch.library.custom_op('pyg_advcf::normalize', mutates_args=())
def _normalize(x: Tensor) -> tuple[Tensor, Tensor]:
    choose('sampled_scores', check_table('x', x), 'numba')
    return kernels('numba').normalize(x, EPS)


@torch.library.custom_op('pyg_advcf::normalize_backward', mutates_args=())
def _normalize_backward(grad: Tensor, unit: Tensor, norm: Tensor) -> Tensor:
    choose('sampled_scores', check_table('unit', unit), 'numba')
    check_vector('norm', norm, unit.size(0))
    if check_table('grad', grad).shape != unit.shape:
        raise ValueError(f"'grad' has shape {list(grad.shape)}, but needs that of 'unit', "
                         f"{list(unit.shape)}")
    check_alike(grad=grad, unit=unit, norm=norm)
    return kernels('numba').normalize_backward(grad, unit, norm, EPS)


@_normalize.register_fake
def _(x):
    return torch.empty_like(x, memory_format=torch.contiguous_format), x.new_empty(x.size(0))


@_normalize_backward.register_fake
def _(grad, unit, norm):
    return torch.empty_like(unit, memory_format=torch.contiguous_format)


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

    Raises:
        ValueError: If ``x`` is no table, or ``backend`` is unknown or not available.

    Example:
        >>> normalize(torch.tensor([[3., 4.], [0., 0.]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    if choose('sampled_scores', check_table('x', x), backend) != 'numba' or x.numel() == 0:
        return F.normalize(x, dim=-1)
    return _normalize(x)[0]
