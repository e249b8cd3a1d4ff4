r"""A part of the users."""
from typing import Optional

import torch
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_ratio, check_seed
from pyg_advcf.interactions import EDGE_TYPE, num_nodes, resolve_edge_type, validate
from pyg_advcf.transforms.edges import keep_edges
from pyg_advcf.transforms.interaction_transform import InteractionTransform
from pyg_advcf.transforms.k_core import KCore


class SampleUsers(InteractionTransform):
    r"""Keeps a random share of the users and the items that they trained on, for reduced runs.

    Both are renumbered, as by :class:`KCore`; held-out pairs of items without training
    interactions are dropped.

    Args:
        ratio: Share of the users, above 0 and at most 1.
        seed: Seed of the choice.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Raises:
        ValueError: If ``ratio`` is out of range, or if no interaction is left.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SampleUsers(0.5)(SyntheticExposure(num_users=100, num_items=80)[0])
        >>> data['user'].num_nodes <= 50
        True
    """
    def __init__(self, ratio: float, seed: int = 0,
                 edge_type: Optional[EdgeType] = None) -> None:
        super().__init__(edge_type)
        self.ratio = check_ratio('ratio', ratio, zero=False)
        self.seed = check_seed('seed', seed)

    def forward(self, data: HeteroData) -> HeteroData:
        edge_type = resolve_edge_type(data, self.edge_type)
        interactions = validate(data, edge_type)
        num_users, _ = num_nodes(interactions)
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(num_users, generator=generator)
        user = interactions[EDGE_TYPE].edge_index[0]
        chosen = torch.zeros(num_users, dtype=torch.bool, device=user.device)
        chosen[order[:int(self.ratio * num_users + 1e-9)].to(user.device)] = True
        kept = chosen[user].nonzero().view(-1)
        if kept.numel() == 0:
            raise ValueError(f"'ratio' is {self.ratio}, which keeps no interaction of {num_users} "
                             f"users; raise it")
        return KCore(1, edge_type)(keep_edges(data, kept, edge_type))

    def __repr__(self) -> str:
        return f'SampleUsers(ratio={self.ratio}, seed={self.seed})'
