r"""Random hold-out of interactions."""
from typing import Optional

import torch
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_bool, check_positive, check_seed
from pyg_advcf.interactions import EDGE_TYPE, degrees, split_key
from pyg_advcf.transforms.edges import keep_edges
from pyg_advcf.transforms.interaction_transform import InteractionTransform


class RandomSplit(InteractionTransform):
    r"""Splits interactions off the training graph, at random.

    The pairs are removed from the graph, together with their edge attributes. A ratio of 0 leaves
    an existing split as it is: ``RandomSplit(val=0.1)`` cuts a validation split out
    of the training graph of a dataset that has its own test set.

    Args:
        val: Share held out as ``val``.
        test: Share held out as ``test``.
        per_user: ``True``: of each user's :math:`d` interactions, :math:`\lfloor r d \rfloor` per
            split, so every user keeps at least one. ``False``: of all interactions together.
        seed: Seed of the choice.
        outer: Share held out as ``outer``, for :class:`~pyg_advcf.training.BilevelStep`.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Raises:
        ValueError: If the ratios do not leave a training share, or a split would be empty or
            overwritten.

    Example:
        >>> from pyg_advcf.datasets import from_frame
        >>> import pandas as pd
        >>> df = pd.DataFrame({'user': [0] * 10, 'item': range(10)})
        >>> data = RandomSplit(val=0.1, test=0.2)(from_frame(df).data)
        >>> store = data['user', 'interacts', 'item']
        >>> store.edge_index.size(1), store.val_edge_label_index.size(1)
        (7, 1)
    """
    def __init__(
        self,
        val: float = 0.1,
        test: float = 0.,
        per_user: bool = True,
        seed: int = 0,
        outer: float = 0.,
        edge_type: Optional[EdgeType] = None,
    ) -> None:
        super().__init__(edge_type)
        for name, ratio in (('val', val), ('test', test), ('outer', outer)):
            check_positive(name, ratio, zero=True)
        if not 0 < val + test + outer < 1:
            raise ValueError(f"'val' is {val}, 'test' is {test} and 'outer' is {outer}, but their "
                             f"sum needs to be above 0 and below 1")
        self.ratio = {'val': val, 'test': test, 'outer': outer}
        self.per_user = check_bool('per_user', per_user)
        self.seed = check_seed('seed', seed)

    def apply(self, data: HeteroData) -> HeteroData:
        edge_index = data[EDGE_TYPE].edge_index
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(edge_index.size(1), generator=generator).to(edge_index.device)
        if self.per_user:
            # Shuffled, then stably grouped by user: `place` counts along each user's list.
            order = order[torch.argsort(edge_index[0][order], stable=True)]
            count = degrees(data)[0]
            user = edge_index[0][order]
            place = torch.arange(order.numel(), device=order.device) - (
                count.cumsum(0) - count)[user]
            total = count[user].double()
        else:
            place = torch.arange(order.numel(), device=order.device)
            total = place.new_full((1, ), order.numel()).double()
        # The small term keeps 0.1 * 10 from falling below 1 by rounding.
        held, taken = {}, torch.zeros_like(place)
        for name, ratio in self.ratio.items():
            if ratio == 0:
                continue
            until = taken + (ratio * total + 1e-9).floor()
            chosen = (place >= taken) & (place < until)
            taken = until
            key = split_key(name)
            if key in data[EDGE_TYPE]:
                raise ValueError(f"'data' already has a split '{name}'; pass {name}=0 to keep it")
            held[key] = edge_index[:, order[chosen].sort()[0]]
            if held[key].size(1) == 0:
                raise ValueError(f"'{name}' is {ratio}, which holds out no interaction"
                                 f"{' of any user' if self.per_user else ''}; raise it"
                                 f"{' or pass per_user=False' if self.per_user else ''}")
        keep = order[place >= taken].sort()[0]
        data = keep_edges(data, keep)
        for key, pairs in held.items():
            data[EDGE_TYPE][key] = pairs
        return data

    def __repr__(self) -> str:
        ratios = ', '.join(f'{name}={ratio}' for name, ratio in self.ratio.items())
        return f'RandomSplit({ratios}, per_user={self.per_user}, seed={self.seed})'
