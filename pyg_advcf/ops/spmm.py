r"""Propagation over a bipartite graph: the sparse-dense product in both directions."""
from typing import Optional

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.utils import scatter

from pyg_advcf._checks import check_ids
from pyg_advcf.ops import segments
from pyg_advcf.ops.backend import choose, kernels


def compressed(graph: EdgeIndex, transpose: bool) -> tuple[Tensor, Tensor]:
    r"""``(indptr, index)`` by users, or by items if ``transpose``; cached by the graph."""
    (indptr, index), _ = graph.get_csc() if transpose else graph.get_csr()
    return indptr, index


def graph_degrees(graph: EdgeIndex) -> tuple[Tensor, Tensor]:
    r"""Degrees of users and of items, int64."""
    user, item = (compressed(graph, transpose)[0].diff().long() for transpose in (False, True))
    return user, item


def inv_sqrt_degree(graph: EdgeIndex, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    r""":math:`D^{-1/2}` of users and of items; 0 for isolated nodes."""
    wide = torch.promote_types(dtype, torch.float32)  # Degrees overflow half precision.
    user, item = (degree.to(wide).rsqrt().to(dtype) for degree in graph_degrees(graph))
    return user.masked_fill_(user.isinf(), 0.), item.masked_fill_(item.isinf(), 0.)


def check_rows(argument: str, rows: Optional[Tensor], size: int) -> Optional[Tensor]:
    r"""Returns ``rows`` as int64 if they are distinct ids in ``[0, size)`` (checked on CPU)."""
    if rows is None:
        return None
    if rows.device.type == 'cpu' and not torch.compiler.is_compiling():
        check_ids(argument, rows, size)
        seen = torch.zeros(size, dtype=torch.bool)
        seen[rows.long()] = True
        if int(seen.sum()) != rows.numel():
            raise ValueError(f"'{argument}' repeats ids: {rows.numel()} are given, "
                             f"{int(seen.sum())} are distinct; pass each once")
    return rows.long().contiguous()


def expand(x: Tensor, source: Optional[Tensor], size: int) -> Tensor:
    r"""The table of ``size`` rows of which ``x`` holds the rows ``source``; zeros elsewhere."""
    if source is None:
        return x
    return x.new_zeros(size, x.size(1)).index_copy_(0, source, x)


def places(source: Optional[Tensor], x: Tensor) -> Optional[Tensor]:
    r"""Where each row of the table ``x`` is found among the rows ``source``; -1 if nowhere."""
    if source is None:
        return None
    place = torch.full((x.size(0), ), -1, dtype=torch.int32, device=source.device)
    place[source] = torch.arange(source.numel(), dtype=torch.int32, device=source.device)
    return place


@torch.library.custom_op('pyg_advcf::spmm', mutates_args=())
def _spmm(x: Tensor, indptr: Tensor, index: Tensor, t_indptr: Tensor, t_index: Tensor,
          rows: Optional[Tensor], source: Optional[Tensor], backend: str) -> Tensor:
    r"""``rows`` are the rows wanted, ``source`` the only rows that ``x`` holds."""
    size = t_indptr.numel() - 1
    if backend == 'numba' and (rows is not None or source is not None):
        place = places(source, x.new_empty(size, 0))
        return kernels(backend).pruned_sum(x.contiguous(), indptr, index, rows, place)
    out = segments.segment_sum(expand(x, source, size), indptr, index, None, backend)
    return out if rows is None else out[rows]


@_spmm.register_fake
def _(x, indptr, index, t_indptr, t_index, rows, source, backend):
    return x.new_empty(indptr.numel() - 1 if rows is None else rows.numel(), x.size(1))


def _save(ctx, inputs, output):
    _, *structure, ctx.backend = inputs
    ctx.save_for_backward(*structure)


def _backward(ctx, grad):
    indptr, index, t_indptr, t_index, rows, source = ctx.saved_tensors
    grad = _spmm(grad, t_indptr, t_index, indptr, index, source, rows, ctx.backend)
    return grad, *(None for _ in range(7))


_spmm.register_autograd(_backward, setup_context=_save)


# With a weight per edge, in the order of the rows; `order` leads from there to the order of the
# columns. The product and the dot products along the edges are each other's gradients.
@torch.library.custom_op('pyg_advcf::weighted_spmm', mutates_args=())
def _weighted_spmm(x: Tensor, weight: Tensor, rowptr: Tensor, col: Tensor, colptr: Tensor,
                   row: Tensor, order: Tensor, transpose: bool, backend: str) -> Tensor:
    if transpose:
        return segments.segment_sum(x, colptr, row, weight[order], backend)
    return segments.segment_sum(x, rowptr, col, weight, backend)


@torch.library.custom_op('pyg_advcf::sddmm', mutates_args=())
def _sddmm(a: Tensor, b: Tensor, rowptr: Tensor, col: Tensor, colptr: Tensor, row: Tensor,
              order: Tensor, backend: str) -> Tensor:
    return segments.sddmm(a, b, rowptr, col, backend)


@_weighted_spmm.register_fake
def _(x, weight, rowptr, col, colptr, row, order, transpose, backend):
    return x.new_empty((colptr if transpose else rowptr).numel() - 1, x.size(1))


@_sddmm.register_fake
def _(a, b, rowptr, col, colptr, row, order, backend):
    return a.new_empty(col.numel())


def _weighted_save(ctx, inputs, output):
    *tensors, ctx.transpose, ctx.backend = inputs
    ctx.save_for_backward(*tensors)


def _weighted_backward(ctx, grad):
    x, weight, *structure = ctx.saved_tensors
    grad_x = grad_weight = None
    if ctx.needs_input_grad[0]:
        grad_x = _weighted_spmm(grad, weight, *structure, not ctx.transpose, ctx.backend)
    if ctx.needs_input_grad[1]:
        a, b = (x, grad) if ctx.transpose else (grad, x)
        grad_weight = _sddmm(a, b, *structure, ctx.backend)
    return grad_x, grad_weight, *(None for _ in range(7))


def _sddmm_save(ctx, inputs, output):
    *tensors, ctx.backend = inputs
    ctx.save_for_backward(*tensors)


def _sddmm_backward(ctx, grad):
    a, b, *structure = ctx.saved_tensors
    return (_weighted_spmm(b, grad, *structure, False, ctx.backend),
            _weighted_spmm(a, grad, *structure, True, ctx.backend), *(None for _ in range(6)))


_weighted_spmm.register_autograd(_weighted_backward, setup_context=_weighted_save)
_sddmm.register_autograd(_sddmm_backward, setup_context=_sddmm_save)


def spmm(
    graph: EdgeIndex,
    x: Tensor,
    transpose: bool = False,
    row_scale: Optional[Tensor] = None,
    col_scale: Optional[Tensor] = None,
    edge_weight: Optional[Tensor] = None,
    rows: Optional[Tensor] = None,
    backend: Optional[str] = None,
) -> Tensor:
    r"""Sums the rows of ``x`` over neighbours: ``row_scale * (A @ (col_scale * x))``.

    ``A`` is the binary matrix of ``graph``, ``[users, items]``, or its transpose, with
    ``edge_weight`` in place of its ones if given. Differentiable any number of times in ``x``, the
    scales and the weights: the gradient is the product in the other direction, whose compressed
    form the graph caches.

    Args:
        graph: As :func:`pyg_advcf.interaction_graph` returns it.
        x: ``[items, D]``, or ``[users, D]`` if ``transpose``.
        transpose: Whether to sum over the users of each item instead.
        row_scale: One factor per output row (of the whole output, also where ``rows`` is given).
        col_scale: One factor per row of ``x``.
        edge_weight: One factor per edge of ``graph``, in the order of its columns.
        rows: Ids of the output rows that are wanted, without repetition; all by default. Only
            these are computed, and the gradient is read from these alone (with ``'numba'`` and
            without ``edge_weight``; else they are selected afterwards).
        backend: See :func:`pyg_advcf.ops.backend.choose`.

    Raises:
        ValueError: If ``x`` or ``edge_weight`` do not fit the graph, an id in ``rows`` is out of
            range or repeats, or ``backend`` is unknown.

    Example:
        >>> from pyg_advcf import as_graph
        >>> graph = as_graph(torch.tensor([[0, 0, 1], [0, 1, 1]]), 2, 2)
        >>> spmm(graph, torch.tensor([[1.], [10.]]))
        tensor([[11.],
                [10.]])
        >>> spmm(graph, torch.tensor([[1.], [10.]]), rows=torch.tensor([1]))
        tensor([[10.]])
    """
    size = graph.get_sparse_size(0), graph.get_sparse_size(1)
    if x.size(0) != size[0 if transpose else 1]:
        raise ValueError(f"'x' has {x.size(0)} rows, but the graph has shape {size} and "
                         f"'transpose' is {transpose}")
    rows = check_rows('rows', rows, size[1 if transpose else 0])
    backend = choose('spmm', x, backend)
    if col_scale is not None:
        x = x * col_scale.view(-1, 1)
    if edge_weight is not None:
        if edge_weight.shape != (graph.size(1), ):
            raise ValueError(f"'edge_weight' has shape {list(edge_weight.shape)}, but the graph "
                             f"has {graph.size(1)} edges")
        (colptr, row), order = graph.get_csc()
        out = _weighted_spmm(x, edge_weight.to(x.dtype), *compressed(graph, False), colptr, row,
                             order, transpose, backend)
        out = out if rows is None else out[rows]
    else:
        out = _spmm(x, *compressed(graph, transpose), *compressed(graph, not transpose), rows,
                    None, backend)
    if row_scale is None:
        return out
    return out * (row_scale if rows is None else row_scale[rows]).view(-1, 1)


def spmm_reference(graph: EdgeIndex, x: Tensor, transpose: bool = False,
                   edge_weight: Optional[Tensor] = None) -> Tensor:
    r"""The oracle of :func:`spmm`: gather and scatter along the edges."""
    user, item = graph.as_tensor().long()
    weight = 1. if edge_weight is None else edge_weight.view(-1, 1)
    if transpose:
        return scatter(x[user] * weight, item, 0, graph.get_sparse_size(1), reduce='sum')
    return scatter(x[item] * weight, user, 0, graph.get_sparse_size(0), reduce='sum')
