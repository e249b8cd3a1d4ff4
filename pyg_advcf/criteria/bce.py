r"""Binary cross entropy on positive and sampled negative pairs."""
from typing import Optional

import torch.nn.functional as F
from torch import Tensor

from pyg_advcf._checks import check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.criteria.criterion import Criterion, check_scores, reduce
from pyg_advcf.registry import CRITERIA


def bce(pos: Tensor, neg: Tensor, neg_weight: float = 1.0, reduction: str = 'mean') -> Tensor:
    r"""Binary cross entropy; see :class:`BCE`."""
    pos, neg = check_scores(pos, neg)
    check_positive('neg_weight', neg_weight, zero=True)
    counted = (~neg.isneginf()).sum(1).clamp(min=1)
    return reduce(F.softplus(-pos) + neg_weight * F.softplus(neg).sum(1) / counted, reduction)


@CRITERIA.register('bce')
class BCE(Criterion):
    r"""Pointwise classification of pairs into observed and sampled.

    .. math::
        L = \frac{1}{B} \sum_b \Big[ \mathrm{softplus}(-s^+_b)
            + \frac{c}{N} \sum_j \mathrm{softplus}(s^-_{bj}) \Big]

    Args:
        neg_weight: :math:`c \geq 0`; :math:`c = N` weights the negatives as a sum.
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``.

    Shapes:
        ``pos [B]``, ``neg [B, N]`` to a scalar (``[B]`` without reduction).

    Raises:
        ValueError: If ``neg_weight`` is negative, ``reduction`` unknown, or the shapes do not fit.

    Example:
        >>> import torch
        >>> BCE()(torch.zeros(4), torch.zeros(4, 3))  # 2 ln 2
        tensor(1.3863)
    """
    negatives = 'one'

    def __init__(self, neg_weight: float = 1.0, reduction: str = 'mean') -> None:
        super().__init__(reduction)
        self.neg_weight = check_positive('neg_weight', neg_weight, zero=True)

    def row_losses(self, pos: Tensor, neg: Tensor, batch: Optional[Batch]) -> Tensor:
        return bce(pos, neg, self.neg_weight, 'none')
