r"""The decoupled contrastive loss."""
from typing import Optional

import torch
from torch import Tensor

from pyg_advcf.batch import Batch
from pyg_advcf.criteria.criterion import Criterion, check_scores, finite, reduce
from pyg_advcf.nn.similarity import Cosine, Similarity
from pyg_advcf.registry import CRITERIA


def dcl(pos: Tensor, neg: Tensor, reduction: str = 'mean') -> Tensor:
    r"""Decoupled contrastive loss; see :class:`DCL`."""
    pos, neg = check_scores(pos, neg)
    loss = torch.logsumexp(finite(neg), dim=1) - pos
    return reduce(loss.where((~neg.isneginf()).any(1), 0.), reduction)


@CRITERIA.register('dcl')
class DCL(Criterion):
    r"""Decoupled contrastive loss, `arXiv 2110.06848 <https://arxiv.org/abs/2110.06848>`_.

    InfoNCE without the positive in the denominator, so that an easy positive keeps its gradient:

    .. math::
        L = \frac{1}{B} \sum_b \Big[ \log \sum_j e^{s^-_{bj}} - s^+_b \Big]

    It may be negative; InfoNCE is its softplus, row by row. A row all of whose negatives are
    excluded adds 0.

    Args:
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``.

    Shapes:
        ``pos [B]``, ``neg [B, N]`` to a scalar (``[B]`` without reduction).

    Raises:
        ValueError: If ``reduction`` is unknown or the shapes do not fit.

    Example:
        >>> DCL()(torch.zeros(4), torch.zeros(4, 3))  # ln 3
        tensor(1.0986)
    """
    def default_similarity(self) -> Similarity:
        return Cosine(0.1)

    def row_losses(self, pos: Tensor, neg: Tensor, batch: Optional[Batch]) -> Tensor:
        return dcl(pos, neg, 'none')
