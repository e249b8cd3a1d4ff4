r"""The supervised contrastive loss: several positives of a user at once."""
from typing import Optional

import torch
from torch import Tensor

from pyg_advcf._checks import check_bool, check_integers
from pyg_advcf.batch import Batch
from pyg_advcf.criteria.criterion import Criterion, check_scores, finite, reduce
from pyg_advcf.criteria.grouping import first_occurrence, group_logsumexp
from pyg_advcf.nn.similarity import Cosine, Similarity
from pyg_advcf.registry import CRITERIA


def supcon(
    pos: Tensor,
    neg: Tensor,
    user: Tensor,
    shared: bool = False,
    reduction: str = 'mean',
) -> Tensor:
    r"""Supervised contrastive loss; see :class:`SupCon`.

    Args:
        pos: ``[B]``.
        neg: ``[B, N]``.
        user: The anchor of each row, ``[B]``.
        shared: Whether all rows have the same negatives, which then count once for a user.
        reduction: ``'mean'``, ``'sum'`` or ``'none'``.
    """
    pos, neg = check_scores(pos, neg)
    check_bool('shared', shared)
    group = first_occurrence(check_integers('user', user, (pos.size(0), )))
    hard = torch.logsumexp(finite(neg), dim=1)
    if shared:
        total = torch.logaddexp(group_logsumexp(pos, group), hard)
    else:
        total = group_logsumexp(torch.logaddexp(pos, hard), group)
    return reduce(total - pos, reduction)


@CRITERIA.register('supcon')
class SupCon(Criterion):
    r"""Supervised contrastive loss, `arXiv 2004.11362 <https://arxiv.org/abs/2004.11362>`_.

    The rows of one user in the batch are the positives :math:`P_u` of one anchor, their negatives
    together its negatives :math:`N_u`:

    .. math::
        L_u = -\frac{1}{|P_u|} \sum_{p \in P_u}
            \log \frac{e^{s_{up}}}{\sum_{a \in P_u \cup N_u} e^{s_{ua}}}

    with the sum over positives outside the logarithm. The value of a row is its term of this sum,
    so that the mean over the batch weights users by their positives. A user with one positive has
    InfoNCE. Negatives that all rows share (``batch.neg_item [N]``) count once for a user.

    Args:
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``.

    Shapes:
        ``pos [B]``, ``neg [B, N]`` and a :class:`~pyg_advcf.Batch` to a scalar (``[B]`` without
        reduction).

    Raises:
        ValueError: If ``reduction`` is unknown, the shapes do not fit, or ``batch`` is missing.

    Example:
        >>> batch = Batch(torch.tensor([3, 3]), torch.tensor([0, 1]),
        ...               torch.tensor([[2], [4]]), torch.tensor([0, 1]))
        >>> SupCon()(torch.zeros(2), torch.zeros(2, 1), batch)  # ln 4
        tensor(1.3863)
    """
    needs_batch = 'the users, whose rows are positives of one anchor'

    def default_similarity(self) -> Similarity:
        return Cosine(0.1)

    def row_losses(self, pos: Tensor, neg: Tensor, batch: Optional[Batch]) -> Tensor:
        return supcon(pos, neg, batch.user, batch.neg_item.dim() == 1, 'none')
