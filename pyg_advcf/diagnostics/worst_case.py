r"""The strongest hardness within a divergence budget, in closed form.

For a positive with negatives of score :math:`s_j`, let :math:`f_j = e^{s_j - s^+}`. An adversary
with probabilities :math:`p` makes the AdvInfoNCE loss
:math:`\log(1 + k N \sum_j p_j f_j)`, so the worst case maximises :math:`\sum_j p_j f_j` within the
budget. :math:`P_0` is uniform. A trained hardness model can be measured against these bounds.
"""
import math

import torch
from torch import Tensor

from pyg_advcf._checks import check_name, check_positive
from pyg_advcf.criteria.criterion import check_scores

BUDGETS = ('reverse_kl', 'forward_kl', 'none')
_STEPS = 200


def _reverse_kl(f: Tensor, eta: float) -> Tensor:
    # p_j is proportional to 1 / (nu - f_j); the divergence decreases in nu > max f. With
    # f in [0, 1] and nu = 1 + e^t, bisect on t.
    def divergence(t: Tensor) -> Tensor:
        gap = (1 - f) + t.exp()  # In this order: exact where f is 1.
        return gap.log().mean(1, keepdim=True) + (1 / gap).mean(1, keepdim=True).log()

    low = f.new_full((f.size(0), 1), -80.)
    high = f.new_full((f.size(0), 1), 80.)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        above = divergence(middle) > eta
        low, high = middle.where(above, low), high.where(above, middle)
    inverse = 1 / ((1 - f) + high.exp())
    return inverse / inverse.sum(1, keepdim=True)


def _forward_kl(f: Tensor, eta: float) -> Tensor:
    # p_j is proportional to e^{f_j / lambda}; the divergence decreases in lambda.
    num = f.size(1)
    low = f.new_full((f.size(0), 1), -40.)
    high = f.new_full((f.size(0), 1), 40.)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        log_p = torch.log_softmax(f / middle.exp(), dim=1)
        above = (log_p.exp() * log_p).sum(1, keepdim=True) + math.log(num) > eta
        low, high = middle.where(above, low), high.where(above, middle)
    return torch.softmax(f / high.exp(), dim=1)


def worst_case(pos: Tensor, neg: Tensor, eta: float = 0.1, budget: str = 'reverse_kl') -> Tensor:
    r"""The probabilities :math:`p` that maximise the AdvInfoNCE loss within a budget.

    * ``'reverse_kl'``: :math:`KL(P_0 \| P) \leq \eta`, the constraint of the paper's theorem:
      :math:`p_j \propto 1 / (\nu - f_j)`.
    * ``'forward_kl'``: :math:`KL(P \| P_0) \leq \eta`: :math:`p_j \propto e^{f_j / \lambda}`.
    * ``'none'``: all mass on the highest score.

    Args:
        pos: Scores of the positives, ``[B]``.
        neg: Scores of the negatives, ``[B, N]``.
        eta: Budget, above 0.
        budget: One of the above.

    Returns:
        :math:`p`, ``[B, N]`` in float64; the hardness is ``(N * p).log()``.

    Raises:
        ValueError: If ``budget`` is unknown or ``eta`` is not above 0.

    Example:
        >>> worst_case(torch.zeros(1), torch.tensor([[0., 1.]]), budget='none')
        tensor([[0., 1.]], dtype=torch.float64)
    """
    check_name('budget', budget, BUDGETS)
    check_positive('eta', eta)
    pos, neg = check_scores(pos, neg)
    # Scaled to a maximum of 1: the maximiser does not depend on the scale of f.
    f = (neg.double() - neg.double().amax(1, keepdim=True)).exp()
    if budget == 'none':
        return torch.nn.functional.one_hot(neg.argmax(1), neg.size(1)).double()
    p = _reverse_kl(f, eta) if budget == 'reverse_kl' else _forward_kl(f, eta)
    # Where all scores are equal any p is a maximiser: take the uniform one.
    flat = f.amin(1, keepdim=True) == 1
    return torch.full_like(p, 1 / p.size(1)).where(flat, p)
