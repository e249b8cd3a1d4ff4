r"""Sets of user-item pairs: what is known of a user, and what a ranking leaves out."""
from functools import cached_property
from typing import Optional

import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from pyg_advcf._checks import check_count, check_integers, check_pairs
from pyg_advcf.ops.bounds import check_id_type, check_ids, check_pattern
from pyg_advcf.ops.structure import structure


class PairSet:
    r"""A set of user-item pairs, grouped by user.

    The negative sampler, the ranking, the evaluation and the masks of in-batch negatives all ask
    it which items a user is known to have interacted with.

    Args:
        indptr: Where each user's items begin and end, ``[num_users + 1]``.
        item: The items, grouped by user, in rising order.
        num_items: Number of items.

    Raises:
        ValueError: If ``indptr`` does not ascend from 0 to the number of pairs, or an item is out
            of range. Users and items that are asked for are checked too, on CPU.

    Example:
        >>> known = PairSet.of(torch.tensor([[0, 0, 2], [1, 4, 0]]), num_users=3, num_items=5)
        >>> known.contains(torch.tensor([0, 1]), torch.tensor([4, 4]))
        tensor([ True, False])
        >>> known.of_users(torch.tensor([2, 0]))  # Row 0 is user 2.
        (tensor([0, 1, 1]), tensor([0, 1, 4]))
    """
    def __init__(self, indptr: Tensor, item: Tensor, num_items: int) -> None:
        check_count('num_items', num_items, minimum=0)
        check_id_type('item', item, 1)
        check_pattern(indptr, item, num_items, item.device, ('indptr', 'item'))
        self.indptr, self.item, self.num_items = indptr, item, num_items

    @classmethod
    def of(cls, pairs: Tensor, num_users: int, num_items: int) -> 'PairSet':
        r"""The set of the pairs ``[2, E]``, which may repeat.

        Raises:
            ValueError: If they are not of that shape, or an id is out of range.
        """
        check_count('num_users', num_users, minimum=0)
        check_count('num_items', num_items, minimum=0)
        pairs = check_pairs('pairs', pairs, num_users, num_items)
        return cls.from_keys(torch.unique(pairs[0] * num_items + pairs[1]), num_users, num_items)

    @classmethod
    def from_graph(cls, graph: EdgeIndex) -> 'PairSet':
        r"""The edges of a graph of :func:`pyg_advcf.interaction_graph`; shares its memory."""
        forms = structure(graph)
        if forms.repeats:
            return cls.of(graph.as_tensor(), *forms.size)
        return cls(*forms.pattern(False), forms.size[1])

    @classmethod
    def from_keys(cls, keys: Tensor, num_users: int, num_items: int) -> 'PairSet':
        r"""From the sorted, unique ``user * num_items + item`` of the pairs."""
        bounds = torch.arange(num_users + 1, device=keys.device) * num_items
        found = cls(torch.searchsorted(keys, bounds), keys % num_items, num_items)
        found.__dict__['keys'] = keys
        return found

    @cached_property
    def keys(self) -> Tensor:
        r"""The sorted, unique ``user * num_items + item`` of the pairs, int64.

        Raises:
            ValueError: If the items of a user do not rise.
        """
        count = self.indptr.diff()
        user = torch.repeat_interleave(torch.arange(count.numel(), device=count.device), count)
        keys = user * self.num_items + self.item
        if (keys[1:] <= keys[:-1]).any():
            raise ValueError("'item' needs to rise strictly among the items of each user; make the "
                             "set with 'PairSet.of'")
        return keys

    def __len__(self) -> int:
        return self.item.numel()

    @property
    def num_users(self) -> int:
        r"""Number of users."""
        return self.indptr.numel() - 1

    @property
    def count(self) -> Tensor:
        r"""Number of pairs of every user, ``[num_users]``."""
        return self.indptr.diff()

    # Beyond their range the key of one pair would be that of another.

    def _users(self, user: Tensor, dim: Optional[int] = 1) -> Tensor:
        return check_ids('user', check_integers('user', user), self.num_users, dim,
                         self.item.device)

    def _items(self, argument: str, item: Tensor, dim: Optional[int] = 1) -> Tensor:
        return check_ids(argument, check_integers(argument, item), self.num_items, dim,
                         self.item.device)

    def contains(self, user: Tensor, item: Tensor) -> Tensor:
        r"""Whether the pairs ``(user, item)`` are in the set, in their common shape."""
        user, item = self._users(user, None), self._items('item', item, None)
        try:
            key = user * self.num_items + item
        except RuntimeError:
            raise ValueError(f"'user' and 'item' have shapes {list(user.shape)} and "
                             f"{list(item.shape)}, which have no common one") from None
        if len(self) == 0:
            return torch.zeros_like(key, dtype=torch.bool)
        place = torch.searchsorted(self.keys, key).clamp_(max=self.keys.numel() - 1)
        return self.keys[place] == key

    def of_users(self, user: Tensor) -> tuple[Tensor, Tensor]:
        r"""``(row, item)`` of all pairs of the users ``[B]``, where ``row`` counts along them."""
        user = self._users(user)
        start, count = self.indptr[user], self.indptr[user + 1] - self.indptr[user]
        row = torch.repeat_interleave(torch.arange(user.numel(), device=user.device), count)
        first = torch.cumsum(count, 0) - count
        offset = torch.arange(row.numel(), device=user.device) - first[row]
        return row, self.item[start[row] + offset].long()

    def among(self, user: Tensor, pool: Tensor) -> Tensor:
        r"""Which items of one pool the users are paired with, ``[B, P]``.

        Args:
            user: ``[B]``.
            pool: ``[P]``; may repeat.

        Example:
            >>> known = PairSet.of(torch.tensor([[0, 0, 1], [0, 1, 1]]), 2, 3)
            >>> known.among(torch.tensor([1, 0]), torch.tensor([1, 2, 0]))
            tensor([[ True, False, False],
                    [ True, False,  True]])
        """
        user, pool = self._users(user), self._items('pool', pool)
        if user.device.type == 'cpu':
            return self._among_by_users(user, pool)
        # On accelerators every pair is looked up, which needs no synchronisation.
        return self.contains(user.unsqueeze(1), pool.unsqueeze(0))

    def _among_by_users(self, user: Tensor, pool: Tensor) -> Tensor:
        r"""Goes through the few items of the users instead of all ``B * P`` pairs."""
        row, known = self.of_users(user)
        value, order = torch.sort(pool)
        first = torch.searchsorted(value, known)
        count = torch.searchsorted(value, known, right=True) - first
        # An item that the pool repeats has as many columns.
        offset = torch.arange(int(count.sum()), device=pool.device)
        offset = offset - torch.repeat_interleave(count.cumsum(0) - count, count)
        column = order[torch.repeat_interleave(first, count) + offset]
        mask = torch.zeros(user.numel(), pool.numel(), dtype=torch.bool, device=pool.device)
        mask[torch.repeat_interleave(row, count), column] = True
        return mask

    def union(self, *others: 'PairSet') -> 'PairSet':
        r"""The pairs of any of the sets."""
        keys = torch.unique(torch.cat([self.keys, *(other.keys for other in others)]))
        return PairSet.from_keys(keys, self.num_users, self.num_items)

    def minus(self, other: 'PairSet') -> 'PairSet':
        r"""The pairs of this set that are not in ``other``."""
        keys = self.keys[~torch.isin(self.keys, other.keys, assume_unique=True)]
        return PairSet.from_keys(keys, self.num_users, self.num_items)

    def where(self, mask: Tensor) -> 'PairSet':
        r"""The pairs whose item is marked in ``mask [num_items]``."""
        return PairSet.from_keys(self.keys[mask[self.keys % self.num_items]], self.num_users,
                                 self.num_items)
