r"""The whole propagation of LightGCN as one operation that is its own gradient."""
from typing import Optional

import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from pyg_advcf._checks import check_count
from pyg_advcf.ops.backend import choose
from pyg_advcf.ops.spmm import compressed, neighbour_sum


def _mean_over_neighbours(x: Tensor, indptr: Tensor, index: Tensor, inverse: Tensor,
                          backend: str) -> Tensor:
    # In place on the fresh sum: faster than bags of mode 'mean'.
    return neighbour_sum(x, indptr, index, backend).mul_(inverse)


@torch.library.custom_op('pyg_advcf::propagate', mutates_args=())
def _propagate(user: Tensor, item: Tensor, rowptr: Tensor, col: Tensor, colptr: Tensor,
               row: Tensor, num_layers: int, backend: str) -> tuple[Tensor, Tensor]:
    if num_layers == 0:
        return user.clone(), item.clone()
    # With y = D^{-1/2} x a layer is y' = D^{-1} A y, a plain mean over neighbours, and the sum of
    # the layers is D^{1/2} times the sum of the y.
    degree = [ptr.diff().to(user.dtype).view(-1, 1) for ptr in (rowptr, colptr)]
    inverse = [(1 / d).masked_fill_(d == 0, 0.) for d in degree]
    y = [x * d.sqrt() for x, d in zip((user, item), inverse)]
    total: list[Tensor] = []
    for _ in range(num_layers):
        y = [_mean_over_neighbours(y[1], rowptr, col, inverse[0], backend),
             _mean_over_neighbours(y[0], colptr, row, inverse[1], backend)]
        # The next layer reads y, so the sum is kept in tensors of its own.
        total = [t.add_(new) for t, new in zip(total, y)] or [t.clone() for t in y]
    share = 1. / (num_layers + 1)
    return tuple(t.mul_(d.sqrt() * share).add_(x, alpha=share)
                 for t, d, x in zip(total, degree, (user, item)))


@_propagate.register_fake
def _(user, item, rowptr, col, colptr, row, num_layers, backend):
    return torch.empty_like(user), torch.empty_like(item)


def _save(ctx, inputs, output):
    user, item, *structure, ctx.num_layers, ctx.backend = inputs
    ctx.dim = user.size(1)
    ctx.save_for_backward(*structure)


def _backward(ctx, grad_user, grad_item):
    structure = ctx.saved_tensors
    present = grad_item if grad_user is None else grad_user
    if grad_user is None:
        grad_user = present.new_zeros(structure[0].numel() - 1, ctx.dim)
    if grad_item is None:
        grad_item = present.new_zeros(structure[2].numel() - 1, ctx.dim)
    grads = _propagate(grad_user.contiguous(), grad_item.contiguous(), *structure, ctx.num_layers,
                       ctx.backend)
    return *grads, None, None, None, None, None, None


_propagate.register_autograd(_backward, setup_context=_save)


def propagate(
    graph: EdgeIndex,
    user: Tensor,
    item: Tensor,
    num_layers: int,
    backend: Optional[str] = None,
) -> tuple[Tensor, Tensor]:
    r"""Mean of the layers 0 to :math:`L` of symmetric-normalised propagation.

    :math:`\frac{1}{L+1} \sum_{l=0}^{L} \hat{A}^l x` with :math:`\hat{A} = D^{-1/2} A D^{-1/2}`. The
    operator is symmetric, so its gradient is the same operation on the gradients, and nothing of
    the layers is kept for the backward pass. Differentiable any number of times.

    Args:
        graph: As :func:`pyg_advcf.interaction_graph` returns it.
        user: ``[n, D]``.
        item: ``[m, D]``.
        num_layers: :math:`L \geq 0`.
        backend: See :func:`pyg_advcf.ops.backend.choose`.

    Returns:
        The pair ``[n, D]``, ``[m, D]``.
    """
    check_count('num_layers', num_layers, minimum=0)
    if (user.size(0), item.size(0)) != tuple(graph.get_sparse_size()):
        raise ValueError(f"'user' and 'item' have {user.size(0)} and {item.size(0)} rows, but the "
                         f"graph has shape {tuple(graph.get_sparse_size())}")
    return _propagate(user.contiguous(), item.contiguous(), *compressed(graph, False),
                      *compressed(graph, True), num_layers, choose('spmm', user, backend))
