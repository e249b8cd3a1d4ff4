r"""The weighted classification loss of UltraGCN."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_advcf._checks import check_degrees, check_floats, check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.criteria.criterion import Criterion


def constraint_weights(user_degree: Tensor, item_degree: Tensor) -> tuple[Tensor, Tensor]:
    r"""The factors :math:`\beta_u, \beta_i` of UltraGCN's weights, of all users and of all items.

    .. math::
        \beta_{ui} = \beta_u \beta_i = \frac{1}{d_u} \sqrt{\frac{d_u + 1}{d_i + 1}}

    A user without interactions has the factor 0.

    Args:
        user_degree: Training degree of every user, ``[n]``.
        item_degree: Training degree of every item, ``[m]``.

    Returns:
        ``[n]``, ``[m]``, in float64.

    Example:
        >>> user, item = constraint_weights(torch.tensor([2, 1]), torch.tensor([1, 2, 0]))
        >>> user[0] * item[1]  # (1 / 2) sqrt((2 + 1) / (2 + 1))
        tensor(0.5000, dtype=torch.float64)
    """
    check_degrees('user_degree', user_degree)
    check_degrees('item_degree', item_degree)
    user, item = user_degree.double(), item_degree.double()
    return torch.where(user > 0, (user + 1).sqrt() / user.clamp(min=1), 0.), (item + 1).rsqrt()


class ConstrainedBCE(Criterion):
    r"""Binary cross entropy with a weight per pair, which stands in for propagation.

    .. math::
        L = \frac{1}{B} \sum_b \Big[ (w_1 + w_2 \beta_{ui})\, \mathrm{softplus}(-s^+_b)
            + \frac{\nu}{N} \sum_j (w_3 + w_4 \beta_{uj})\, \mathrm{softplus}(s^-_{bj}) \Big],
        \qquad \beta_{ui} = \beta_u \beta_i

    From `"UltraGCN: Ultra Simplification of Graph Convolutional Networks for Recommendation"
    <https://arxiv.org/abs/2110.15114>`_, which sums over the batch.

    Args:
        user_factor: :math:`\beta_u` of all users, ``[n]``.
        item_factor: :math:`\beta_i` of all items, ``[m]``.
        weights: :math:`w_1, \dots, w_4 \geq 0`; (1e-6, 1, 1e-6, 1) for Gowalla, (1e-8, 1, 1, 1e-8)
            for Amazon-Book.
        neg_weight: :math:`\nu \geq 0`, 300 for Gowalla.
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``.

    Shapes:
        ``pos [B]``, ``neg [B, N]`` and a :class:`~pyg_advcf.Batch` to a scalar (``[B]`` without
        reduction).

    Raises:
        ValueError: If a weight is negative, there are not four, or the batch is missing.

    Example:
        >>> criterion = ConstrainedBCE(torch.ones(3), torch.ones(5), (0., 1., 0., 1.), neg_weight=1)
        >>> batch = Batch(*(torch.tensor(t) for t in ([0, 2], [1, 1], [[3], [4]], [0, 1])))
        >>> criterion(torch.zeros(2), torch.zeros(2, 1), batch)  # 2 ln 2
        tensor(1.3863)
    """
    needs_batch = 'the ids, whose degrees give the weights'

    def __init__(
        self,
        user_factor: Tensor,
        item_factor: Tensor,
        weights: tuple[float, float, float, float] = (1e-6, 1., 1e-6, 1.),
        neg_weight: float = 300.,
        reduction: str = 'mean',
    ) -> None:
        super().__init__(reduction)
        if not isinstance(weights, (tuple, list)) or len(weights) != 4:
            raise ValueError(f"'weights' is {weights!r}, but needs four numbers: base and slope "
                             f"of positives, base and slope of negatives")
        self.weights = tuple(check_positive(f'weights[{i}]', w, zero=True)
                             for i, w in enumerate(weights))
        self.neg_weight = check_positive('neg_weight', neg_weight, zero=True)
        for name, factor in (('user_factor', user_factor), ('item_factor', item_factor)):
            check_degrees(name, check_floats(name, factor))
        self.num_users, self.num_items = user_factor.numel(), item_factor.numel()
        self.register_buffer('user_factor', user_factor, persistent=False)
        self.register_buffer('item_factor', item_factor, persistent=False)

    def row_losses(self, pos: Tensor, neg: Tensor, batch: Optional[Batch]) -> Tensor:
        base, slope, neg_base, neg_slope = self.weights
        user = self.user_factor[batch.user]
        loss = (base + slope * user * self.item_factor[batch.item]) * F.softplus(-pos)
        # Shared negatives `[N]` and a row's own `[B, N]` both broadcast against `[B, 1]`.
        neg_weight = neg_base + neg_slope * user.unsqueeze(1) * self.item_factor[batch.neg_item]
        counted = (~neg.isneginf()).sum(1).clamp(min=1)
        return loss + self.neg_weight * (neg_weight * F.softplus(neg)).sum(1) / counted

    def extra_repr(self) -> str:
        return f'weights={self.weights}, neg_weight={self.neg_weight}'
