r"""BSL: a softmax loss that is robust on both sides."""
from typing import Optional

import torch
from torch import Tensor

from pyg_advcf._checks import check_integers, check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.criteria.criterion import Criterion, check_scores, finite, reduce
from pyg_advcf.criteria.grouping import first_occurrence, group_logsumexp, group_sum
from pyg_advcf.nn.similarity import Cosine, Similarity
from pyg_advcf.registry import CRITERIA


def bsl(
    pos: Tensor,
    neg: Tensor,
    user: Tensor,
    pos_temperature: float = 0.1,
    neg_temperature: float = 0.1,
    reduction: str = 'mean',
) -> Tensor:
    r"""Bilateral softmax loss on cosines, rows of one ``user [B]`` together; see :class:`BSL`."""
    pos, neg = check_scores(pos, neg)
    check_positive('pos_temperature', pos_temperature)
    check_positive('neg_temperature', neg_temperature)
    group = first_occurrence(check_integers('user', user, (pos.size(0), )))
    size = group_sum(torch.ones_like(pos), group)
    gain = pos_temperature * (group_logsumexp(pos / pos_temperature, group) - size.log())
    counted = (~neg.isneginf()).sum(1).to(neg.dtype)
    total = group_sum(counted, group)
    hard = torch.logsumexp(finite(neg / neg_temperature), dim=1)
    cost = neg_temperature * (group_logsumexp(hard, group) - total.clamp(min=1).log())
    return reduce((cost - gain).where(total > 0, 0.), reduction)


@CRITERIA.register('bsl')
class BSL(Criterion):
    r"""BSL, a bilateral softmax loss, `arXiv 2312.12882 <https://arxiv.org/abs/2312.12882>`_.

    A log-mean-exp over the positives of a user as well as over the negatives:

    .. math::
        L_u = -\tau_1 \log \frac{1}{|P_u|} \sum_{i \in P_u} e^{c_{ui} / \tau_1}
            + \tau_2 \log \frac{1}{|N_u|} \sum_{j \in N_u} e^{c_{uj} / \tau_2}

    over the positives :math:`P_u` of a user in the batch and all of their negatives. With one
    positive and :math:`\tau_1 = \tau_2 = \tau` it is :math:`\tau` times :class:`InfoL1O`. This is
    the loss of the paper; its code has one temperature and a factor on the second term.

    The scores :math:`c` are cosines without a temperature: ``Cosine(1.)``. Every row has the value
    of its user, so that the mean over the batch weights users by their positives. A user all of
    whose negatives are excluded adds 0.

    Args:
        pos_temperature: :math:`\tau_1 > 0`; the larger, the nearer to the mean positive score.
        neg_temperature: :math:`\tau_2 > 0`.
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``.

    Shapes:
        ``pos [B]``, ``neg [B, N]`` and a :class:`~pyg_advcf.Batch` to a scalar (``[B]`` without
        reduction).

    Raises:
        ValueError: If a temperature is not above 0, ``reduction`` unknown, the shapes do not fit,
            or ``batch`` is missing.

    Example:
        >>> batch = Batch(torch.tensor([3, 3]), torch.tensor([0, 1]),
        ...               torch.tensor([[2], [4]]), torch.tensor([0, 1]))
        >>> BSL()(torch.tensor([0.5, 0.5]), torch.tensor([[0.2], [0.2]]), batch)
        tensor(-0.3000)
    """
    needs_batch = 'the users, whose rows are positives of one anchor'

    def default_similarity(self) -> Similarity:
        return Cosine(1.)

    def __init__(
        self,
        pos_temperature: float = 0.1,
        neg_temperature: float = 0.1,
        reduction: str = 'mean',
    ) -> None:
        super().__init__(reduction)
        self.pos_temperature = check_positive('pos_temperature', pos_temperature)
        self.neg_temperature = check_positive('neg_temperature', neg_temperature)

    def row_losses(self, pos: Tensor, neg: Tensor, batch: Optional[Batch]) -> Tensor:
        return bsl(pos, neg, batch.user, self.pos_temperature, self.neg_temperature, 'none')

    def extra_repr(self) -> str:
        return f'pos_temperature={self.pos_temperature}, neg_temperature={self.neg_temperature}'
