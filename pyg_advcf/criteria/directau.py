r"""DirectAU: alignment and uniformity of normalised embeddings as the loss."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pyg_advcf._checks import check_bool, check_count, check_floats, check_numbers, check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.criteria.criterion import EmbeddingCriterion
from pyg_advcf.criteria.grouping import first_occurrence
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.nn.similarity import Cosine, Similarity


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x.float() if x.dtype in (torch.float16, torch.bfloat16) else x, dim=-1)


def alignment(user: Tensor, item: Tensor) -> Tensor:
    r"""Mean squared distance of normalised pairs, :math:`\|\hat z_u - \hat z_i\|^2`.

    Args:
        user: ``[B, D]``.
        item: ``[B, D]``, the row's own item.

    Example:
        >>> alignment(torch.tensor([[1., 0.]]), torch.tensor([[0., 5.]]))
        tensor(2.)
    """
    check_floats('user', user, ('B', 'D'))
    check_floats('item', item, tuple(user.shape))
    return (_unit(user) - _unit(item)).square().sum(-1).mean()


def uniformity(x: Tensor, count: Optional[Tensor] = None, chunk_size: int = 2048) -> Tensor:
    r"""Log of the mean Gaussian potential between normalised rows; 0 if all are alike.

    .. math::
        \log \frac{2}{n (n - 1)} \sum_{a < b} e^{-2 \|\hat x_a - \hat x_b\|^2}

    Args:
        x: ``[n, D]``, of which ``n = 1`` has no pair and so the value 0.
        count: How often each row occurs, ``[n]``, for rows that repeat; copies of one row are pairs
            at distance 0.
        chunk_size: Rows compared at once with all others, so that memory is ``chunk_size * n``; the
            backward pass compares them again if there are several chunks.

    Example:
        >>> uniformity(torch.eye(2))  # -2 * 2
        tensor(-4.0000)
    """
    check_floats('x', x, ('n', 'D'))
    check_count('chunk_size', chunk_size)
    if count is not None:
        check_numbers('count', count, (x.size(0), ))
    x = _unit(x)
    weight = x.new_ones(x.size(0)) if count is None else count.to(x.dtype)

    def chunk(rows: Tensor, start: int) -> Tensor:
        # -2 * (2 - 2 cos): at most 0, so nothing overflows.
        potential = torch.addmm(x.new_full((1, ), -4.), rows, x.t(), alpha=4).exp()
        own = weight[start:start + rows.size(0)]
        # Of the copies of one row, all pairs but each copy with itself.
        return own @ (potential @ weight) - (own * potential.diagonal(start)).sum()

    starts = range(0, x.size(0), chunk_size)
    parts = [chunk(x[s:s + chunk_size], s) if len(starts) == 1 else
             checkpoint(chunk, x[s:s + chunk_size], s, use_reentrant=False) for s in starts]
    pairs = weight.sum() * (weight.sum() - 1)
    alone = pairs <= 0
    return (sum(parts).masked_fill(alone, 1.) / pairs.masked_fill(alone, 1.)).log()


class DirectAU(EmbeddingCriterion):
    r"""Alignment and uniformity as a loss, `arXiv 2206.12811 <https://arxiv.org/abs/2206.12811>`_.

    .. math::
        L = \frac{1}{B} \sum_b \|\hat z_{u_b} - \hat z_{i_b}\|^2
            + \gamma\, \tfrac{1}{2} \left(\ell(\hat Z_{U_B}) + \ell(\hat Z_{I_B})\right), \qquad
        \ell(X) = \log \frac{2}{B (B - 1)} \sum_{a < b} e^{-2 \|x_a - x_b\|^2}

    on normalised embeddings. It does not use negatives.

    Args:
        gamma: :math:`\gamma \geq 0`; 0.2 to 10 are published.
        unique: Whether a user or item that the batch repeats counts once in :math:`\ell`; the
            published loss counts it as often as it occurs.
        chunk_size: Rows compared at once.

    Shapes:
        :class:`~pyg_advcf.Embeddings` and a :class:`~pyg_advcf.Batch` to a scalar.

    Raises:
        ValueError: If ``gamma`` is negative or ``chunk_size`` below 1.

    Example:
        >>> z = Embeddings(torch.eye(2), torch.eye(2))
        >>> batch = Batch(*(torch.tensor(t) for t in ([0, 1], [0, 1], [[1], [0]], [0, 1])))
        >>> DirectAU(gamma=0.5)(z, batch)  # 0 + 0.5 * (-4 - 4) / 2
        tensor(-2.0000)
    """
    def __init__(self, gamma: float = 1.0, unique: bool = False, chunk_size: int = 2048) -> None:
        super().__init__()
        self.gamma = check_positive('gamma', gamma, zero=True)
        self.unique = check_bool('unique', unique)
        self.chunk_size = check_count('chunk_size', chunk_size)

    def default_similarity(self) -> Similarity:
        return Cosine(1.)

    def embedding_loss(self, z: Embeddings, batch: Batch) -> Tensor:
        u, i = z.users(batch.user), z.items(batch.item)
        loss = alignment(u, i)
        if self.gamma == 0.:
            return loss
        sides = (self._uniformity(x, ids) for x, ids in ((u, batch.user), (i, batch.item)))
        return loss + self.gamma / 2 * sum(sides)

    def _uniformity(self, x: Tensor, ids: Tensor) -> Tensor:
        count = None
        if self.unique:
            first = first_occurrence(ids)
            count = (first == torch.arange(ids.numel(), device=ids.device)).to(x.dtype)
        return uniformity(x, count, self.chunk_size)

    def extra_repr(self) -> str:
        return f'gamma={self.gamma}, unique={self.unique}'
