r"""Bayesian personalised ranking."""
from typing import Optional

import torch.nn.functional as F
from torch import Tensor

from pyg_advcf.batch import Batch
from pyg_advcf.criteria.criterion import Criterion, check_scores, reduce
from pyg_advcf.registry import CRITERIA


def bpr(pos: Tensor, neg: Tensor, reduction: str = 'mean') -> Tensor:
    r"""BPR loss; see :class:`BPR`."""
    pos, neg = check_scores(pos, neg)
    loss = F.softplus(neg - pos.unsqueeze(1))
    if neg.size(1) == 1:
        return reduce(loss.squeeze(1), reduction)
    counted = ~neg.isneginf()
    return reduce(loss.sum(1) / counted.sum(1).clamp(min=1), reduction)


@CRITERIA.register('bpr')
class BPR(Criterion):
    r"""Bayesian personalised ranking, `arXiv 1205.2618 <https://arxiv.org/abs/1205.2618>`_.

    .. math::
        L = \frac{1}{B} \sum_b \frac{1}{N} \sum_j \mathrm{softplus}(s^-_{bj} - s^+_b)

    One negative per positive (:math:`N = 1`) is the published loss. Excluded negatives
    (:math:`-\infty`) do not count in :math:`N`.

    Args:
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``.

    Shapes:
        ``pos [B]``, ``neg [B, N]`` to a scalar (``[B]`` without reduction).

    Raises:
        ValueError: If ``reduction`` is unknown or the shapes do not fit.

    Example:
        >>> import torch
        >>> BPR()(torch.zeros(4), torch.zeros(4, 1))  # ln 2
        tensor(0.6931)
    """
    negatives = 'one'

    def row_losses(self, pos: Tensor, neg: Tensor, batch: Optional[Batch]) -> Tensor:
        return bpr(pos, neg, 'none')
