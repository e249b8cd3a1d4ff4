r"""sDRO: the worst group of users, by running losses."""
from typing import Optional

import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from pyg_advcf._checks import (
    check_floats,
    check_graph,
    check_ids,
    check_integers,
    check_positive,
    check_ratio,
    reads_values,
)
from pyg_advcf.batch import Batch
from pyg_advcf.criteria.criterion import Criterion
from pyg_advcf.criteria.infonce import infonce
from pyg_advcf.nn.similarity import Cosine, Similarity
from pyg_advcf.ops.spmm import graph_degrees
from pyg_advcf.registry import CRITERIA

_POPULAR = 0.2
_BOUNDS = (0.6, 0.8)


def popularity_groups(graph: EdgeIndex) -> Tensor:
    r"""Groups of users by their taste: 0 niche, 1 diverse, 2 blockbuster; ``[num_users]``.

    The share of a user's training items that are among the fifth of the catalogue with the highest
    training degrees is below 0.6 for niche, below 0.8 for diverse users. Ties go to the lower id.

    Args:
        graph: As :func:`pyg_advcf.interaction_graph` returns it.

    Example:
        >>> from pyg_advcf import as_graph
        >>> edges = [(u, i) for u in range(4) for i in range(5) if i == 0 or u == 3]
        >>> popularity_groups(as_graph(torch.tensor(edges).t(), 4, 5))
        tensor([2, 2, 2, 0])
    """
    user, item = check_graph('graph', graph).as_tensor().long()
    user_degree, item_degree = graph_degrees(graph)
    order = torch.sort(item_degree, descending=True, stable=True)[1]
    popular = torch.zeros_like(item_degree)
    popular[order[:max(1, round(_POPULAR * item_degree.numel()))]] = 1
    hits = torch.zeros_like(user_degree).index_add_(0, user, popular[item])
    share = hits.double() / user_degree.clamp(min=1)
    return sum((share >= bound).long() for bound in _BOUNDS)


def sdro(loss: Tensor, group: Tensor, weight: Tensor) -> Tensor:
    r"""Losses ``[B]`` whose mean is the sum of the groups' mean losses, each times its weight.

    Args:
        loss: ``[B]``.
        group: ``[B]``.
        weight: One for each group, ``[G]``.

    Example:
        >>> loss, group = torch.tensor([1., 3., 5.]), torch.tensor([0, 0, 1])
        >>> sdro(loss, group, torch.tensor([0.5, 0.5])).mean()  # (2 + 5) / 2
        tensor(3.5000)
    """
    check_floats('loss', loss, ('B', ))
    check_floats('weight', weight, ('G', ))
    group = check_integers('group', group, (loss.size(0), ))
    if reads_values(group):
        check_ids('group', group, weight.size(0))
    count = torch.zeros_like(weight).index_add(0, group, torch.ones_like(loss, dtype=weight.dtype))
    factor = weight.detach() * loss.numel() / count.clamp(min=1)
    return loss * factor[group].to(loss.dtype)


@CRITERIA.register('sdro')
class SDRO(Criterion):
    r"""Streaming distributionally robust InfoNCE over groups of users.

    .. math::
        L = \sum_g w_g \ell_g, \qquad w \leftarrow \mathrm{softmax}(\log w + \eta \bar\ell), \qquad
        \bar\ell_g \leftarrow (1 - \alpha) \bar\ell_g + \alpha \ell_g

    where :math:`\ell_g` is the mean InfoNCE of the group's rows in the batch, and
    :math:`\bar\ell_g` its running value, which a batch without the group leaves as it is. The
    weights are updated before the loss is computed, in training mode only; they start out equal and
    get no gradient. From "Distributionally-robust Recommendations for Improving Worst-case User
    Experience" (WWW 2022).

    Running losses and weights are part of the ``state_dict``.

    Args:
        group: The group of every user, ``[num_users]``: :func:`popularity_groups`.
        step: :math:`\eta \geq 0`; 0.001 to 0.1 are published.
        rate: :math:`\alpha \in [0, 1]`.
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``; the mean is :math:`L`.

    Shapes:
        ``pos [B]``, ``neg [B, N]`` and a :class:`~pyg_advcf.Batch` to a scalar (``[B]`` without
        reduction).

    Raises:
        ValueError: If ``group`` is not made of ids or leaves one out, ``step`` is negative,
            ``rate`` outside [0, 1], ``reduction`` unknown, the shapes do not fit, or ``batch`` is
            missing.

    Example:
        >>> criterion = SDRO(torch.tensor([0, 1]), step=1., rate=1.)
        >>> batch = Batch(*(torch.tensor(t) for t in ([0, 1], [0, 0], [[1], [1]], [0, 1])))
        >>> loss = criterion(torch.tensor([5., 0.]), torch.zeros(2, 1), batch)
        >>> criterion.weight  # The second user's loss is ln 2.
        tensor([0.3348, 0.6652])
    """
    needs_batch = 'the users, each of whom is in a group'
    single_pass = True

    def default_similarity(self) -> Similarity:
        return Cosine(0.1)

    def __init__(
        self,
        group: Tensor,
        step: float = 0.01,
        rate: float = 0.01,
        reduction: str = 'mean',
    ) -> None:
        super().__init__(reduction)
        self.step = check_positive('step', step, zero=True)
        self.rate = check_ratio('rate', rate)
        group = check_integers('group', group, ('num_users', ))
        if group.numel() == 0:
            raise ValueError("'group' is empty, but needs the group of every user: use "
                             "popularity_groups(graph)")
        self.num_users = group.numel()
        size = int(group.max()) + 1
        check_ids('group', group, size)
        empty = (torch.bincount(group, minlength=size) == 0).nonzero().view(-1).tolist()
        if empty:
            # Its weight would be missing from the loss until the others have taken it over.
            raise ValueError(f"'group' puts no user into {empty[:5]} of {size} groups; number them "
                             f"without gaps: group.unique(return_inverse=True)[1]")
        self.register_buffer('group', group)
        self.register_buffer('running', torch.zeros(size))
        self.register_buffer('log_weight', torch.full((size, ), 1 / size).log())

    @property
    def weight(self) -> Tensor:
        r"""The weight of every group."""
        return self.log_weight.exp()

    @torch.no_grad()
    def _record(self, loss: Tensor, group: Tensor) -> None:
        loss = loss.to(self.running.dtype)
        total = torch.zeros_like(self.running).index_add(0, group, loss)
        count = torch.zeros_like(self.running).index_add(0, group, torch.ones_like(loss))
        moved = torch.lerp(self.running, total / count.clamp(min=1), self.rate)
        self.running.copy_(moved.where(count > 0, self.running))
        self.log_weight.copy_(
            torch.log_softmax(self.log_weight + self.step * self.running, dim=0))

    def row_losses(self, pos: Tensor, neg: Tensor, batch: Optional[Batch]) -> Tensor:
        group = self.group[batch.user]
        loss = infonce(pos, neg, 'none')
        if self.training:
            self._record(loss, group)
        return sdro(loss, group, self.weight)

    def extra_repr(self) -> str:
        return f'groups={self.running.numel()}, step={self.step}, rate={self.rate}'
