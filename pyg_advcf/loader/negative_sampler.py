r"""Exact sampling of items outside a user's training items."""
from typing import Optional

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import (
    check_count,
    check_generator,
    check_ids,
    check_integers,
    check_name,
    check_pairs,
    reads_values,
)
from pyg_advcf.interactions import degrees, known_pairs, num_nodes, validate
from pyg_advcf.pairs import PairSet

NEGATIVES = ('uniform', 'popularity')
_FILTER_BITS = 24


class NegativeSampler:
    r"""Draws, with replacement, items that a user has no training interaction with.

    Pairs of the split ``outer`` count as training interactions.

    Without rejection loops: a draw first ignores the user's items; the few draws that hit one are
    replaced by a draw from the complement of the user's items. Both steps follow the target
    distribution restricted to their support, so their mixture is exactly

    .. math::
        P(j \mid u) = \frac{w_j [j \notin N_u]}{\sum_{k \notin N_u} w_k}

    The complement is reached through integer cumulative weights: the draw :math:`t` is moved past
    the mass of the user's items that lie below it.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        distribution: ``'uniform'`` (:math:`w = 1`) or ``'popularity'`` (:math:`w` = training
            degree).
        generator: Source of randomness, on the data's device.
        more: Further pairs ``[2, E]`` that count as training interactions.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Raises:
        ValueError: If ``distribution`` is unknown, or if some user has no possible negative.
    """
    def __init__(
        self,
        data: HeteroData,
        distribution: str = 'uniform',
        generator: Optional[torch.Generator] = None,
        more: Optional[Tensor] = None,
        edge_type: Optional[EdgeType] = None,
    ) -> None:
        check_name('negatives', distribution, NEGATIVES)
        self.generator = check_generator('generator', generator)
        data = validate(data, edge_type)
        self.num_users, self.num_items = num_nodes(data)
        if more is not None:
            more = check_pairs('more', more, self.num_users, self.num_items)
        pairs = known_pairs(data)
        pairs = (pairs if more is None else torch.cat([pairs, more], dim=1)).long()
        device = pairs.device
        self.device = device
        self.uniform = distribution == 'uniform'
        weight = (torch.ones(self.num_items, dtype=torch.long, device=device) if self.uniform
                  else degrees(data)[1])
        self.upper = weight.cumsum(0)  # Cumulative weight including the item.
        self.total = int(self.upper[-1])

        self.known = PairSet.of(pairs, self.num_users, self.num_items)
        user, item = self.known.keys // self.num_items, self.known.item
        count = self.known.count
        start = count.cumsum(0) - count
        # Mass of the user's items before this one, and the free mass below it.
        own = weight[item].cumsum(0)
        before_user = torch.cat([own.new_zeros(1), own])[start]
        own_before = own - weight[item] - before_user[user]
        free_below = self.upper[item] - weight[item] - own_before
        self.free_keys = user * (self.total + 1) + free_below
        self.start = start
        own_total = torch.zeros(self.num_users, dtype=torch.long, device=device)
        own_total.index_add_(0, user, weight[item])
        self.own_upper = own - before_user[user]
        self.free = self.total - own_total
        full = (self.free == 0).nonzero().view(-1)
        if full.numel() > 0:
            what = ('with every item' if self.uniform else
                    'with every item that occurs in training')
            raise ValueError(f"'data' has {full.numel()} users who interacted {what} (the first is "
                             f"user {int(full[0])}), so they have no negatives; remove them, or "
                             f"hold out some of their interactions")
        # One bit of every key's hash: most draws are settled without a search. A byte a bit.
        self.filter = None
        if device.type == 'cpu':
            bits = min(_FILTER_BITS, max(10, (16 * len(self.known)).bit_length()))
            self.filter_mask = 2**bits - 1
            self.filter = torch.zeros(2**bits, dtype=torch.bool)
            self.filter[self.known.keys & self.filter_mask] = True

    def _rand_below(self, high: Tensor) -> Tensor:
        r = torch.rand(high.shape, dtype=torch.float64, device=self.device,
                       generator=self.generator)
        return torch.minimum((r * high).long(), high - 1)

    def _item_of(self, mass: Tensor) -> Tensor:
        return mass if self.uniform else torch.searchsorted(self.upper, mass, right=True)

    def _users(self, user: Tensor) -> Tensor:
        user = check_integers('user', user)
        return check_ids('user', user, self.num_users) if reads_values(user) else user

    def complement(self, user: Tensor) -> Tensor:
        r"""One draw from the complement of each user's items, in the shape of ``user``."""
        user = self._users(user)
        mass = self._rand_below(self.free[user])
        place = torch.searchsorted(self.free_keys, user * (self.total + 1) + mass, right=True)
        below = place - self.start[user]
        # `own_upper` of the last of the user's items below the draw; 0 if there is none.
        moved = self.own_upper[(place - 1).clamp(min=0)]
        return self._item_of(mass + moved.where(below > 0, 0))

    def __call__(self, user: Tensor, num_neg: int) -> Tensor:
        r"""Negative items of the users ``[B]``, ``[B, num_neg]``."""
        user = self._users(user)
        check_count('num_neg', num_neg)
        if self.filter is None:  # No host synchronisation on accelerators.
            return self.complement(user.unsqueeze(1).expand(-1, num_neg).contiguous())
        item = torch.randint(self.total, (user.numel(), num_neg), generator=self.generator)
        item = self._item_of(item)
        row = (user * self.num_items).unsqueeze(1)
        suspect = self.filter[(row + item) & self.filter_mask].view(-1).nonzero().view(-1)
        owner = user[suspect // num_neg]
        flat = item.view(-1)
        hit = suspect[self.known.contains(owner, flat[suspect])]
        flat[hit] = self.complement(user[hit // num_neg])
        return item
