r"""What all baselines share: the pairs that they are fitted from, scores, recommendation."""
from collections.abc import Sequence
from typing import Optional, Union

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf import ranking
from pyg_advcf._checks import check_ids, check_user_ids
from pyg_advcf.interactions import (
    candidate_mask,
    known_pairs,
    num_nodes,
    resolve_edge_type,
    validate,
)
from pyg_advcf.pairs import PairSet
from pyg_advcf.ranking import Recommendations
from pyg_advcf.record import Recorded


class Baseline(Recorded):
    r"""Base class: fitted by its constructor, a :class:`~pyg_advcf.ranking.Scorer` after it.

    A baseline is fitted from the training pairs together with those of the split ``outer``: only
    bi-level training has a use for holding these back. So what it is fitted from is what a ranking
    leaves out.

    A subclass fits itself in its constructor, from ``self.known``, and implements ``_scores``.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Attributes:
        num_users: Number of users.
        num_items: Number of items.
        known: The pairs that it is fitted from, a :class:`~pyg_advcf.pairs.PairSet` on the CPU.
        candidate_mask: The items that :meth:`recommend` may return; ``None`` if all.
    """
    def __init__(self, data: HeteroData, edge_type: Optional[EdgeType] = None) -> None:
        self.edge_type = resolve_edge_type(data, edge_type)
        data = validate(data, self.edge_type)
        self.num_users, self.num_items = num_nodes(data)
        self.known = PairSet.of(known_pairs(data).cpu(), self.num_users, self.num_items)
        mask = candidate_mask(data)
        self.candidate_mask = None if mask is None else mask.cpu()

    @property
    def pairs(self) -> Tensor:
        r"""The pairs of ``known``, ``[2, E]``."""
        return torch.stack(self.known.of_users(torch.arange(self.num_users)))

    def _scores(self, users: Tensor) -> Tensor:
        r"""Scores of all items, ``[B, num_items]``, for checked ids on the CPU."""
        raise NotImplementedError

    def scores(self, users: Tensor) -> Tensor:
        r"""Scores of all items for the users ``[B]``: ``[B, num_items]``, on their device.

        Raises:
            ValueError: If an id is out of range.
        """
        users = check_ids('users', users, self.num_users, ('B', ))
        return self._scores(users.cpu()).to(users.device)

    def recommend(
        self,
        user_ids: Union[Tensor, Sequence[int]],
        k: int = 10,
        batch_size: int = ranking.BATCH_SIZE,
        progress: bool = True,
    ) -> Recommendations:
        r"""The ``k`` best items of each user, known items (and non-candidates) left out.

        Args:
            user_ids: ``[B]``, integers of any width, or a list of them.
            k: Length of the lists.
            batch_size: Users scored at once; memory grows with ``batch_size * num_items`` for each
                thread of PyTorch, which all rank. The lists do not depend on their number.
            progress: Whether to show a progress bar, if ranking takes longer than some seconds.

        Raises:
            ValueError: If a user id is out of range, or ``k`` or ``batch_size`` is below 1.
        """
        users = check_user_ids('user_ids', user_ids, self.num_users).cpu()
        return ranking.recommend(self, users, k, self.known, self.candidate_mask, batch_size,
                                 progress)

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}({self.num_users} users, {self.num_items} items)'
