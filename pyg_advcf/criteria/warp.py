r"""WARP: the hinge loss weighted by an estimate of the positive's rank."""
from typing import Optional

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_advcf._checks import check_count, check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.criteria.criterion import Criterion, check_scores, reduce
from pyg_advcf.registry import CRITERIA


def warp(
    pos: Tensor,
    neg: Tensor,
    num_items: int,
    margin: float = 1.0,
    reduction: str = 'mean',
) -> Tensor:
    r"""WARP loss; see :class:`WARP`."""
    pos, neg = check_scores(pos, neg)
    check_count('num_items', num_items)
    check_positive('margin', margin)
    violating = neg > (pos - margin).unsqueeze(1)
    first = violating.int().argmax(1, keepdim=True)
    # Excluded negatives were never drawn, so they take no place.
    place = (~neg.isneginf()).cumsum(1).gather(1, first).squeeze(1)
    rank = (num_items - 1) // place.clamp(min=1)
    # The harmonic numbers, in closed form.
    weight = torch.digamma(rank.to(pos.dtype) + 1) + np.euler_gamma
    loss = weight * F.relu(margin - pos + neg.gather(1, first).squeeze(1))
    return reduce(loss, reduction)


@CRITERIA.register('warp')
class WARP(Criterion):
    r"""WARP, a hinge loss weighted by the estimated rank of the positive.

    The negatives of a row are samples, in their order. The first one that violates the margin,
    :math:`s^-_{bj} > s^+_b - \mu`, is the only one that counts; the more draws it took, the
    better the positive is ranked already:

    .. math::
        L = \frac{1}{B} \sum_b \Phi(r_b) \max(0, \mu - s^+_b + s^-_{bj}), \qquad
        r_b = \left\lfloor \frac{m - 1}{q_b} \right\rfloor, \quad
        \Phi(r) = \sum_{k=1}^{r} \frac{1}{k}

    where :math:`q_b` is the 1-based place of that draw. A row without a violation adds 0. From
    "WSABIE: Scaling Up to Large Vocabulary Image Annotation" (IJCAI 2011).

    Args:
        num_items: Size :math:`m` of the catalogue.
        margin: :math:`\mu > 0`.
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``.

    Shapes:
        ``pos [B]``, ``neg [B, N]`` to a scalar (``[B]`` without reduction); :math:`N \geq 1` is
        the most draws that are made.

    Raises:
        ValueError: If ``num_items`` is below 1, ``margin`` not above 0, ``reduction`` unknown, or
            the shapes do not fit.

    Example:
        >>> criterion = WARP(num_items=5)
        >>> pos, neg = torch.tensor([2.]), torch.tensor([[0., 1.5, 9.]])
        >>> criterion(pos, neg)  # The second draw: r = 4 // 2, (1 + 1 / 2) * 0.5
        tensor(0.7500)
    """
    def __init__(self, num_items: int, margin: float = 1.0, reduction: str = 'mean') -> None:
        super().__init__(reduction)
        self.num_items = check_count('num_items', num_items)
        self.margin = check_positive('margin', margin)

    def row_losses(self, pos: Tensor, neg: Tensor, batch: Optional[Batch]) -> Tensor:
        return warp(pos, neg, self.num_items, self.margin, 'none')

    def extra_repr(self) -> str:
        return f'num_items={self.num_items}, margin={self.margin}'
