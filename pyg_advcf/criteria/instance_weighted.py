r"""Learned weights of training instances."""
import copy
import math
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_advcf._checks import (
    check_count,
    check_floats,
    check_instance,
    check_name,
    check_positive,
    reads_values,
)
from pyg_advcf.batch import Batch
from pyg_advcf.criteria.criterion import Criterion, reduce
from pyg_advcf.embeddings import Embeddings, check_embeddings, check_rows
from pyg_advcf.record import Recorded


class WeightNetwork(Recorded, nn.Module):
    r"""Weights of triplets from their embeddings: :math:`\delta = \mathrm{softplus}(w^T
    \mathrm{relu}(W x))`, without biases.

    :math:`x = [z_u; z_i; z_j; z_u \odot z_i; z_u \odot z_j]`, detached: a model can't lower its
    loss by moving its own weights. Of several negatives, :math:`z_j` is the mean.

    Args:
        dim: Width :math:`D` of the embeddings; :math:`W` is ``[D, 5 D]``.

    Raises:
        ValueError: If ``dim`` is below 1.

    Example:
        >>> z = Embeddings(torch.ones(3, 4), torch.ones(5, 4))
        >>> batch = Batch(*(torch.tensor(t) for t in ([0, 2], [1, 1], [[3], [4]], [0, 1])))
        >>> WeightNetwork(dim=4)(z, batch).shape
        torch.Size([2])
    """
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = check_count('dim', dim)
        self.hidden = nn.Linear(5 * dim, dim, bias=False)
        self.out = nn.Linear(dim, 1, bias=False)

    def reset_parameters(self) -> None:
        r"""Initialises the parameters again."""
        self.hidden.reset_parameters()
        self.out.reset_parameters()

    def forward(self, z: Embeddings, batch: Batch) -> Tensor:
        r"""Weights above 0, ``[B]``."""
        return F.softplus(self.logit(z, batch))

    def log_weight(self, z: Embeddings, batch: Batch) -> Tensor:
        r"""Their logarithms, finite also where the weights themselves underflow, ``[B]``."""
        logit = self.logit(z, batch)
        # Far below 0, softplus is the exponential function.
        return torch.where(logit < -20, logit, F.softplus(logit.clamp(min=-20)).log())

    def logit(self, z: Embeddings, batch: Batch) -> Tensor:
        r"""What softplus turns into weights, ``[B]``."""
        check_embeddings('z', z)
        batch = check_rows(z, batch)
        if z.user.size(1) != self.dim:
            raise ValueError(f"'z' has width {z.user.size(1)}, but the weights were made for "
                             f"'dim' = {self.dim}")
        user, item, neg = z.rows(batch)
        neg = neg.view(1, -1) if neg.dim() == 1 else neg
        u, i = F.embedding(user, z.user.detach()), F.embedding(item, z.item.detach())
        j = F.embedding_bag(neg, z.item.detach(), mode='mean').expand_as(u)
        x = torch.cat([u, i, j, u * i, u * j], dim=1)
        return self.out(self.hidden(x).relu()).squeeze(1)


class InstanceWeighted(Recorded, nn.Module):
    r"""Any criterion, each positive weighted by a :class:`WeightNetwork`.

    .. math::
        L = \frac{1}{B} \sum_b \frac{\delta_b}{\bar\delta}\, \ell_b

    around BPR the instance-weighted BPR of ACCF. The weights average 1. Their mean is
    differentiated too, so that the scale of the weights does not change the loss; if it were held
    fixed, shrinking all weights would lower the loss. Trained on this loss, the network favours
    easy instances.

    Args:
        criterion: The criterion to weight; it is copied.
        dim: Width of the embeddings.
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``.

    Shapes:
        ``pos [B]``, ``neg [B, N]``, a :class:`~pyg_advcf.Batch` and
        :class:`~pyg_advcf.Embeddings` to a scalar.

    Raises:
        ValueError: If neither weights nor embeddings to compute them from are given.

    Example:
        >>> from pyg_advcf.criteria import BPR
        >>> criterion = InstanceWeighted(BPR(), dim=4)
        >>> z = Embeddings(torch.ones(3, 4), torch.ones(5, 4))
        >>> batch = Batch(*(torch.tensor(t) for t in ([0, 2], [1, 1], [[3], [4]], [0, 1])))
        >>> loss = criterion(torch.zeros(2), torch.zeros(2, 1), batch, z)
        >>> round(loss.item(), 4)  # Equal triplets have equal weights: ln 2
        0.6931
    """
    def __init__(self, criterion: Criterion, dim: int, reduction: str = 'mean') -> None:
        super().__init__()
        check_instance('criterion', criterion, Criterion,
                       'a criterion of pyg_advcf.criteria, such as BPR()')
        self.criterion = copy.deepcopy(criterion)
        self.reduction = Criterion(reduction).reduction
        self.criterion.reduction = 'none'
        self.negatives = self.criterion.negatives
        self.network = WeightNetwork(dim)

    def weight(self, z: Embeddings, batch: Batch) -> Tensor:
        r"""The weights, averaging 1, with gradients only to the network, ``[B]``."""
        log = self.network.log_weight(z, batch)
        return (log - (torch.logsumexp(log, 0) - math.log(log.numel()))).exp()

    def forward(
        self,
        pos: Tensor,
        neg: Tensor,
        batch: Optional[Batch] = None,
        z: Optional[Embeddings] = None,
        weight: Optional[Tensor] = None,
    ) -> Tensor:
        r"""Computes the loss.

        Args:
            pos: Scores of the positives, ``[B]``.
            neg: Scores of the negatives, ``[B, N]``.
            batch: The ids behind the scores.
            z: Embeddings that hold the rows of the batch.
            weight: Weights to use instead of the network's, for example detached, ``[B]``.
        """
        if weight is None:
            if z is None or batch is None:
                raise ValueError("InstanceWeighted needs 'z' and 'batch', whose embeddings it "
                                 "weights by, or 'weight': call criterion(pos, neg, batch, z)")
            weight = self.weight(z, batch)
        losses = self.criterion(pos, neg, batch)
        check_floats('weight', weight, tuple(losses.shape))
        return reduce(weight * losses, self.reduction)


def anchored_weights(
    weights: Tensor,
    losses: Tensor,
    anchor: float = 1.,
    prefer: str = 'easy',
) -> Tensor:
    r"""An objective for the weights, with the losses held fixed.

    .. math::
        \pm \sum_b p_b \ell_b + \kappa \sum_b p_b \ln(B p_b), \qquad
        p = w / \sum_b w_b

    Its free optimum is :math:`p \propto e^{\mp \ell / \kappa}`: with plus, easy instances gain
    weight (self-paced, denoising), with minus, hard ones. Without the second term all weight goes
    to one instance.

    Args:
        weights: :math:`w > 0`, ``[B]``.
        losses: ``[B]``; no gradient reaches them.
        anchor: :math:`\kappa > 0`, which holds the weights together.
        prefer: ``'easy'`` or ``'hard'``.

    Raises:
        ValueError: If ``anchor`` is not above 0, ``prefer`` unknown, or a weight negative (checked
            on CPU).

    Example:
        >>> round(float(anchored_weights(torch.ones(2), torch.tensor([1., 3.]))), 4)
        2.0
    """
    check_floats('weights', weights, ('B', ))
    check_floats('losses', losses, tuple(weights.shape))
    if reads_values(weights) and bool((weights < 0).any()):
        raise ValueError(f"'weights' holds {float(weights.min()):g}, but weights need to be above "
                         f"0; take the exponential of what may be negative")
    check_positive('anchor', anchor)
    sign = 1. if check_name('prefer', prefer, ('easy', 'hard')) == 'easy' else -1.
    p = weights / weights.sum()
    spread = torch.xlogy(p, p * p.numel()).sum()
    return sign * (p * losses.detach()).sum() + anchor * spread
