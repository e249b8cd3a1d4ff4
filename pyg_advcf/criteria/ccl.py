r"""The cosine contrastive loss of SimpleX."""
import numbers
from typing import Optional

import torch.nn.functional as F
from torch import Tensor

from pyg_advcf._checks import check_positive, shown
from pyg_advcf.batch import Batch
from pyg_advcf.criteria.criterion import Criterion, check_scores, reduce
from pyg_advcf.nn.similarity import Cosine, Similarity
from pyg_advcf.registry import CRITERIA


def _check_margin(margin: float) -> float:
    if not isinstance(margin, numbers.Real) or not -1 <= margin <= 1:
        raise ValueError(f"'margin' is {shown(margin)}, but it bounds a cosine, so it needs to "
                         f"be a number in [-1, 1]")
    return margin


def ccl(
    pos: Tensor,
    neg: Tensor,
    weight: float = 1.0,
    margin: float = 0.4,
    reduction: str = 'mean',
) -> Tensor:
    r"""Cosine contrastive loss on cosines; see :class:`CCL`."""
    pos, neg = check_scores(pos, neg)
    check_positive('weight', weight, zero=True)
    _check_margin(margin)
    counted = (~neg.isneginf()).sum(1).clamp(min=1)
    return reduce(1 - pos + weight * F.relu(neg - margin).sum(1) / counted, reduction)


@CRITERIA.register('ccl')
class CCL(Criterion):
    r"""Cosine contrastive loss of SimpleX, `arXiv 2109.12613 <https://arxiv.org/abs/2109.12613>`_.

    .. math::
        L = \frac{1}{B} \sum_b \Big[ 1 - c^+_b + \frac{w}{N} \sum_j \max(0, c^-_{bj} - \mu) \Big]

    The scores :math:`c` are cosines without a temperature: ``Cosine(1.)``. Excluded negatives
    (:math:`-\infty`) do not count in :math:`N`.

    Args:
        weight: :math:`w \geq 0` of the *mean* over the negatives; 1 to 200 are published.
        margin: :math:`\mu \in [-1, 1]`, above which a negative is pushed away; 0.2 to 1 are
            published.
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``.

    Shapes:
        ``pos [B]``, ``neg [B, N]`` to a scalar (``[B]`` without reduction).

    Raises:
        ValueError: If ``weight`` is negative, ``margin`` no cosine, ``reduction`` unknown, or the
            shapes do not fit.

    Example:
        >>> import torch
        >>> CCL(weight=2., margin=0.5)(torch.tensor([0.9]), torch.tensor([[0.6, -1.]]))
        tensor(0.2000)
    """
    def default_similarity(self) -> Similarity:
        return Cosine(1.)

    def __init__(self, weight: float = 1.0, margin: float = 0.4, reduction: str = 'mean') -> None:
        super().__init__(reduction)
        self.weight = check_positive('weight', weight, zero=True)
        self.margin = _check_margin(margin)

    def row_losses(self, pos: Tensor, neg: Tensor, batch: Optional[Batch]) -> Tensor:
        return ccl(pos, neg, self.weight, self.margin, 'none')

    def extra_repr(self) -> str:
        return f'weight={self.weight}, margin={self.margin}'
