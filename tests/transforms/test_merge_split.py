import pytest
import torch

from pyg_advcf import EDGE_TYPE, held_out, interaction_data, split_names
from pyg_advcf.transforms import MergeSplit, RandomSplit


def pairs(index):
    return set(map(tuple, index.t().tolist()))


def test_split_and_merge_is_nothing(toy):
    whole = RandomSplit(val=0.3)(MergeSplit('val')(toy)) if 'val' in split_names(
        toy) else RandomSplit(val=0.3)(toy)
    before = pairs(whole[EDGE_TYPE].edge_index) | pairs(held_out(whole, 'val'))
    others = {name: held_out(whole, name).clone() for name in split_names(whole, 'test')}
    merged = MergeSplit()(whole)
    assert pairs(merged[EDGE_TYPE].edge_index) == before
    assert merged[EDGE_TYPE].edge_index.size(1) == len(before)
    assert 'val' not in split_names(merged)
    for name, index in others.items():
        assert torch.equal(held_out(merged, name), index)


def test_edge_attributes_are_dropped_and_known_pairs_not_repeated():
    data = interaction_data(torch.tensor([[0, 1], [0, 1]]), 2, 2,
                            outer=torch.tensor([[0, 1], [1, 1]]))
    data[EDGE_TYPE].time = torch.tensor([3, 4])
    merged = MergeSplit('outer')(data)
    assert pairs(merged[EDGE_TYPE].edge_index) == {(0, 0), (0, 1), (1, 1)}
    assert merged[EDGE_TYPE].edge_index.size(1) == 3 and 'time' not in merged[EDGE_TYPE]


def test_a_test_set_is_not_trained_on(toy):
    with pytest.raises(ValueError, match='no test set'):
        MergeSplit('test_iid')
    with pytest.raises(ValueError, match="'outer'"):
        MergeSplit('outer')(interaction_data(torch.tensor([[0], [0]]), 1, 1))
