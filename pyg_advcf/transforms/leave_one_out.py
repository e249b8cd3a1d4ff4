r"""Hold-out of one interaction of each user."""
from typing import Optional

from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_bool, check_name, check_seed
from pyg_advcf.interactions import EDGE_TYPE, degrees
from pyg_advcf.transforms.by_time import hold_out, places_from_the_end, times
from pyg_advcf.transforms.interaction_transform import InteractionTransform


class LeaveOneOut(InteractionTransform):
    r"""Holds out the last interaction of each user as ``test``, and the one before as ``val``.

    A user with too few interactions to keep one (fewer than three; without ``val`` fewer than two)
    keeps all of them for training and is in no split, so every user trains.

    Args:
        order: ``'time'``, the ``time`` of the edges, where those at the same time are ordered at
            random; or ``'random'``.
        val: Whether to hold out ``val`` too.
        seed: Seed of the random order.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Raises:
        ValueError: If the data have no times, no user has enough interactions, or a split would be
            overwritten.

    Example:
        >>> from pyg_advcf.datasets import from_frame
        >>> import pandas as pd
        >>> df = pd.DataFrame({'user': [0, 0, 0], 'item': [7, 8, 9], 'time': [3, 1, 2]})
        >>> data = LeaveOneOut()(from_frame(df, time='time').data)
        >>> data['user', 'interacts', 'item'].test_edge_label_index[1]  # Of the item 7.
        tensor([0])
    """
    def __init__(self, order: str = 'time', val: bool = True, seed: int = 0,
                 edge_type: Optional[EdgeType] = None) -> None:
        super().__init__(edge_type)
        self.order = check_name('order', order, ('time', 'random'))
        self.val = check_bool('val', val)
        self.seed = check_seed('seed', seed)

    def apply(self, data: HeteroData) -> HeteroData:
        time = times(data) if self.order == 'time' else None
        place = places_from_the_end(data, self.seed, time)
        names = ('test', 'val') if self.val else ('test', )
        enough = (degrees(data)[0] > len(names))[data[EDGE_TYPE].edge_index[0].long()]
        return hold_out(data, {name: (place == k) & enough for k, name in enumerate(names)})

    def __repr__(self) -> str:
        return f"LeaveOneOut(order='{self.order}', val={self.val}, seed={self.seed})"
