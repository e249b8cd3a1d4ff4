r"""Held-out interactions back into training, for a last training with all that is known."""
from typing import Optional

import torch
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf.interactions import EDGE_TYPE, held_out, num_nodes, split_key
from pyg_advcf.transforms.edges import edge_attributes
from pyg_advcf.transforms.interaction_transform import InteractionTransform


class MergeSplit(InteractionTransform):
    r"""Puts the pairs of a held-out split into the training graph, and removes the split.

    Once validation has chosen a setting and a number of epochs, training anew with both on all
    interactions but the test set is the honest way to figures of the full training set: the test
    set still chooses nothing. A backbone is to be built anew on the result.

    Edge attributes, which held-out pairs do not have, are dropped. Pairs that are in training
    already are not repeated.

    Args:
        split: The split, which is no test set.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Raises:
        ValueError: If the data have no such split, or it is a test set.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> from pyg_advcf.interactions import split_names
        >>> data = SyntheticExposure(num_users=99, num_items=40)[0]
        >>> split_names(MergeSplit('val')(data))
        ['test_iid', 'test_ood']
    """
    def __init__(self, split: str = 'val', edge_type: Optional[EdgeType] = None) -> None:
        super().__init__(edge_type)
        if not isinstance(split, str) or split.startswith('test'):
            raise ValueError(f"'split' is {split!r}, but needs to be a split that is no test set, "
                             f"such as 'val'; what is trained on can't be tested on")
        self.split = split

    def apply(self, data: HeteroData) -> HeteroData:
        store = data[EDGE_TYPE]
        pairs = torch.cat([store.edge_index, held_out(data, self.split)], dim=1)
        for key in edge_attributes(store):
            del store[key]
        del store[split_key(self.split)]
        _, num_items = num_nodes(data)
        keys = torch.unique(pairs[0].long() * num_items + pairs[1])
        store.edge_index = torch.stack([keys // num_items, keys % num_items])
        return data

    def __repr__(self) -> str:
        return f"MergeSplit('{self.split}')"
