r"""The hinge loss on pairs of scores."""
from typing import Optional

import torch.nn.functional as F
from torch import Tensor

from pyg_advcf._checks import check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.criteria.criterion import Criterion, check_scores, reduce
from pyg_advcf.registry import CRITERIA


def hinge(pos: Tensor, neg: Tensor, margin: float = 1.0, reduction: str = 'mean') -> Tensor:
    r"""Hinge loss; see :class:`Hinge`."""
    pos, neg = check_scores(pos, neg)
    check_positive('margin', margin)
    counted = (~neg.isneginf()).sum(1).clamp(min=1)
    return reduce(F.relu(margin - pos.unsqueeze(1) + neg).sum(1) / counted, reduction)


@CRITERIA.register('hinge')
class Hinge(Criterion):
    r"""Pairwise hinge loss: every negative stays a margin below the positive.

    .. math::
        L = \frac{1}{B} \sum_b \frac{1}{N} \sum_j \max(0, \mu - s^+_b + s^-_{bj})

    On negative squared distances it is the loss of collaborative metric learning without its
    weights by rank. Excluded negatives (:math:`-\infty`) do not count in :math:`N`.

    Args:
        margin: :math:`\mu > 0`.
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``.

    Shapes:
        ``pos [B]``, ``neg [B, N]`` to a scalar (``[B]`` without reduction).

    Raises:
        ValueError: If ``margin`` is not above 0, ``reduction`` unknown, or the shapes do not fit.

    Example:
        >>> import torch
        >>> Hinge(margin=1.)(torch.tensor([2.]), torch.tensor([[0., 1.5]]))  # (0 + 0.5) / 2
        tensor(0.2500)
    """
    negatives = 'one'

    def __init__(self, margin: float = 1.0, reduction: str = 'mean') -> None:
        super().__init__(reduction)
        self.margin = check_positive('margin', margin)

    def row_losses(self, pos: Tensor, neg: Tensor, batch: Optional[Batch]) -> Tensor:
        return hinge(pos, neg, self.margin, 'none')

    def extra_repr(self) -> str:
        return f'margin={self.margin}'
