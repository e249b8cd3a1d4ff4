r"""Scores of sampled user-item pairs; fused, forward and backward without a ``[B, N, D]`` tensor.

Three products are closed under differentiation, so that gradients of any order are made of the
same three (``index`` is ``[B, N]``, ``a`` is ``[B, D]``, ``b`` is ``[m, D]``, ``w`` is ``[B, N]``):

* ``sampled_product``: :math:`s_{bn} = a_b \cdot b_{index_{bn}}`
* ``gather_sum``: :math:`y_b = \sum_n w_{bn}\, b_{index_{bn}}`
* ``scatter_sum``: :math:`y_j = \sum_{(b,n): index_{bn} = j} w_{bn}\, a_b`
"""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_advcf._checks import check_count, check_integers, check_name, check_positive
from pyg_advcf.ops.backend import choose
from pyg_advcf.ops.bounds import (
    check_alike,
    check_id_type,
    check_ids,
    check_table,
    check_width,
    known_range,
)
from pyg_advcf.ops.normalize import normalize
from pyg_advcf.ops.segments import regular, sddmm, segment_sum, transposed


def _check_weighted(w: Tensor, index: Tensor, **table: Tensor) -> None:
    check_id_type('index', index, 2)
    if check_table('w', w).shape != index.shape:
        raise ValueError(f"'w' has shape {list(w.shape)}, but needs that of 'index', "
                         f"{list(index.shape)}")
    check_alike(w=w, **table)


@torch.library.custom_op('pyg_advcf::sampled_product', mutates_args=())
def _sampled_product(a: Tensor, b: Tensor, index: Tensor, backend: str) -> Tensor:
    check_id_type('index', index, 2)
    check_table('a', a, index.size(0))
    check_table('b', b)
    check_alike(a=a, b=b)
    check_width(a=a, b=b)
    check_ids('index', index, b.size(0), 2, a.device)
    choose('sampled_scores', a, backend)
    if backend != 'torch' and index.size(1) >= b.size(0) and index.numel() > 0:
        # More negatives than items: all scores are fewer.
        return (a @ b.t()).gather(1, index.long())
    return sddmm(a, b, regular(index), index.reshape(-1), backend).view(index.shape)


@torch.library.custom_op('pyg_advcf::gather_sum', mutates_args=())
def _gather_sum(w: Tensor, b: Tensor, index: Tensor, backend: str) -> Tensor:
    check_table('b', b)
    _check_weighted(w, index, b=b)
    check_ids('index', index, b.size(0), 2, b.device)
    choose('sampled_scores', b, backend)
    return segment_sum(b, regular(index), index.reshape(-1), w.reshape(-1), backend)


@torch.library.custom_op('pyg_advcf::scatter_sum', mutates_args=())
def _scatter_sum(w: Tensor, a: Tensor, index: Tensor, size: int, backend: str) -> Tensor:
    check_count('size', size, minimum=0)
    _check_weighted(w, index, a=a)
    check_table('a', a, index.size(0))
    check_ids('index', index, size, 2, a.device)
    choose('sampled_scores', a, backend)
    # Sorted by target, each target is one segment: no atomics, and always the same order of sums.
    indptr, row, w = transposed(index, size, w, backend)
    return segment_sum(a, indptr, row, w, backend)


@_sampled_product.register_fake
def _(a, b, index, backend):
    return a.new_empty(index.shape)


@_gather_sum.register_fake
def _(w, b, index, backend):
    return b.new_empty(index.size(0), b.size(1))


@_scatter_sum.register_fake
def _(w, a, index, size, backend):
    return a.new_empty(size, a.size(1))


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs[:3])
    ctx.backend = inputs[-1]


def _sampled_product_backward(ctx, grad):
    a, b, index = ctx.saved_tensors
    return (_gather_sum(grad, b, index, ctx.backend) if ctx.needs_input_grad[0] else None,
            _scatter_sum(grad, a, index, b.size(0), ctx.backend)
            if ctx.needs_input_grad[1] else None, None, None)


def _gather_sum_backward(ctx, grad):
    w, b, index = ctx.saved_tensors
    return (_sampled_product(grad, b, index, ctx.backend) if ctx.needs_input_grad[0] else None,
            _scatter_sum(w, grad, index, b.size(0), ctx.backend)
            if ctx.needs_input_grad[1] else None, None, None)


def _scatter_sum_backward(ctx, grad):
    w, a, index = ctx.saved_tensors
    return (_sampled_product(a, grad, index, ctx.backend) if ctx.needs_input_grad[0] else None,
            _gather_sum(w, grad, index, ctx.backend) if ctx.needs_input_grad[1] else None,
            None, None, None)


_sampled_product.register_autograd(_sampled_product_backward, setup_context=_save)
_gather_sum.register_autograd(_gather_sum_backward, setup_context=_save)
_scatter_sum.register_autograd(_scatter_sum_backward, setup_context=_save)


def sampled_product(
    a: Tensor,
    b: Tensor,
    index: Tensor,
    backend: Optional[str] = None,
) -> Tensor:
    r"""Dot products of row ``i`` of ``a`` with the rows ``index[i]`` of ``b``.

    Args:
        a: ``[B, D]``.
        b: ``[m, D]``.
        index: Rows of ``b``, ``[B, N]``, in ``[0, m)``; may repeat.
        backend: See :func:`pyg_advcf.ops.backend.choose`.

    Returns:
        ``[B, N]``.

    Raises:
        ValueError: If the tables and ids do not fit each other, an index is out of range (checked
            on CPU), or ``backend`` is unknown or not available.
    """
    check_table('a', a)
    check_table('b', b)
    index = check_id_type('index', check_integers('index', index, ('B', 'N')), 2, b.device)
    if a.size(1) != b.size(1) or a.size(0) != index.size(0):
        raise ValueError(f"'a', 'b' and 'index' have shapes {list(a.shape)}, {list(b.shape)} and "
                         f"{list(index.shape)}, but need to be [B, D], [m, D] and [B, N]")
    check_alike(a=a, b=b)
    # The operation checks the ids.
    return _sampled_product(a.contiguous(), b.contiguous(), index.contiguous(),
                            choose('sampled_scores', a, backend))


def sampled_scores(
    user_emb: Tensor,
    item_emb: Tensor,
    user: Tensor,
    item: Tensor,
    neg_item: Tensor,
    kind: str = 'dot',
    temperature: float = 1.0,
    backend: Optional[str] = None,
) -> tuple[Tensor, Tensor]:
    r"""Scores of the positive and the negative pairs of a batch.

    :math:`s_{ui} = z_u \cdot z_i / \tau` (``kind='dot'``) or :math:`\cos(z_u, z_i) / \tau`
    (``kind='cosine'``).

    Args:
        user_emb: ``[n, D]``.
        item_emb: ``[m, D]``.
        user: ``[B]``.
        item: ``[B]``.
        neg_item: ``[B, N]``, or ``[N]`` if all rows share their negatives.
        kind: ``'dot'`` or ``'cosine'``.
        temperature: :math:`\tau > 0`.
        backend: See :func:`pyg_advcf.ops.backend.choose`.

    Returns:
        ``pos`` ``[B]`` and ``neg`` ``[B, N]``.

    Raises:
        ValueError: If the tables and ids do not fit each other, an id is out of range (checked on
            CPU), ``kind`` or ``backend`` is unknown, or ``temperature`` is not above 0.

    Example:
        >>> z = torch.eye(2)
        >>> sampled_scores(z, z, torch.tensor([0]), torch.tensor([0]), torch.tensor([[1, 0]]))
        (tensor([1.]), tensor([[0., 1.]]))
    """
    check_name('kind', kind, ('dot', 'cosine'))
    check_positive('temperature', temperature)
    check_table('user_emb', user_emb)
    check_table('item_emb', item_emb)
    check_alike(user_emb=user_emb, item_emb=item_emb)
    check_width(user_emb=user_emb, item_emb=item_emb)
    user, item, neg_item = (check_integers(name, ids) for name, ids in (
        ('user', user), ('item', item), ('neg_item', neg_item)))
    shared = neg_item.dim() == 1
    user = check_ids('user', user, user_emb.size(0), device=user_emb.device)
    item = check_ids('item', item, item_emb.size(0), device=user_emb.device)
    neg_item = check_ids('neg_item', neg_item, item_emb.size(0), 1 if shared else 2,
                         user_emb.device)
    if item.shape != user.shape or not shared and neg_item.size(0) != user.size(0):
        raise ValueError(f"'user', 'item' and 'neg_item' have shapes {list(user.shape)}, "
                         f"{list(item.shape)} and {list(neg_item.shape)}, but need to be [B], [B] "
                         f"and [B, N], or [N] if all rows share their negatives")
    choose('sampled_scores', user_emb, backend)
    u = F.embedding(user, user_emb)
    if kind == 'cosine':
        u, item_emb = normalize(u, backend), normalize(item_emb, backend)
    if temperature != 1.0:
        u = u / temperature
    if shared:
        pos = (u * F.embedding(item, item_emb)).sum(-1)
        return pos, u @ F.embedding(neg_item, item_emb).t()
    index = known_range(torch.cat([item.unsqueeze(1), neg_item], dim=1), item, neg_item)
    scores = sampled_product(u, item_emb, index, backend)
    return scores[:, 0], scores[:, 1:]


def sampled_scores_reference(
    user_emb: Tensor,
    item_emb: Tensor,
    user: Tensor,
    item: Tensor,
    neg_item: Tensor,
    kind: str = 'dot',
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor]:
    r"""The oracle of :func:`sampled_scores`: gather, normalise, multiply."""
    u, i = user_emb[user], item_emb[item]
    j = item_emb[neg_item.expand(user.numel(), neg_item.size(-1))]
    if kind == 'cosine':
        u, i, j = (F.normalize(t, dim=-1) for t in (u, i, j))
    return (u * i).sum(-1) / temperature, (u.unsqueeze(1) * j).sum(-1) / temperature
