r"""BIR: in-batch negatives, resampled for every user."""
from typing import Optional

import torch
from torch import Tensor

from pyg_advcf._checks import check_count, check_degrees, check_floats
from pyg_advcf.batch import Batch
from pyg_advcf.criteria.criterion import Criterion, check_scores, finite
from pyg_advcf.criteria.infonce import infonce
from pyg_advcf.ops import draw
from pyg_advcf.registry import CRITERIA


@torch.no_grad()
def resample(neg: Tensor, log_q: Tensor, num_draws: int) -> Tensor:
    r"""Columns drawn with replacement from :math:`\mathrm{softmax}(s - \log q)` of each row.

    In ascending order, which does not change a sum over the draws.

    Args:
        neg: Scores, ``[B, N]``; excluded ones are drawn only where a row has no others.
        log_q: Log-probability, up to a constant, with which the columns were sampled, ``[N]`` or
            ``[B, N]``.
        num_draws: Draws per row.

    Returns:
        ``[B, num_draws]``.
    """
    check_floats('neg', neg, ('B', 'N'))
    check_floats('log_q', log_q, tuple(neg.shape[1:] if log_q.dim() == 1 else neg.shape)
                 if isinstance(log_q, Tensor) else None)
    check_count('num_draws', num_draws)
    neg = neg.float() if neg.dtype in (torch.float16, torch.bfloat16) else neg
    return draw(finite(neg - log_q).softmax(1), num_draws)


def bir(
    pos: Tensor,
    neg: Tensor,
    log_q: Tensor,
    num_draws: Optional[int] = None,
    reduction: str = 'mean',
) -> Tensor:
    r"""InfoNCE on resampled negatives; see :class:`BIR` and :func:`resample`."""
    pos, neg = check_scores(pos, neg)
    index = resample(neg, log_q, neg.size(1) if num_draws is None else num_draws)
    return infonce(pos, neg.gather(1, index), reduction)


@CRITERIA.register('bir')
class BIR(Criterion):
    r"""BIR, in-batch negatives resampled by score, `arXiv 2205.14859
    <https://arxiv.org/abs/2205.14859>`_.

    The items of a batch are sampled by popularity :math:`q`. As many negatives as a row has are
    resampled from them, with replacement, by

    .. math::
        P_b(j) \propto e^{s_{bj} - \log q_j}

    so that they approximate a sample from the softmax over the catalogue, and go into InfoNCE. No
    gradient passes through the sampling. Use it with the shared negatives of
    ``InteractionLoader(negatives='in_batch')``, which are masked where they are known positives.

    Args:
        popularity: Training degree of every item, ``[num_items]``; below 1 it counts as 1.
        num_draws: Draws per row; by default as many as there are negatives.
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``.

    Shapes:
        ``pos [B]``, ``neg [B, N]`` and a :class:`~pyg_advcf.Batch` to a scalar (``[B]`` without
        reduction).

    Raises:
        ValueError: If ``num_draws`` is below 1, ``reduction`` unknown, the shapes do not fit, or
            ``batch`` is missing.

    Example:
        >>> criterion = BIR(popularity=torch.tensor([2, 1, 1]))
        >>> batch = Batch(*(torch.tensor(t) for t in ([0, 1], [0, 1], [[1, 2], [2, 0]], [0, 1])))
        >>> criterion(torch.zeros(2), torch.zeros(2, 2), batch)  # Whatever is drawn: ln 3
        tensor(1.0986)
    """
    needs_batch = 'the negative items, whose popularity is divided out'
    negatives = 'none'

    def __init__(
        self,
        popularity: Tensor,
        num_draws: Optional[int] = None,
        reduction: str = 'mean',
    ) -> None:
        super().__init__(reduction)
        self.num_draws = None if num_draws is None else check_count('num_draws', num_draws)
        check_degrees('popularity', popularity)
        self.num_items = popularity.numel()
        self.register_buffer('log_q', popularity.clamp(min=1).float().log())

    def pool(self, batch: Batch) -> Tensor:
        r"""The positive items of the batch, ``[B]``."""
        return batch.item

    def row_losses(self, pos: Tensor, neg: Tensor, batch: Optional[Batch]) -> Tensor:
        return bir(pos, neg, self.log_q[batch.neg_item], self.num_draws, 'none')
