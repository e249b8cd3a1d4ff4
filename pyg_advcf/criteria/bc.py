r"""BC loss: an angular margin by how far popularity predicts an interaction."""
import math
from typing import Optional

import torch
from torch import Tensor

from pyg_advcf._checks import check_floats, check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.criteria.criterion import Criterion, check_scores
from pyg_advcf.criteria.infonce import infonce
from pyg_advcf.criteria.popularity import PopularityEmbedding
from pyg_advcf.nn.similarity import Cosine, Similarity
from pyg_advcf.registry import CRITERIA

_LARGEST = 1 - 1e-7  # A cosine; at 1 the angle has no derivative.


def bc(
    pos: Tensor,
    neg: Tensor,
    margin: Tensor,
    temperature: float = 0.07,
    reduction: str = 'mean',
) -> Tensor:
    r"""BC loss on cosines for given margins ``[B]`` of at least 0 rad; see :class:`BCLoss`."""
    pos, neg = check_scores(pos, neg)
    check_floats('margin', margin, (pos.size(0), ))
    check_positive('temperature', temperature)
    cosine = pos.clamp(-_LARGEST, _LARGEST)
    margin = torch.minimum(margin.to(pos.dtype), math.pi - cosine.detach().acos())
    # cos(angle + margin), without the derivative of the arc cosine.
    shifted = cosine * margin.cos() - (1 - cosine.square()).sqrt() * margin.sin()
    return infonce(shifted / temperature, neg / temperature, reduction)


@CRITERIA.register('bc')
class BCLoss(Criterion):
    r"""BC loss, a bias-aware angular margin, `arXiv 2210.11054 <https://arxiv.org/abs/2210.11054>`_.

    InfoNCE where the angle :math:`\theta` of a positive pair is widened by a margin. The margin is
    larger, the less the popularity of user and item predicts the pair:

    .. math::
        s^+ = \cos(\theta + M) / \tau_1, \qquad
        M = \min(1 - \sigma(p_u \cdot p_i),\ \pi - \theta)

    The popularity branch :math:`p` has a row for every distinct training degree of users and of
    items, and learns only by :meth:`branch_loss`: no gradient of this loss reaches it.

    The scores are cosines without a temperature: ``Cosine(1.)``.

    Args:
        user_degree: Training degree of every user, ``[num_users]``.
        item_degree: Training degree of every item, ``[num_items]``.
        dim: Width of the branch.
        temperature: :math:`\tau_1 > 0`; 0.05 to 3 are published.
        branch_temperature: :math:`\tau_2 > 0` of the branch.
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``.

    Shapes:
        ``pos [B]``, ``neg [B, N]`` and a :class:`~pyg_advcf.Batch` to a scalar (``[B]`` without
        reduction).

    Raises:
        ValueError: If ``dim`` is below 1, a temperature not above 0, ``reduction`` unknown, the
            shapes do not fit, or ``batch`` is missing.

    Example:
        >>> criterion = BCLoss(torch.tensor([1, 1]), torch.tensor([1, 1, 0]), dim=4, temperature=1.)
        >>> batch = Batch(*(torch.tensor(t) for t in ([0, 1], [0, 1], [[2], [2]], [0, 1])))
        >>> bool(criterion(torch.ones(2), torch.ones(2, 1), batch) > 0.6931)  # Above InfoNCE: ln 2
        True
    """
    needs_batch = 'the ids, whose popularity sets the margins'

    def default_similarity(self) -> Similarity:
        return Cosine(1.)

    def __init__(
        self,
        user_degree: Tensor,
        item_degree: Tensor,
        dim: int = 64,
        temperature: float = 0.07,
        branch_temperature: float = 0.1,
        reduction: str = 'mean',
    ) -> None:
        super().__init__(reduction)
        self.temperature = check_positive('temperature', temperature)
        self.branch_temperature = check_positive('branch_temperature', branch_temperature)
        self.branch = PopularityEmbedding(user_degree, item_degree, dim)
        self.num_users, self.num_items = user_degree.numel(), item_degree.numel()

    def margin(self, batch: Batch) -> Tensor:
        r"""The margins of the positives before they are bounded, detached, ``[B]``."""
        batch = self._check_batch(batch)
        with torch.no_grad():
            p = self.branch()
            return torch.sigmoid(-(p.users(batch.user) * p.items(batch.item)).sum(-1))

    def branch_loss(self, batch: Batch) -> Tensor:
        r"""InfoNCE on the cosines of the branch, over the same pairs; its only gradient."""
        batch = self._check_batch(batch)
        pos, neg = Cosine(self.branch_temperature)(self.branch(), batch)
        return infonce(pos, neg, self.reduction)

    def row_losses(self, pos: Tensor, neg: Tensor, batch: Optional[Batch]) -> Tensor:
        return bc(pos, neg, self.margin(batch), self.temperature, 'none')

    def extra_repr(self) -> str:
        return f'temperature={self.temperature}, branch_temperature={self.branch_temperature}'
