import pytest
import torch

from pyg_advcf import EDGE_TYPE, LightGCN, interaction_data
from pyg_advcf.transforms import AddInteractionNoise


def pairs(edge_index):
    return {tuple(p) for p in edge_index.t().tolist()}


def test_counts_disjoint_and_nested(toy):
    held = set().union(*(pairs(toy[EDGE_TYPE][f'{s}_edge_label_index'])
                         for s in ('val', 'test_iid', 'test_ood')))
    before = 0, set()
    for ratio in (0., 0.05, 0.1, 0.2, 1.):
        noisy = AddInteractionNoise(ratio, seed=3)(toy)
        store = noisy[EDGE_TYPE]
        added = store.edge_index[:, store.injected]
        assert added.size(1) == int(200 * ratio) == len(pairs(added))
        assert torch.equal(store.edge_index[:, ~store.injected], toy[EDGE_TYPE].edge_index)
        assert not pairs(added) & (held | pairs(toy[EDGE_TYPE].edge_index))
        assert before[1] <= pairs(added)
        before = ratio, pairs(added)
        for split in ('val', 'test_iid', 'test_ood'):
            assert torch.equal(store[f'{split}_edge_label_index'],
                               toy[EDGE_TYPE][f'{split}_edge_label_index'])
    assert 'injected' not in toy[EDGE_TYPE]
    other = AddInteractionNoise(0.2, seed=4)(toy)[EDGE_TYPE]
    assert pairs(other.edge_index[:, other.injected]) != pairs(
        AddInteractionNoise(0.2, seed=3)(toy)[EDGE_TYPE].edge_index[:, 200:])


def test_noisy_data_can_be_trained_on(toy):
    noisy = AddInteractionNoise(0.2)(toy)
    assert LightGCN(noisy, dim=4).graph.size(1) == 240
    assert repr(AddInteractionNoise(0.2)) == 'AddInteractionNoise(ratio=0.2, seed=0)'


def test_bad_arguments(toy):
    with pytest.raises(ValueError, match="'ratio' is -0.1"):
        AddInteractionNoise(-0.1)
    with pytest.raises(ValueError, match="'ratio' is 9, which asks for 1800 pairs, but only"):
        AddInteractionNoise(9)(toy)
    full = interaction_data(torch.cartesian_prod(torch.arange(2), torch.arange(3)).t(), 2, 3)
    with pytest.raises(ValueError, match='only 0 are unobserved'):
        AddInteractionNoise(0.5)(full)
    toy[EDGE_TYPE].time = torch.arange(200)
    with pytest.raises(ValueError, match="the attribute 'time'"):
        AddInteractionNoise(0.1)(toy)
