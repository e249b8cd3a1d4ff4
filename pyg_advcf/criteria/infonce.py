r"""InfoNCE: against sampled, in-batch, or all items."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pyg_advcf._checks import check_count, check_positive
from pyg_advcf.criteria.criterion import Criterion, check_scores, finite, reduce
from pyg_advcf.interactions import Batch, Embeddings
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

    Args:
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``.

    Shapes:
        ``pos [B]``, ``neg [B, N]`` to a scalar (``[B]`` without reduction).

    Raises:
        ValueError: If ``reduction`` is unknown or the shapes do not fit.

    Example:
        >>> InfoNCE()(torch.zeros(4), torch.zeros(4, 3))  # ln 4
        tensor(1.3863)
    """
    def forward(self, pos: Tensor, neg: Tensor, batch: Optional[Batch] = None) -> Tensor:
        return infonce(pos, neg, self.reduction)


class InBatchInfoNCE(Criterion):
    r"""InfoNCE where the other positives of the batch are the negatives, for a loop of one's own.

    :math:`S = \hat{A} \hat{B}^T / \tau` is classified with the diagonal as target.

    Args:
        temperature: :math:`\tau > 0`.
        symmetric: Whether to average with the loss of the transposed scores.
        reduction: ``'mean'`` over the rows, ``'sum'`` or ``'none'``.

    Raises:
        ValueError: If ``temperature`` is not above 0 or ``reduction`` unknown.

    Example:
        >>> a = torch.ones(4, 8)
        >>> InBatchInfoNCE(temperature=0.1)(a, a)  # ln 4
        tensor(1.3863)
    """
    def __init__(
        self,
        temperature: float = 0.1,
        symmetric: bool = False,
        reduction: str = 'mean',
    ) -> None:
        super().__init__(reduction)
        self.temperature = check_positive('temperature', temperature)
        self.symmetric = symmetric

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
        if a.shape != b.shape or a.dim() != 2:
            raise ValueError(f"'a' and 'b' have shapes {list(a.shape)} and {list(b.shape)}, but "
                             f"need to be the same [B, D]")
        a = F.normalize(a.float() if a.dtype in (torch.float16, torch.bfloat16) else a, dim=-1)
        b = F.normalize(b.to(a.dtype), dim=-1)
        scores = (a / self.temperature) @ b.t()
        if log_q is not None:
            scores = scores - log_q
        if mask is not None:
            keep = mask | torch.eye(a.size(0), dtype=torch.bool, device=a.device)
            scores = scores.masked_fill(~keep, float('-inf'))
        target = torch.arange(a.size(0), device=a.device)
        loss = F.cross_entropy(scores, target, reduction='none')
        if self.symmetric:
            loss = (loss + F.cross_entropy(scores.t(), target, reduction='none')) / 2
        return reduce(loss, self.reduction)

    def extra_repr(self) -> str:
        return f'temperature={self.temperature}, symmetric={self.symmetric}'


class FullInfoNCE(Criterion):
    r"""InfoNCE against the whole catalogue, in chunks: memory is ``chunk_size * num_items``.

    .. math::
        L = \frac{1}{B} \sum_b -\log \frac{e^{s_{ui}}}{\sum_{j=1}^m e^{s_{uj}}}, \qquad
        s_{uj} = \cos(z_u, z_j) / \tau

    Args:
        temperature: :math:`\tau > 0`.
        chunk_size: Rows of the batch scored at once; the backward pass scores them again.
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
        super().__init__(reduction)
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
                items of each row's user: :class:`pyg_advcf.nn.ranking.PairMask`. A row's own
                positive always counts.
        """
        u = F.normalize(F.embedding(user, z.user), dim=-1) / self.temperature
        items = F.normalize(z.item, dim=-1)
        losses = []
        for start in range(0, user.numel(), self.chunk_size):
            stop = min(start + self.chunk_size, user.numel())
            target, pairs = item[start:stop], None
            if masked is not None:
                inside = (masked[0] >= start) & (masked[0] < stop)
                row, column = masked[0][inside] - start, masked[1][inside]
                other = column != target[row]
                pairs = (row[other], column[other])
            losses.append(checkpoint(self._chunk, u[start:stop], items, target, pairs,
                                     use_reentrant=False))
        return reduce(torch.cat(losses) if losses else u.new_zeros(0), self.reduction)

    @staticmethod
    def _chunk(u: Tensor, items: Tensor, target: Tensor, pairs) -> Tensor:
        scores = u @ items.t()
        if pairs is not None:
            scores = scores.index_put(pairs, scores.new_tensor(float('-inf')))
        return F.cross_entropy(scores, target, reduction='none')

    def extra_repr(self) -> str:
        return f'temperature={self.temperature}, chunk_size={self.chunk_size}'
