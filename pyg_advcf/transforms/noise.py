r"""Injected false interactions."""
from typing import Optional

import torch
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_positive, check_seed
from pyg_advcf.interactions import (
    EDGE_TYPE,
    num_nodes,
    split_key,
    split_names,
)
from pyg_advcf.transforms.edges import edge_attributes
from pyg_advcf.transforms.interaction_transform import InteractionTransform

_ROUND = 2**16  # Pairs drawn at once; the same for every ratio, so that the sets are nested.


class AddInteractionNoise(InteractionTransform):
    r"""Adds :math:`\lfloor r |O| \rfloor` distinct unobserved pairs to the training graph.

    Users and items are drawn uniformly. Held-out pairs are never injected, and validation and test
    sets stay as they are. With one seed, the pairs of a smaller ratio are among those of a larger
    one. ``data['user', 'interacts', 'item'].injected`` marks them, ``[E]``.

    Args:
        ratio: :math:`r \geq 0`; 0.05 to 0.2 in the literature.
        seed: Seed of the draw.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Raises:
        ValueError: If ``ratio`` is negative, if there are not that many unobserved pairs, or if
            the interactions have attributes that an injected one would lack.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=99, num_items=80)[0]
        >>> noisy = AddInteractionNoise(0.2)(data)
        >>> old, new = (d['user', 'interacts', 'item'].edge_index.size(1) for d in (data, noisy))
        >>> new - old == old // 5
        True
    """
    def __init__(self, ratio: float, seed: int = 0,
                 edge_type: Optional[EdgeType] = None) -> None:
        super().__init__(edge_type)
        self.ratio = check_positive('ratio', ratio, zero=True)
        self.seed = check_seed('seed', seed)

    def apply(self, data: HeteroData) -> HeteroData:
        store = data[EDGE_TYPE]
        num_users, num_items = num_nodes(data)
        edge_index = store.edge_index
        num_edges = edge_index.size(1)
        for key in edge_attributes(store):
            raise ValueError(f"the interactions have the attribute '{key}', which injected ones "
                             f"would lack; delete it first")
        # The small term keeps 0.1 * 30 from falling below 3 by rounding.
        count = int(self.ratio * num_edges + 1e-9)
        held_out = (store[split_key(split)] for split in split_names(data))
        taken = torch.cat([edge_index, *held_out], dim=1)
        taken = torch.unique(taken[0].long() * num_items + taken[1]).cpu()
        free = num_users * num_items - taken.numel()
        if count > free // 2:
            raise ValueError(f"'ratio' is {self.ratio}, which asks for {count} pairs, but only "
                             f"{free} are unobserved, of which at most half are injected; lower "
                             f"it")
        generator = torch.Generator().manual_seed(self.seed)
        chosen = taken.new_empty(0)
        while chosen.numel() < count:
            drawn = torch.randint(num_users * num_items, (_ROUND, ), generator=generator)
            drawn = torch.cat([chosen, drawn[~torch.isin(drawn, taken)]])
            # The first of equal pairs, in the order of the draw.
            order = torch.argsort(drawn, stable=True)
            first = torch.ones_like(drawn, dtype=torch.bool)
            first[1:] = drawn[order][1:] != drawn[order][:-1]
            chosen = drawn[order[first].sort()[0]]
        chosen = chosen[:count].to(edge_index.device)
        pairs = torch.stack([chosen // num_items, chosen % num_items]).to(edge_index.dtype)
        store.edge_index = torch.cat([edge_index, pairs], dim=1)
        store.injected = torch.arange(store.edge_index.size(1),
                                      device=edge_index.device) >= num_edges
        return data

    def __repr__(self) -> str:
        return f'AddInteractionNoise(ratio={self.ratio}, seed={self.seed})'
