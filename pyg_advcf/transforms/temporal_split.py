r"""Hold-out of the latest interactions."""
from typing import Optional, Union

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_bool, check_name, check_positive, check_seed
from pyg_advcf.interactions import EDGE_TYPE, degrees, split_key
from pyg_advcf.transforms.by_time import hold_out, places_from_the_end, times
from pyg_advcf.transforms.interaction_transform import InteractionTransform


class TemporalSplit(InteractionTransform):
    r"""Splits the latest interactions off the training graph, by the ``time`` of the edges.

    By default two points in time divide all interactions: what is at or after the second is
    ``test``, what is between the two ``val``. Each point is the earliest one from which at most the
    given share remains, so interactions at the same time stay together. With ``per_user`` they are
    the last of each user: of :math:`d` interactions, :math:`\lfloor r d \rfloor` per split, so
    every user keeps at least one; those at the same time are ordered at random.

    Users who first occur after the first point have nothing to train on: their held-out pairs are
    dropped, or kept with ``new_users='keep'``. Items without training interactions stay.

    Args:
        val: Share held out as ``val``; 0 for none.
        test: Share held out as ``test``, the latest; 0 for none.
        per_user: Whether the shares are those of each user, not of all interactions together.
        new_users: ``'drop'`` or ``'keep'``: held-out pairs of users without training interactions.
        seed: Seed of the order of one user's interactions at the same time.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Raises:
        ValueError: If the shares leave nothing to train on, the data have no times, or a split
            would be empty or overwritten.

    Example:
        >>> from pyg_advcf.datasets import from_frame
        >>> import pandas as pd
        >>> df = pd.DataFrame({'user': [0] * 10, 'item': range(10), 'time': range(10)})
        >>> data = TemporalSplit(val=0.1, test=0.2)(from_frame(df, time='time').data)
        >>> data['user', 'interacts', 'item'].test_edge_label_index[1]
        tensor([8, 9])
    """
    def __init__(
        self,
        val: float = 0.1,
        test: float = 0.1,
        per_user: bool = False,
        new_users: str = 'drop',
        seed: int = 0,
        edge_type: Optional[EdgeType] = None,
    ) -> None:
        super().__init__(edge_type)
        for name, ratio in (('val', val), ('test', test)):
            check_positive(name, ratio, zero=True)
        if not 0 < val + test < 1:
            raise ValueError(f"'val' is {val} and 'test' is {test}, but their sum needs to be "
                             f"above 0 and below 1")
        self.ratio = {'test': test, 'val': val}  # From the end.
        self.per_user = check_bool('per_user', per_user)
        self.new_users = check_name('new_users', new_users, ('drop', 'keep'))
        self.seed = check_seed('seed', seed)

    def apply(self, data: HeteroData) -> HeteroData:
        time = times(data)
        if self.per_user:
            place = places_from_the_end(data, self.seed, time)
            total: Union[Tensor, int] = degrees(data)[0][
                data[EDGE_TYPE].edge_index[0].long()].double()
        else:  # How many interactions are as late or later: those of one time stay together.
            ascending = torch.sort(time)[0]
            place = time.numel() - 1 - torch.searchsorted(ascending, time)
            total = time.numel()
        chosen, begin, share = {}, torch.zeros_like(place), 0.
        for name, ratio in self.ratio.items():
            if ratio == 0:
                continue
            share += ratio
            if self.per_user:
                end = begin + torch.floor(ratio * total + 1e-9).long()
            else:  # The small term keeps 0.1 * 10 from falling below 1 by rounding.
                end = torch.full_like(place, int(share * total + 1e-9))
            chosen[name] = (place >= begin) & (place < end)
            begin = end
        data = hold_out(data, chosen)
        store = data[EDGE_TYPE]
        if self.new_users == 'drop':
            trained = degrees(data)[0] > 0
            for name in chosen:
                pairs = store[split_key(name)]
                store[split_key(name)] = pairs[:, trained[pairs[0].long()]]
                if store[split_key(name)].size(1) == 0:
                    raise ValueError(f"all users of the split '{name}' are without training "
                                     f"interactions; hold out less, or pass new_users='keep'")
        return data

    def __repr__(self) -> str:
        return (f"TemporalSplit(val={self.ratio['val']}, test={self.ratio['test']}, "
                f"per_user={self.per_user}, new_users='{self.new_users}', seed={self.seed})")
