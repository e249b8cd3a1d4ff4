r"""Propagation over a bipartite graph: the sparse-dense product in both directions."""
from typing import Any, Optional

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.utils import scatter

from pyg_advcf._checks import check_bool, check_integers, check_numbers, shown
from pyg_advcf.ops import segments
from pyg_advcf.ops.backend import choose, kernels
from pyg_advcf.ops.bounds import (
    check_alike,
    check_id_type,
    check_ids,
    check_pattern,
    check_table,
    check_vector,
    check_width,
)
from pyg_advcf.ops.structure import Structure, structure


def compressed(graph: EdgeIndex, transpose: bool) -> tuple[Tensor, Tensor]:
    r"""``(indptr, index)`` by users, or by items if ``transpose``; made once for a graph."""
    return structure(graph).pattern(transpose)


def graph_degrees(graph: EdgeIndex) -> tuple[Tensor, Tensor]:
    r"""Degrees of users and of items, int64."""
    user, item = (compressed(graph, transpose)[0].diff().long() for transpose in (False, True))
    return user, item


def inv_sqrt(degree: Tensor, dtype: torch.dtype) -> Tensor:
    r""":math:`d^{-1/2}`; 0 for isolated nodes."""
    wide = torch.promote_types(dtype, torch.float32)  # Degrees overflow half precision.
    root = degree.to(wide).rsqrt().to(dtype)
    return root.masked_fill_(root.isinf(), 0.)


def inv_sqrt_degree(graph: EdgeIndex, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    r""":math:`D^{-1/2}` of users and of items; 0 for isolated nodes."""
    user, item = (inv_sqrt(degree, dtype) for degree in graph_degrees(graph))
    return user, item


def wanted(argument: str, rows: Optional[Tensor], size: int, x: Tensor) -> Optional[Tensor]:
    r"""Returns ``rows`` as int64 if they are distinct ids in ``[0, size)`` (checked on CPU)."""
    if rows is None:
        return None
    rows = check_integers(argument, rows).contiguous()
    return check_ids(argument, rows, size, device=x.device, distinct=True)


def check_wanted(rows: Any, forms: Structure, x: Tensor) -> tuple[Optional[Tensor], ...]:
    r"""The ids of users and of items as :func:`wanted` returns them."""
    if not isinstance(rows, (tuple, list)) or len(rows) != 2:
        raise ValueError(f"'rows' is {shown(rows)}, but needs to be a pair: the ids of users "
                         f"and of items, or None for all")
    return tuple(wanted(f'rows[{side}]', ids, forms.size[side], x)
                 for side, ids in enumerate(rows))


def check_tables(forms: Structure, user: Any, item: Any) -> None:
    r"""Raises if ``user`` and ``item`` are no tables of the nodes of a graph."""
    check_table('user', user)
    check_table('item', item)
    if (user.size(0), item.size(0)) != forms.size:
        raise ValueError(f"'user' and 'item' have {user.size(0)} and {item.size(0)} rows, but the "
                         f"graph has shape {forms.size}")
    check_alike(user=user, item=item)
    check_width(user=user, item=item)
    check_id_type('graph', forms.col, 1, user.device)


def check_held(argument: str, x: Tensor, source: Optional[Tensor], size: int,
               name: str = 'source') -> None:
    r"""Raises if ``x`` is no table of ``size`` rows, or of the rows ``source`` of such a table."""
    if source is not None:
        check_ids(name, source, size, device=x.device, distinct=True)
    check_table(argument, x, size if source is None else source.numel())


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
    size = check_id_type('t_indptr', t_indptr, 1).numel() - 1
    check_held('x', x, source, size)
    check_both((indptr, index), (t_indptr, t_index), ('indptr', 'index', 't_indptr', 't_index'),
               x.device)
    if rows is not None:
        check_ids('rows', rows, indptr.numel() - 1, device=x.device, distinct=True)
    choose('spmm', x, backend)
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


def check_both(pattern: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor],
               names: tuple[str, str, str, str], device: torch.device) -> None:
    r"""Raises if two patterns are not of the same shape, the one transposed."""
    for place, (indptr, _) in enumerate((pattern, other)):
        check_id_type(names[2 * place], indptr, 1, device)
    check_pattern(*pattern, other[0].numel() - 1, device, names[:2])
    check_pattern(*other, pattern[0].numel() - 1, device, names[2:])
    if pattern[1].numel() != other[1].numel():
        raise ValueError(f"'{names[1]}' has {pattern[1].numel()} entries and '{names[3]}' "
                         f"{other[1].numel()}, but they need to hold the same edges")


def check_weighted(rowptr: Tensor, col: Tensor, colptr: Tensor, row: Tensor, order: Tensor,
                   device: torch.device) -> None:
    r"""Raises if the two patterns do not fit each other, or ``order`` is no order of the edges."""
    check_both((rowptr, col), (colptr, row), ('rowptr', 'col', 'colptr', 'row'), device)
    check_ids('order', order, col.numel(), device=device, distinct=True)
    if order.numel() != col.numel():
        raise ValueError(f"'order' has {order.numel()} entries, but there are {col.numel()} edges")


# With a weight per edge, in the order of the rows; `order` leads from there to the order of the
# columns. The product and the dot products along the edges are each other's gradients.
@torch.library.custom_op('pyg_advcf::weighted_spmm', mutates_args=())
def _weighted_spmm(x: Tensor, weight: Tensor, rowptr: Tensor, col: Tensor, colptr: Tensor,
                   row: Tensor, order: Tensor, transpose: bool, backend: str) -> Tensor:
    check_weighted(rowptr, col, colptr, row, order, x.device)
    check_table('x', x, (rowptr if transpose else colptr).numel() - 1)
    check_vector('weight', weight, col.numel())
    check_alike(x=x, weight=weight)
    choose('spmm', x, backend)
    if transpose:
        return segments.segment_sum(x, colptr, row, weight[order.long()], backend)
    return segments.segment_sum(x, rowptr, col, weight, backend)


@torch.library.custom_op('pyg_advcf::sddmm', mutates_args=())
def _sddmm(a: Tensor, b: Tensor, rowptr: Tensor, col: Tensor, colptr: Tensor, row: Tensor,
           order: Tensor, backend: str) -> Tensor:
    check_weighted(rowptr, col, colptr, row, order, a.device)
    check_table('a', a, rowptr.numel() - 1)
    check_table('b', b, colptr.numel() - 1)
    check_alike(a=a, b=b)
    check_width(a=a, b=b)
    choose('spmm', a, backend)
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
        graph: As :func:`pyg_advcf.interaction_graph` returns it, or any other
            :class:`~torch_geometric.EdgeIndex` of known size, in any order.
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
        ValueError: If ``graph`` is none or holds ids beyond its size, ``x`` or the factors do not
            fit it, an id in ``rows`` is out of range or repeats, or ``backend`` is unknown or not
            available.

    Example:
        >>> from pyg_advcf import as_graph
        >>> graph = as_graph(torch.tensor([[0, 0, 1], [0, 1, 1]]), 2, 2)
        >>> spmm(graph, torch.tensor([[1.], [10.]]))
        tensor([[11.],
                [10.]])
        >>> spmm(graph, torch.tensor([[1.], [10.]]), rows=torch.tensor([1]))
        tensor([[10.]])
    """
    forms = structure(graph)
    transpose = bool(check_bool('transpose', transpose))
    held, given = forms.size if transpose else forms.size[::-1]
    check_table('x', x)
    if x.size(0) != held:
        raise ValueError(f"'x' has {x.size(0)} rows, but the graph has shape {forms.size} and "
                         f"'transpose' is {transpose}")
    row_scale = _check_factors('row_scale', row_scale, given, x)
    col_scale = _check_factors('col_scale', col_scale, held, x)
    edge_weight = _check_factors('edge_weight', edge_weight, forms.col.numel(), x)
    check_id_type('graph', forms.col, 1, x.device)
    rows = wanted('rows', rows, given, x)
    if col_scale is not None:
        x = x * col_scale.view(-1, 1)
    backend = choose('spmm', x, backend)
    if edge_weight is not None:
        if forms.column is not None:
            edge_weight = edge_weight[forms.column]
        edge_weight = edge_weight.reshape(-1).to(x.dtype)
        out = _weighted_spmm(x, edge_weight, *forms.weighted(), transpose, backend)
        out = out if rows is None else out[rows]
    else:
        out = _spmm(x, *forms.pattern(transpose), *forms.pattern(not transpose), rows, None,
                    backend)
    if row_scale is None:
        return out
    return out * (row_scale if rows is None else row_scale[rows]).view(-1, 1)


def _check_factors(argument: str, factors: Any, size: int, x: Tensor) -> Optional[Tensor]:
    if factors is None:
        return None
    if check_numbers(argument, factors).shape not in ((size, ), (size, 1)):
        raise ValueError(f"'{argument}' has shape {list(factors.shape)}, but needs to be [{size}]")
    if factors.device != x.device:
        raise ValueError(f"'{argument}' is on {factors.device} and 'x' on {x.device}; move one of "
                         f"them")
    return factors


def spmm_reference(graph: EdgeIndex, x: Tensor, transpose: bool = False,
                   edge_weight: Optional[Tensor] = None) -> Tensor:
    r"""The oracle of :func:`spmm`: gather and scatter along the edges."""
    user, item = graph.as_tensor().long()
    weight = 1. if edge_weight is None else edge_weight.view(-1, 1)
    if transpose:
        return scatter(x[user] * weight, item, 0, graph.get_sparse_size(1), reduce='sum')
    return scatter(x[item] * weight, user, 0, graph.get_sparse_size(0), reduce='sum')
