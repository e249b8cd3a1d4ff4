r"""Weighted sums of the layers of LightGCN, noisy or not, as one operation."""
import math
from collections.abc import Sequence
from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric import EdgeIndex

from pyg_advcf._checks import check_positive
from pyg_advcf.ops.backend import choose, kernels
from pyg_advcf.ops.spmm import _spmm, check_tables, check_wanted, expand, inv_sqrt
from pyg_advcf.ops.structure import structure

Pair = tuple[Tensor, Tensor]
Rows = tuple[Optional[Tensor], Optional[Tensor]]
Patterns = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]


def _root(patterns: Patterns, dtype: torch.dtype) -> list[Tensor]:
    return [inv_sqrt(indptr.diff(), dtype).view(-1, 1) for indptr, _ in patterns]


def _layer(patterns: Patterns, root: list[Tensor], x: Sequence[Tensor], backend: str,
           rows: Rows = (None, None), source: Rows = (None, None)) -> list[Tensor]:
    r"""One propagation; ``rows`` are the rows wanted, ``source`` the only ones that ``x`` holds."""
    out = []
    for side in (0, 1):
        scale = root[1 - side] if source[1 - side] is None else root[1 - side][source[1 - side]]
        sums = _spmm(x[1 - side] * scale, *patterns[side], *patterns[1 - side],
                     rows[side], source[1 - side], backend)
        scale = root[side] if rows[side] is None else root[side][rows[side]]
        out.append(sums * scale if torch.is_grad_enabled() else sums.mul_(scale))
    return out


def uniform_like(x: Tensor) -> Tensor:
    r"""Draws from :math:`U(0, 1)`, as many as ``x`` has entries; on CPU in steps of 2**-15.

    There a generator draws one number after the other, and that takes longer than all else that
    noise needs. A draw of 64 bits makes four of these.
    """
    if x.device.type != 'cpu' or torch.compiler.is_compiling():
        return torch.rand_like(x)
    return _bits(x).bitwise_and_(2**15 - 1).to(x.dtype).add_(0.5).mul_(2**-15)


def _bits(x: Tensor) -> Tensor:
    r"""15 random bits for every entry of ``x``, under a highest one that means nothing."""
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_()
    return bits.view(torch.int16)[:x.numel()].view(x.shape)


def _perturb(x: Tensor, noise: float, backend: str) -> None:
    r"""Adds noise of that length to every row, in place; the same with every backend."""
    if backend == 'numba' and not torch.compiler.is_compiling():
        kernels(backend).perturb(x, _bits(x), noise)
        return
    r = uniform_like(x)
    length = torch.linalg.vector_norm(r, dim=1, keepdim=True)
    x.addcmul_(x.sign(), r.mul_(noise / length.clamp_(min=1e-12)))


class _Layers(torch.autograd.Function):
    @staticmethod
    def forward(ctx, user, item, rowptr, col, colptr, row, user_rows, item_rows, weights, noise,
                backend):
        # Saved, so that a graph that is changed before the backward pass is noticed.
        ctx.save_for_backward(rowptr, col, colptr, row, user_rows, item_rows)
        ctx.weights, ctx.backend = weights, backend
        ctx.set_materialize_grads(False)
        patterns, rows = ((rowptr, col), (colptr, row)), (user_rows, item_rows)
        last = len(weights[0]) - 1
        root = _root(patterns, user.dtype)
        h, sums = [user, item], [None] * (2 * len(weights))
        for layer in range(last + 1):
            pruned = layer > 0 and layer == last
            if layer > 0:
                h = _layer(patterns, root, h, backend, rows if pruned else (None, None))
                if noise > 0:
                    for t in h:
                        _perturb(t, noise, backend)
            for side, ids in enumerate(rows):
                seen = None
                for k, weight in enumerate(weights):
                    if weight[layer] == 0:
                        continue
                    if seen is None:
                        seen = h[side] if pruned or ids is None else F.embedding(ids, h[side])
                    place = 2 * k + side
                    sums[place] = (seen * weight[layer] if sums[place] is None
                                   else sums[place].add_(seen, alpha=weight[layer]))
        return tuple(sums)

    @staticmethod
    def backward(ctx, *grads):
        rowptr, col, colptr, row, *rows = ctx.saved_tensors
        patterns, sizes = ((rowptr, col), (colptr, row)), (rowptr.numel() - 1, colptr.numel() - 1)
        root = t = None
        for layer in reversed(range(len(ctx.weights[0]))):
            own = []
            for side in (0, 1):
                terms = [g * weight[layer] for g, weight in zip(grads[side::2], ctx.weights)
                         if g is not None and weight[layer] != 0]
                own.append(sum(terms) if terms else None)
            if t is None:
                if own == [None, None]:
                    continue
                # As compact as the gradient is: only the wanted rows have one.
                t, source = _filled(own, rows, sizes), rows
                continue
            root = _root(patterns, t[0].dtype) if root is None else root
            t = _layer(patterns, root, t, ctx.backend, source=source)
            source = (None, None)
            t = [s if g is None else s + g if ids is None else s.index_add(0, ids, g)
                 for s, g, ids in zip(t, own, rows)]
        if t is not None:
            t = [expand(s, ids, n) for s, ids, n in zip(t, source, sizes)]
        return *(t or (None, None)), *(None for _ in range(9))


def _filled(pair: list[Optional[Tensor]], rows: Rows, sizes: tuple[int, int]) -> list[Tensor]:
    r"""Zeros for the side that has no gradient."""
    like = pair[0] if pair[1] is None else pair[1]
    return [like.new_zeros(n if ids is None else ids.numel(), like.size(1)) if t is None else t
            for t, ids, n in zip(pair, rows, sizes)]


def _check_weights(weights: Any) -> list[list[float]]:
    try:
        rows = [[float(w) for w in row] for row in weights]
    except (TypeError, ValueError):
        rows = []
    if not rows or len({len(row) for row in rows}) != 1 or not all(map(any, rows)) or not all(
            math.isfinite(w) for row in rows for w in row):
        raise ValueError(f"'weights' is {weights!r}, but needs rows of one length L + 1, of finite "
                         f"numbers, none of zeros alone")
    return rows


def layer_sums(
    graph: EdgeIndex,
    user: Tensor,
    item: Tensor,
    weights: Sequence[Sequence[float]],
    noise: float = 0.,
    rows: Rows = (None, None),
    backend: Optional[str] = None,
) -> list[Pair]:
    r"""Sums :math:`\sum_l c_{kl} h^{(l)}` of the layers of LightGCN, for each row of ``weights``.

    .. math::
        h^{(0)} = x, \qquad h^{(l)} = \hat{A} h^{(l-1)} + \epsilon\, \mathrm{sign}(\hat{A}
        h^{(l-1)}) \odot r^{(l)} / \|r^{(l)}\|, \qquad r^{(l)} \sim U(0, 1)^D

    The noise is a constant for the gradient, which is therefore one propagation of the gradients of
    all sums together, by Horner's rule: no layer is kept for the backward pass. Of the last layer,
    and of its noise, only the wanted rows are computed. Differentiable any number of times.

    Args:
        graph: See :func:`~pyg_advcf.ops.spmm`.
        user: ``[n, D]``.
        item: ``[m, D]``.
        weights: :math:`c`, ``[K, L + 1]``, no row of it all 0.
        noise: :math:`\epsilon \geq 0`.
        rows: See :func:`~pyg_advcf.ops.propagate`.
        backend: See :func:`pyg_advcf.ops.backend.choose`.

    Returns:
        ``K`` pairs ``[n, D]``, ``[m, D]``, or the wanted rows of them.

    Raises:
        ValueError: If ``graph`` is none or holds ids beyond its size, the tables do not fit it or
            each other, ``weights`` has rows of different lengths or of zeros alone, ``noise`` is
            negative, an id in ``rows`` is out of range or repeats, or ``backend`` is unknown or not
            available.

    Example:
        >>> from pyg_advcf import as_graph
        >>> graph = as_graph(torch.tensor([[0, 0], [0, 1]]), 1, 2)
        >>> first, mean = layer_sums(graph, torch.ones(1, 1), torch.ones(2, 1),
        ...                          [[0., 1.], [0.5, 0.5]])
        >>> first[0], mean[0]  # 2 / sqrt(2), and its mean with 1
        (tensor([[1.4142]]), tensor([[1.2071]]))
    """
    check_positive('noise', noise, zero=True)
    forms = structure(graph)
    check_tables(forms, user, item)
    weights = _check_weights(weights)
    rows = check_wanted(rows, forms, user)
    flat = _Layers.apply(user.contiguous(), item.contiguous(), *forms.pattern(False),
                         *forms.pattern(True), *rows, weights, noise,
                         choose('spmm', user, backend))
    return list(zip(flat[::2], flat[1::2]))
