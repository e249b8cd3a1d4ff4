r"""Propagation over a bipartite graph: the sparse-dense product in both directions."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.utils import scatter

from pyg_advcf.ops.backend import choose


def compressed(graph: EdgeIndex, transpose: bool) -> tuple[Tensor, Tensor]:
    r"""``(indptr, index)`` by users, or by items if ``transpose``; cached by the graph."""
    (indptr, index), _ = graph.get_csc() if transpose else graph.get_csr()
    return indptr, index


def neighbour_sum(x: Tensor, indptr: Tensor, index: Tensor, backend: str) -> Tensor:
    r"""Sums the rows ``index[indptr[i]:indptr[i + 1]]`` of ``x`` for every ``i``; no autograd."""
    out_size = indptr.numel() - 1
    if index.numel() == 0:
        return x.new_zeros(out_size, x.size(1))
    if backend == 'torch':
        row = torch.repeat_interleave(indptr.diff().long(), output_size=index.numel())
        return scatter(x[index.long()], row, 0, out_size, reduce='sum')
    if x.device.type == 'cpu':
        # A sum over bags of rows *is* the product with a binary matrix, and needs no values.
        return F.embedding_bag(index, x.contiguous(), indptr, mode='sum', include_last_offset=True)
    value = torch.ones_like(index, dtype=x.dtype)
    return torch.sparse_csr_tensor(indptr, index, value, (out_size, x.size(0)),
                                   check_invariants=False) @ x


@torch.library.custom_op('pyg_advcf::spmm', mutates_args=())
def _spmm(x: Tensor, indptr: Tensor, index: Tensor, t_indptr: Tensor, t_index: Tensor,
          backend: str) -> Tensor:
    return neighbour_sum(x, indptr, index, backend)


@_spmm.register_fake
def _(x, indptr, index, t_indptr, t_index, backend):
    return x.new_empty(indptr.numel() - 1, x.size(1))


def _save(ctx, inputs, output):
    _, *structure, ctx.backend = inputs
    ctx.save_for_backward(*structure)


def _backward(ctx, grad):
    indptr, index, t_indptr, t_index = ctx.saved_tensors
    grad = _spmm(grad, t_indptr, t_index, indptr, index, ctx.backend)
    return grad, None, None, None, None, None


_spmm.register_autograd(_backward, setup_context=_save)


def spmm(
    graph: EdgeIndex,
    x: Tensor,
    transpose: bool = False,
    row_scale: Optional[Tensor] = None,
    col_scale: Optional[Tensor] = None,
    backend: Optional[str] = None,
) -> Tensor:
    r"""Sums the rows of ``x`` over neighbours: ``row_scale * (A @ (col_scale * x))``.

    ``A`` is the binary matrix of ``graph``, ``[users, items]``, or its transpose. Differentiable
    any number of times in ``x`` and in the scales: the gradient is the product in the other
    direction, whose compressed form the graph caches.

    Args:
        graph: As :func:`pyg_advcf.interaction_graph` returns it.
        x: ``[items, D]``, or ``[users, D]`` if ``transpose``.
        transpose: Whether to sum over the users of each item instead.
        row_scale: One factor per output row.
        col_scale: One factor per row of ``x``.
        backend: See :func:`pyg_advcf.ops.backend.choose`.

    Raises:
        ValueError: If ``x`` does not fit the graph, or ``backend`` is unknown.

    Example:
        >>> from pyg_advcf import as_graph
        >>> graph = as_graph(torch.tensor([[0, 0, 1], [0, 1, 1]]), 2, 2)
        >>> spmm(graph, torch.tensor([[1.], [10.]]))
        tensor([[11.],
                [10.]])
    """
    if x.size(0) != graph.get_sparse_size(0 if transpose else 1):
        raise ValueError(f"'x' has {x.size(0)} rows, but the graph has shape "
                         f"{tuple(graph.get_sparse_size())} and 'transpose' is {transpose}")
    if col_scale is not None:
        x = x * col_scale.view(-1, 1)
    out = _spmm(x, *compressed(graph, transpose), *compressed(graph, not transpose),
                choose('spmm', x, backend))
    return out if row_scale is None else out * row_scale.view(-1, 1)


def spmm_reference(graph: EdgeIndex, x: Tensor, transpose: bool = False) -> Tensor:
    r"""The oracle of :func:`spmm`: gather and scatter along the edges."""
    user, item = graph.as_tensor().long()
    if transpose:
        return scatter(x[user], item, 0, graph.get_sparse_size(1), reduce='sum')
    return scatter(x[item], user, 0, graph.get_sparse_size(0), reduce='sum')
