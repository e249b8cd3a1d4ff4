r"""InfoNCE: against sampled, in-batch, or all items."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_advcf._checks import (
    check_bool,
    check_count,
    check_degrees,
    check_finite,
    check_floats,
    check_ids,
    check_integers,
    check_mask,
    check_name,
    check_positive,
    reads_values,
    shown,
)
from pyg_advcf.batch import Batch
from pyg_advcf.criteria.advinfonce import log_hardness
from pyg_advcf.criteria.criterion import REDUCTIONS, Criterion, check_scores, finite, reduce
from pyg_advcf.criteria.hardness import PopularityHardness
from pyg_advcf.embeddings import Embeddings, check_embeddings
from pyg_advcf.nn.similarity import Cosine, Similarity
from pyg_advcf.ops.cross_entropy import chunked_cross_entropy
from pyg_advcf.record import Recorded
from pyg_advcf.registry import CRITERIA


def infonce(pos: Tensor, neg: Tensor, reduction: str = 'mean') -> Tensor:
    r"""InfoNCE over given negatives; see :class:`InfoNCE`."""
    pos, neg = check_scores(pos, neg)
    return reduce(F.softplus(torch.logsumexp(finite(neg), dim=1) - pos), reduction)


@CRITERIA.register('infonce')
class InfoNCE(Criterion):
    r"""InfoNCE, also known as sampled softmax, `arXiv 1807.03748 <https://arxiv.org/abs/1807.03748>`_.

    .. math::
        L = \frac{1}{B} \sum_b -\log \frac{e^{s^+_b}}{e^{s^+_b} + \sum_j e^{s^-_{bj}}}

    The temperature is part of the scores: :class:`~pyg_advcf.nn.Cosine`. With the in-batch
    negatives of :class:`~pyg_advcf.loader.InteractionLoader` this is in-batch InfoNCE with known
    positives left out.

    In-batch negatives are drawn by popularity :math:`q`. With ``log_q`` :math:`= a` the scores of
    negatives become :math:`s_{bj} - a \log q_j`, up to a constant of each row that keeps the mean
    of the factors :math:`q_j^{-a}` at 1: with 1 they weigh as if they had been drawn uniformly.

    Args:
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``.
        log_q: :math:`a`, the exponent of the correction; 0 for none.
        popularity: Training degree of the items, ``[num_items]``, for the correction.

    Shapes:
        ``pos [B]``, ``neg [B, N]`` to a scalar (``[B]`` without reduction).

    Raises:
        ValueError: If ``reduction`` is unknown, the shapes do not fit, ``log_q`` is not finite, or
            ``popularity`` is missing.

    Example:
        >>> InfoNCE()(torch.zeros(4), torch.zeros(4, 3))  # ln 4
        tensor(1.3863)
    """
    def __init__(self, reduction: str = 'mean', log_q: float = 0.,
                 popularity: Optional[Tensor] = None) -> None:
        super().__init__(reduction)
        self.log_q = check_finite('log_q', log_q)
        if popularity is not None:
            check_degrees('popularity', popularity)
        self.correction: Optional[PopularityHardness] = None
        if self.log_q != 0.:
            if popularity is None:
                raise ValueError(f"'log_q' is {log_q}, which needs 'popularity', the training "
                                 f"degree of all items: pyg_advcf.degrees(data)[1]")
            self.correction = PopularityHardness(popularity, -self.log_q)
            self.needs_batch = 'the popularity of its negatives'
            self.num_items = popularity.numel()

    def default_similarity(self) -> Similarity:
        return Cosine(0.1)

    def row_losses(self, pos: Tensor, neg: Tensor, batch: Optional[Batch]) -> Tensor:
        if self.correction is not None:
            neg = neg + log_hardness(self.correction(batch), batch.neg_mask)
        return infonce(pos, neg, 'none')

    def extra_repr(self) -> str:
        own = '' if self.log_q == 0. else f'log_q={self.log_q:g}'
        return ', '.join(filter(None, (super().extra_repr(), own)))


class InBatchInfoNCE(Recorded, nn.Module):
    r"""InfoNCE on embeddings, with the other positives of the batch as negatives.

    :math:`S = \hat{A} \hat{B}^T / \tau` is classified with the diagonal as target.

    Args:
        temperature: :math:`\tau > 0`.
        symmetric: Whether to average with the loss of the transposed scores.
        chunk_size: Rows scored at once, so that memory is ``chunk_size * B``; the backward pass
            scores them again if there are several chunks.
        reduction: ``'mean'`` over the rows, ``'sum'`` or ``'none'``.

    Raises:
        ValueError: If ``temperature`` is not above 0, ``chunk_size`` below 1 or ``reduction``
            unknown.

    Example:
        >>> a = torch.ones(4, 8)
        >>> InBatchInfoNCE(temperature=0.1)(a, a)  # ln 4
        tensor(1.3863)
    """
    def __init__(
        self,
        temperature: float = 0.1,
        symmetric: bool = False,
        chunk_size: int = 2048,
        reduction: str = 'mean',
    ) -> None:
        super().__init__()
        self.reduction = check_name('reduction', reduction, REDUCTIONS)
        self.temperature = check_positive('temperature', temperature)
        self.symmetric = check_bool('symmetric', symmetric)
        self.chunk_size = check_count('chunk_size', chunk_size)

    def forward(
        self,
        a: Tensor,
        b: Tensor,
        mask: Optional[Tensor] = None,
        log_q: Optional[Tensor] = None,
    ) -> Tensor:
        r"""Computes the loss.

        Args:
            a: Anchors, ``[B, D]``.
            b: Their positives, ``[B, D]``.
            mask: ``[B, B]``, ``False`` where an entry must not count: known positives of the row.
                The diagonal always counts. As :attr:`pyg_advcf.Batch.neg_mask`.
            log_q: Log-probability of each column's item under in-batch sampling, ``[B]``; it is
                subtracted from the scores (diagonal included).
        """
        check_floats('a', a)
        check_floats('b', b)
        if mask is not None:
            check_mask('mask', mask, (len(a), len(a)))
        if log_q is not None:
            check_floats('log_q', log_q, (len(a), ))
        if a.shape != b.shape or a.dim() != 2 or a.size(0) == 0:
            raise ValueError(f"'a' and 'b' have shapes {list(a.shape)} and {list(b.shape)}, but "
                             f"need to be the same [B, D], of at least one row")
        a = F.normalize(a.float() if a.dtype in (torch.float16, torch.bfloat16) else a, dim=-1)
        b = F.normalize(b.to(a.dtype), dim=-1)
        a = a / self.temperature
        target = torch.arange(a.size(0), device=a.device)
        bias = None if log_q is None else -log_q.to(a.dtype)
        loss = chunked_cross_entropy(
            a, b, target, self.chunk_size, bias,
            None if mask is None else lambda start, stop: ~mask[start:stop])
        if self.symmetric:
            # There log_q is constant in a row, and a softmax does not see it.
            back = chunked_cross_entropy(
                b, a, target, self.chunk_size, None,
                None if mask is None else lambda start, stop: ~mask[:, start:stop].t())
            loss = (loss + back) / 2
        return reduce(loss, self.reduction)

    def extra_repr(self) -> str:
        return (f'temperature={self.temperature}, symmetric={self.symmetric}, '
                f'chunk_size={self.chunk_size}')


def _check_masked(masked: tuple[Tensor, Tensor], rows: int, items: int) -> tuple[Tensor, Tensor]:
    if not isinstance(masked, (tuple, list)) or len(masked) != 2:
        raise ValueError(f"'masked' is {shown(masked)}, but needs to be the two tensors "
                         f"(row, item), as PairSet.of_users returns them")
    row = check_integers('masked[0]', masked[0], ('P', ))
    item = check_integers('masked[1]', masked[1], (row.size(0), ))
    if reads_values(row):
        check_ids('masked[0]', row, rows)
        check_ids('masked[1]', item, items)
    return row, item


class FullInfoNCE(Recorded, nn.Module):
    r"""InfoNCE against the whole catalogue, in chunks: memory is ``chunk_size * num_items``.

    .. math::
        L = \frac{1}{B} \sum_b -\log \frac{e^{s_{ui}}}{\sum_{j=1}^m e^{s_{uj}}}, \qquad
        s_{uj} = \cos(z_u, z_j) / \tau

    Args:
        temperature: :math:`\tau > 0`.
        chunk_size: Rows of the batch scored at once; the backward pass scores them again if there
            are several chunks.
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``.

    Raises:
        ValueError: If ``temperature`` is not above 0, ``chunk_size`` below 1 or ``reduction``
            unknown.

    Example:
        >>> z = Embeddings(torch.ones(2, 8), torch.ones(4, 8))
        >>> FullInfoNCE(0.1)(z, torch.tensor([0, 1]), torch.tensor([2, 3]))  # ln 4
        tensor(1.3863)
    """
    def __init__(
        self,
        temperature: float = 0.1,
        chunk_size: int = 256,
        reduction: str = 'mean',
    ) -> None:
        super().__init__()
        self.reduction = check_name('reduction', reduction, REDUCTIONS)
        self.temperature = check_positive('temperature', temperature)
        self.chunk_size = check_count('chunk_size', chunk_size)

    def forward(
        self,
        z: Embeddings,
        user: Tensor,
        item: Tensor,
        masked: Optional[tuple[Tensor, Tensor]] = None,
    ) -> Tensor:
        r"""Computes the loss.

        Args:
            z: Embeddings of all users and items.
            user: ``[B]``.
            item: ``[B]``.
            masked: ``(row, item)`` pairs that must not count, for example the other training
                items of each row's user: :meth:`pyg_advcf.pairs.PairSet.of_users`. A row's own
                positive always counts.
        """
        check_embeddings('z', z).check_complete('z')
        user = check_integers('user', user, ('B', ))
        item = check_integers('item', item, (user.size(0), ))
        if user.size(0) == 0:
            raise ValueError("'user' is empty, and the mean over no positives is not a number; "
                             "skip empty batches")
        if reads_values(user):
            check_ids('user', user, z.user.size(0))
            check_ids('item', item, z.item.size(0))
        if masked is not None:
            masked = _check_masked(masked, user.size(0), z.item.size(0))
        u = F.normalize(F.embedding(user, z.user), dim=-1) / self.temperature
        items = F.normalize(z.item, dim=-1)

        def excluded(start: int, stop: int) -> tuple[Tensor, Tensor]:
            inside = (masked[0] >= start) & (masked[0] < stop)
            return masked[0][inside] - start, masked[1][inside]

        loss = chunked_cross_entropy(u, items, item, self.chunk_size, None,
                                     None if masked is None else excluded)
        return reduce(loss, self.reduction)

    def extra_repr(self) -> str:
        return f'temperature={self.temperature}, chunk_size={self.chunk_size}'
