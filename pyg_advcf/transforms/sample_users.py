r"""A part of the users."""
import torch
from torch_geometric.data import HeteroData
from torch_geometric.transforms import BaseTransform

from pyg_advcf._checks import check_ratio, check_seed
from pyg_advcf.interactions import EDGE_TYPE, num_nodes, validate
from pyg_advcf.transforms.edges import keep_edges
from pyg_advcf.transforms.k_core import KCore


class SampleUsers(BaseTransform):
    r"""Keeps a random share of the users and the items that they trained on, for reduced runs.

    Both are renumbered, as by :class:`KCore`; held-out pairs of items without training
    interactions are dropped.

    Args:
        ratio: Share of the users, above 0 and at most 1.
        seed: Seed of the choice.

    Raises:
        ValueError: If ``ratio`` is out of range, or if no interaction is left.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SampleUsers(0.5)(SyntheticExposure(num_users=100, num_items=80)[0])
        >>> data['user'].num_nodes <= 50
        True
    """
    def __init__(self, ratio: float, seed: int = 0) -> None:
        self.ratio = check_ratio('ratio', ratio, zero=False)
        self.seed = check_seed('seed', seed)

    def forward(self, data: HeteroData) -> HeteroData:
        validate(data)
        num_users, _ = num_nodes(data)
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(num_users, generator=generator)
        user = data[EDGE_TYPE].edge_index[0]
        chosen = torch.zeros(num_users, dtype=torch.bool, device=user.device)
        chosen[order[:int(self.ratio * num_users + 1e-9)].to(user.device)] = True
        kept = chosen[user].nonzero().view(-1)
        if kept.numel() == 0:
            raise ValueError(f"'ratio' is {self.ratio}, which keeps no interaction of {num_users} "
                             f"users; raise it")
        return KCore(1)(keep_edges(data, kept))

    def __repr__(self) -> str:
        return f'SampleUsers(ratio={self.ratio}, seed={self.seed})'
