r"""Test sets of graded popularity."""
from collections.abc import Sequence
from typing import Optional

import torch
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_count, check_positive, check_seed, shown
from pyg_advcf.interactions import EDGE_TYPE, degrees, is_split_key, split_key
from pyg_advcf.transforms.edges import keep_edges
from pyg_advcf.transforms.interaction_transform import InteractionTransform


class PopularityShiftSplit(InteractionTransform):
    r"""Cuts disjoint test sets of falling popularity skew, as for the Tencent data of `AdvInfoNCE
    <https://arxiv.org/abs/2310.18700>`_.

    Items are sorted by falling popularity into ``num_groups`` equal groups. For each
    :math:`\gamma` in turn, from what the earlier ones left, :math:`N_i = N_0 \gamma^{-(i-1) /
    (G-1)}` interactions of group :math:`i` are drawn without replacement (all, where fewer are
    left), with :math:`N_0` such that the expected size is ``test_ratio`` of all interactions.
    :math:`\gamma = 1` is a uniform test set over groups, a large one follows popularity. The rest
    is split into training and ``val``.

    Args:
        gammas: One test set each, ``test_gamma200`` and so on.
        test_ratio: Nominal share of each test set.
        val_ratio: Share of *all* interactions held out as ``val``; 60:10 with training in the
            paper.
        num_groups: Number of groups, :math:`G \geq 2`.
        seed: Seed of the draws.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Raises:
        ValueError: If a ratio or ``gamma`` is out of range, the data already have held-out
            splits, a test set would be empty, or nothing would be left to train on.

    Example:
        >>> from pyg_advcf import interaction_data, split_names
        >>> pairs = (torch.rand(100, 50) < 0.3).nonzero().t()
        >>> data = PopularityShiftSplit(gammas=(10, 2))(interaction_data(pairs, 100, 50))
        >>> split_names(data)
        ['test_gamma10', 'test_gamma2', 'val']
    """
    def __init__(
        self,
        gammas: Sequence[float] = (200, 10, 2),
        test_ratio: float = 0.1,
        val_ratio: float = 0.1,
        num_groups: int = 50,
        seed: int = 0,
        edge_type: Optional[EdgeType] = None,
    ) -> None:
        super().__init__(edge_type)
        if not isinstance(gammas, (tuple, list)) or not gammas:
            raise ValueError(f"'gammas' is {shown(gammas)}, but needs to be a list of numbers of "
                             f"at least 1")
        self.gammas = tuple(gammas)
        for gamma in self.gammas:
            if check_positive('gammas', gamma) < 1:
                raise ValueError(f"'gammas' is {self.gammas}, but needs numbers of at least 1")
        if len({f'{g:g}' for g in self.gammas}) < len(self.gammas):
            raise ValueError(f"'gammas' is {self.gammas}, but each test set needs another one")
        check_positive('test_ratio', test_ratio)
        check_positive('val_ratio', val_ratio, zero=True)
        if len(self.gammas) * test_ratio + val_ratio >= 1:
            raise ValueError(f"{len(self.gammas)} test sets of {test_ratio} and 'val_ratio' "
                             f"{val_ratio} leave nothing to train on; lower them")
        self.test_ratio, self.val_ratio = test_ratio, val_ratio
        self.seed = check_seed('seed', seed)
        self.num_groups = check_count('num_groups', num_groups, minimum=2)

    def group_sizes(self, gamma: float, num_edges: int) -> torch.Tensor:
        r"""The wanted number of interactions per group, before capping, ``[num_groups]``."""
        share = gamma**(-torch.arange(self.num_groups, dtype=torch.float64) /
                        (self.num_groups - 1))
        return (self.test_ratio * num_edges * share / share.sum()).round().long()

    def apply(self, data: HeteroData) -> HeteroData:
        store = data[EDGE_TYPE]
        taken = [key for key in store.keys() if is_split_key(key)]
        if taken:
            raise ValueError(f"'data' already holds out {taken}; apply this to unsplit data")
        edge_index = store.edge_index
        num_edges = edge_index.size(1)
        popularity = degrees(data)[1]
        order = torch.argsort(popularity, descending=True, stable=True)
        group = torch.empty_like(order)
        position = torch.arange(order.numel(), device=order.device)
        group[order] = position * self.num_groups // order.numel()
        generator = torch.Generator().manual_seed(self.seed)
        # Interactions shuffled, then grouped: each draw takes the next ones of its group.
        shuffled = torch.randperm(num_edges, generator=generator).to(edge_index.device)
        edge_group = group[edge_index[1][shuffled]]
        shuffled = shuffled[torch.argsort(edge_group, stable=True)]
        size = torch.bincount(edge_group, minlength=self.num_groups)
        start = size.cumsum(0) - size
        used = torch.zeros_like(size)
        place = torch.arange(num_edges, device=edge_index.device) - start.repeat_interleave(size)
        label = place.new_full((num_edges, ), -1)
        for number, gamma in enumerate(self.gammas):
            wanted = self.group_sizes(gamma, num_edges).to(size.device)
            stop = torch.minimum(used + wanted, size)
            begin, end = (t.repeat_interleave(size) for t in (used, stop))
            label[(place >= begin) & (place < end)] = number
            used = stop
        rest = shuffled[label < 0]
        rest = rest[torch.randperm(rest.numel(), generator=generator).to(rest.device)]
        num_val = int(self.val_ratio * num_edges + 1e-9)
        if rest.numel() <= num_val:
            raise ValueError(f"the test sets and 'val_ratio' {self.val_ratio} leave nothing to "
                             f"train on; lower them")
        held: dict[str, Optional[torch.Tensor]] = {}
        for number, gamma in enumerate(self.gammas):
            pairs = edge_index[:, shuffled[label == number]]
            if pairs.size(1) == 0:
                raise ValueError(f"the test set of 'gammas' = {gamma:g} would be empty: of "
                                 f"{num_edges} interactions, the sets before it and rounding to "
                                 f"{self.num_groups} groups leave it none; raise 'test_ratio', or "
                                 f"lower 'num_groups'")
            held[split_key(f'test_gamma{gamma:g}')] = pairs
        if num_val > 0:
            held[split_key('val')] = edge_index[:, rest[:num_val]]
        data = keep_edges(data, rest[num_val:].sort()[0])
        for key, pairs in held.items():
            data[EDGE_TYPE][key] = pairs
        return data

    def __repr__(self) -> str:
        return (f'PopularityShiftSplit(gammas={list(self.gammas)}, test_ratio={self.test_ratio}, '
                f'val_ratio={self.val_ratio}, num_groups={self.num_groups}, seed={self.seed})')
