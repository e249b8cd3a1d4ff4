r"""The whole propagation of LightGCN as one operation that is its own gradient."""
from typing import Optional

import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from pyg_advcf._checks import check_count
from pyg_advcf.ops import segments
from pyg_advcf.ops.backend import choose, kernels
from pyg_advcf.ops.bounds import check_alike, check_id_type, check_ids, check_width
from pyg_advcf.ops.spmm import check_both, check_held, check_tables, check_wanted, expand, places
from pyg_advcf.ops.structure import structure


@torch.library.custom_op('pyg_advcf::propagate', mutates_args=())
def _propagate(user: Tensor, item: Tensor, rowptr: Tensor, col: Tensor, colptr: Tensor,
               row: Tensor, user_rows: Optional[Tensor], item_rows: Optional[Tensor],
               user_source: Optional[Tensor], item_source: Optional[Tensor], num_layers: int,
               backend: str) -> tuple[Tensor, Tensor]:
    r"""``*_rows`` are the rows wanted, ``*_source`` the only rows that ``user``, ``item`` hold."""
    users, items = (check_id_type(name, indptr, 1).numel() - 1
                    for name, indptr in (('rowptr', rowptr), ('colptr', colptr)))
    check_held('user', user, user_source, users, 'user_source')
    check_held('item', item, item_source, items, 'item_source')
    check_alike(user=user, item=item)
    check_width(user=user, item=item)
    check_both((rowptr, col), (colptr, row), ('rowptr', 'col', 'colptr', 'row'), user.device)
    for name, ids, size in (('user_rows', user_rows, users), ('item_rows', item_rows, items)):
        if ids is not None:
            check_ids(name, ids, size, device=user.device, distinct=True)
    check_count('num_layers', num_layers, minimum=0)
    choose('spmm', user, backend)
    patterns = (rowptr, col), (colptr, row)
    rows, source = (user_rows, item_rows), (user_source, item_source)
    held = user, item
    x = [expand(*args) for args in zip(held, source, (rowptr.numel() - 1, colptr.numel() - 1))]
    share = 1. / (num_layers + 1)
    if num_layers == 0:
        return tuple(t.clone() if ids is None else t[ids] for t, ids in zip(x, rows))
    # With y = D^{-1/2} x a layer is y' = D^{-1} A y, a plain mean over neighbours. The sum of the
    # layers is taken by Horner's rule, t' = y + D^{-1} A t, so that it needs no tensor of its own.
    root = [(1 / ptr.diff().to(user.dtype)).sqrt_() for ptr, _ in patterns]
    root = [r.masked_fill_(r.isinf(), 0.).view(-1, 1) for r in root]
    inverse = [r.square() for r in root]
    y = [t * r for t, r in zip(x, root)]

    def product(side: int, t: list[Tensor], first: bool, last: bool) -> Tensor:
        r"""The neighbours' sum; pruned to what is held and wanted, where that is possible."""
        ids = source[1 - side] if first else None
        wanted = rows[side] if last else None
        if backend == 'numba' and (ids is not None or wanted is not None):
            compact = t[1 - side] if ids is None else held[1 - side] * root[1 - side][ids]
            return kernels(backend).pruned_sum(compact, *patterns[side], wanted,
                                               places(ids, x[1 - side]))
        out = segments.segment_sum(t[1 - side], *patterns[side], None, backend)
        return out if wanted is None else out[wanted]

    t = y
    for layer in range(num_layers - 1):
        sums = [product(side, t, layer == 0, False) for side in (0, 1)]
        t = [torch.addcmul(a, s, r, out=s) for a, s, r in zip(y, sums, inverse)]
    sums = [product(side, t, num_layers == 1, True) for side in (0, 1)]
    x = [a if ids is None else a[ids] for a, ids in zip(x, rows)]
    root = [r if ids is None else r[ids] for r, ids in zip(root, rows)]
    return tuple(s.mul_(r * share).add_(a, alpha=share) for a, s, r in zip(x, sums, root))


@_propagate.register_fake
def _(user, item, rowptr, col, colptr, row, user_rows, item_rows, user_source, item_source,
      num_layers, backend):
    sizes = [ptr.numel() - 1 if ids is None else ids.numel()
             for ptr, ids in ((rowptr, user_rows), (colptr, item_rows))]
    return tuple(user.new_empty(size, user.size(1)) for size in sizes)


def _save(ctx, inputs, output):
    user, item, *structure, ctx.num_layers, ctx.backend = inputs
    ctx.shapes = [t.shape for t in output]
    ctx.like = user.new_empty(0)
    ctx.save_for_backward(*structure)


def _backward(ctx, *grads):
    *structure, user_rows, item_rows, user_source, item_source = ctx.saved_tensors
    grads = [ctx.like.new_zeros(shape) if grad is None else grad.contiguous()
             for grad, shape in zip(grads, ctx.shapes)]
    # Symmetric: what was selected on the way out is what the gradient holds, and the other way.
    grads = _propagate(*grads, *structure, user_source, item_source, user_rows, item_rows,
                       ctx.num_layers, ctx.backend)
    return *grads, *(None for _ in range(10))


_propagate.register_autograd(_backward, setup_context=_save)


def propagate(
    graph: EdgeIndex,
    user: Tensor,
    item: Tensor,
    num_layers: int,
    rows: tuple[Optional[Tensor], Optional[Tensor]] = (None, None),
    backend: Optional[str] = None,
) -> tuple[Tensor, Tensor]:
    r"""Mean of the layers 0 to :math:`L` of symmetric-normalised propagation.

    :math:`\frac{1}{L+1} \sum_{l=0}^{L} \hat{A}^l x` with :math:`\hat{A} = D^{-1/2} A D^{-1/2}`. The
    operator is symmetric, so its gradient is the same operation on the gradients, and nothing of
    the layers is kept for the backward pass. Differentiable any number of times.

    Args:
        graph: See :func:`~pyg_advcf.ops.spmm`.
        user: ``[n, D]``.
        item: ``[m, D]``.
        num_layers: :math:`L \geq 0`.
        rows: Ids of the users and of the items whose rows are wanted, each without repetition, or
            ``None`` for all. The last layer forward and the first backward are computed for these
            alone (with ``'numba'``; other backends select afterwards).
        backend: See :func:`pyg_advcf.ops.backend.choose`.

    Returns:
        The pair ``[n, D]``, ``[m, D]``, or the wanted rows of it.

    Raises:
        ValueError: If ``graph`` is none or holds ids beyond its size, the tables do not fit it or
            each other, ``num_layers`` is negative, an id in ``rows`` is out of range or repeats, or
            ``backend`` is unknown or not available.
    """
    check_count('num_layers', num_layers, minimum=0)
    forms = structure(graph)
    check_tables(forms, user, item)
    rows = check_wanted(rows, forms, user)
    return _propagate(user.contiguous(), item.contiguous(), *forms.pattern(False),
                      *forms.pattern(True), *rows, None, None, num_layers,
                      choose('spmm', user, backend))
