r"""Splits that leave many users with little history."""
from typing import Optional

import torch
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_count, check_ratio
from pyg_advcf.interactions import EDGE_TYPE, num_nodes, split_key
from pyg_advcf.transforms.interaction_transform import InteractionTransform
from pyg_advcf.transforms.random_split import RandomSplit


class ColdStartSplit(InteractionTransform):
    r"""Holds a large share of every user's history out, and marks the cold users.

    As in the cold-start comparison of ACCF: 60 % of each user's interactions are trained on, and
    users with fewer than ten *test* interactions count as cold. (The wording of the source is
    ambiguous; training and test counts are proportional here, so both readings order users alike.)
    ``data['user'].cold_mask`` marks them, ``[num_users]``;
    :func:`pyg_advcf.metrics.evaluate_by_user` averages over them.

    Args:
        val: Share of each user's interactions held out as ``val``.
        test: Share held out as ``test``.
        threshold: Users with at least one and fewer than this many test interactions are cold.
        seed: Seed of the choice.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Raises:
        ValueError: As :class:`RandomSplit`, or if no user is cold.

    Example:
        >>> import pandas as pd
        >>> from pyg_advcf.datasets import from_frame
        >>> df = pd.DataFrame({'user': [0] * 50 + [1] * 10, 'item': [*range(50), *range(10)]})
        >>> data = ColdStartSplit()(from_frame(df).data)
        >>> data['user'].cold_mask
        tensor([False,  True])
    """
    def __init__(
        self,
        val: float = 0.1,
        test: float = 0.3,
        threshold: int = 10,
        seed: int = 0,
        edge_type: Optional[EdgeType] = None,
    ) -> None:
        super().__init__(edge_type)
        check_ratio('test', test, zero=False, one=False)
        self.split = RandomSplit(val, test, per_user=True, seed=seed)
        self.threshold = check_count('threshold', threshold)

    def apply(self, data: HeteroData) -> HeteroData:
        data = self.split(data)
        pairs = data[EDGE_TYPE][split_key('test')]
        held = torch.bincount(pairs[0].long(), minlength=num_nodes(data)[0])
        data['user'].cold_mask = (held > 0) & (held < self.threshold)
        if not data['user'].cold_mask.any():
            raise ValueError(f"no user has fewer than 'threshold' = {self.threshold} test "
                             f"interactions; raise it")
        return data

    def __repr__(self) -> str:
        ratio = self.split.ratio
        return (f"ColdStartSplit(val={ratio['val']}, test={ratio['test']}, "
                f"threshold={self.threshold}, seed={self.split.seed})")
