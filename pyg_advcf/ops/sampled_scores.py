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

from pyg_advcf._checks import check_ids, check_name, check_positive
from pyg_advcf.ops.backend import choose
from pyg_advcf.ops.normalize import normalize
from pyg_advcf.ops.segments import regular, sddmm, segment_sum, transposed


@torch.library.custom_op('pyg_advcf::sampled_product', mutates_args=())
def _sampled_product(a: Tensor, b: Tensor, index: Tensor, backend: str) -> Tensor:
    if backend != 'torch' and index.size(1) >= b.size(0) and index.numel() > 0:
        # More negatives than items: all scores are fewer.
        return (a @ b.t()).gather(1, index)
    return sddmm(a, b, regular(index), index.reshape(-1), backend).view(index.shape)


@torch.library.custom_op('pyg_advcf::gather_sum', mutates_args=())
def _gather_sum(w: Tensor, b: Tensor, index: Tensor, backend: str) -> Tensor:
    return segment_sum(b, regular(index), index.reshape(-1), w.reshape(-1), backend)


@torch.library.custom_op('pyg_advcf::scatter_sum', mutates_args=())
def _scatter_sum(w: Tensor, a: Tensor, index: Tensor, size: int, backend: str) -> Tensor:
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
        ValueError: If the shapes do not fit, or an index is out of range (checked on CPU).
    """
    if a.dim() != 2 or b.dim() != 2 or index.dim() != 2 or a.size(1) != b.size(1) or (
            a.size(0) != index.size(0)):
        raise ValueError(f"'a', 'b' and 'index' have shapes {list(a.shape)}, {list(b.shape)} and "
                         f"{list(index.shape)}, but need to be [B, D], [m, D] and [B, N]")
    if a.dtype != b.dtype:
        raise ValueError(f"'a' is {a.dtype} and 'b' is {b.dtype}, but they need to be alike")
    if index.device.type == 'cpu' and not torch.compiler.is_compiling():
        # The kernels below read wherever the ids point to.
        check_ids('index', index, b.size(0))
    return _sampled_product(a.contiguous(), b.contiguous(), index.long().contiguous(),
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

    Example:
        >>> z = torch.eye(2)
        >>> sampled_scores(z, z, torch.tensor([0]), torch.tensor([0]), torch.tensor([[1, 0]]))
        (tensor([1.]), tensor([[0., 1.]]))
    """
    check_name('kind', kind, ('dot', 'cosine'))
    check_positive('temperature', temperature)
    u = F.embedding(user, user_emb)
    if kind == 'cosine':
        u, item_emb = normalize(u, backend), normalize(item_emb, backend)
    if temperature != 1.0:
        u = u / temperature
    if neg_item.dim() == 1:
        pos = (u * F.embedding(item, item_emb)).sum(-1)
        return pos, u @ F.embedding(neg_item, item_emb).t()
    scores = sampled_product(u, item_emb, torch.cat([item.unsqueeze(1), neg_item], dim=1),
                             backend)
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
