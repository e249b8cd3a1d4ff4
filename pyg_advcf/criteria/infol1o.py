r"""InfoL1O: the decoupled loss with a mean in place of the sum."""
from typing import Optional

from torch import Tensor

from pyg_advcf.batch import Batch
from pyg_advcf.criteria.criterion import Criterion, check_scores, reduce
from pyg_advcf.criteria.dcl import dcl
from pyg_advcf.nn.similarity import Cosine, Similarity
from pyg_advcf.registry import CRITERIA


def infol1o(pos: Tensor, neg: Tensor, reduction: str = 'mean') -> Tensor:
    r"""Leave-one-out InfoNCE; see :class:`InfoL1O`."""
    pos, neg = check_scores(pos, neg)
    counted = (~neg.isneginf()).sum(1).clamp(min=1)
    return reduce(dcl(pos, neg, 'none') - counted.to(pos.dtype).log(), reduction)


@CRITERIA.register('infol1o')
class InfoL1O(Criterion):
    r"""Leave-one-out InfoNCE, `arXiv 1905.06922 <https://arxiv.org/abs/1905.06922>`_.

    .. math::
        L = \frac{1}{B} \sum_b \Big[ \log \frac{1}{N} \sum_j e^{s^-_{bj}} - s^+_b \Big]

    :class:`DCL` minus :math:`\ln N`, so its value does not depend on how many negatives are drawn.
    Excluded negatives (:math:`-\infty`) do not count in :math:`N`.

    Args:
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``.

    Shapes:
        ``pos [B]``, ``neg [B, N]`` to a scalar (``[B]`` without reduction).

    Raises:
        ValueError: If ``reduction`` is unknown or the shapes do not fit.

    Example:
        >>> import torch
        >>> InfoL1O()(torch.ones(4), torch.zeros(4, 3))
        tensor(-1.)
    """
    def default_similarity(self) -> Similarity:
        return Cosine(0.1)

    def row_losses(self, pos: Tensor, neg: Tensor, batch: Optional[Batch]) -> Tensor:
        return infol1o(pos, neg, 'none')
