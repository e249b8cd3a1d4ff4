import pytest
import torch

from pyg_advcf import EDGE_TYPE, degrees, interaction_data, split_names
from pyg_advcf.transforms import PopularityShiftSplit


@pytest.fixture(scope='module')
def skewed():
    generator = torch.Generator().manual_seed(0)
    popularity = torch.linspace(2, -2, 100).exp()
    shown = torch.rand(400, 100, generator=generator) < 0.15 * popularity / popularity.mean()
    return interaction_data(shown.nonzero().t().contiguous(), 400, 100)


def test_disjoint_and_complete(skewed):
    data = PopularityShiftSplit(gammas=(200, 10, 2), num_groups=10)(skewed)
    assert split_names(data, 'test') == ['test_gamma200', 'test_gamma10', 'test_gamma2']
    parts = [data[EDGE_TYPE].edge_index] + [data[EDGE_TYPE][f'{s}_edge_label_index']
                                            for s in split_names(data)]
    together = torch.cat(parts, dim=1)
    assert torch.equal(torch.unique(together, dim=1),
                       torch.unique(skewed[EDGE_TYPE].edge_index, dim=1))
    assert together.size(1) == skewed[EDGE_TYPE].edge_index.size(1)
    num_edges = together.size(1)
    assert data[EDGE_TYPE].val_edge_label_index.size(1) == int(0.1 * num_edges)


@pytest.mark.parametrize('gamma', [1, 2, 50])
def test_group_counts(skewed, gamma):
    transform = PopularityShiftSplit(gammas=(gamma, ), num_groups=10, test_ratio=0.05)
    data = transform(skewed)
    num_edges = skewed[EDGE_TYPE].edge_index.size(1)
    # N_i = N_0 gamma^(-(i - 1) / (G - 1)), with N_0 so that the sizes add up to the share.
    powers = [gamma**(-(i - 1) / 9) for i in range(1, 11)]
    wanted = torch.tensor([round(0.05 * num_edges * power / sum(powers)) for power in powers])
    assert abs(int(wanted.sum()) - 0.05 * num_edges) <= 5
    assert (wanted.diff() <= 0).all() and (gamma > 1 or wanted.unique().numel() == 1)
    assert torch.equal(transform.group_sizes(gamma, num_edges), wanted)
    popularity = degrees(skewed)[1]
    group = torch.empty(100, dtype=torch.long)
    group[torch.argsort(popularity, descending=True, stable=True)] = torch.arange(100) // 10
    item = data[EDGE_TYPE][f'test_gamma{gamma}_edge_label_index'][1]
    available = torch.zeros(10, dtype=torch.long).index_add_(0, group, popularity)
    assert torch.equal(torch.bincount(group[item], minlength=10), wanted.minimum(available))


def test_capped_where_a_group_runs_out(skewed):
    data = PopularityShiftSplit(gammas=(1, 1.5), num_groups=10, test_ratio=0.3, val_ratio=0)(skewed)
    assert 'val' not in split_names(data)
    rare = torch.argsort(degrees(skewed)[1])[:10]
    left = torch.isin(data[EDGE_TYPE].edge_index[1], rare)
    assert not left.any()  # The rarest group is used up, and was not overdrawn.


def test_seeded(skewed):
    key = 'test_gamma2_edge_label_index'
    one, two, other = (PopularityShiftSplit((2, ), seed=s)(skewed)[EDGE_TYPE][key]
                       for s in (0, 0, 1))
    assert torch.equal(one, two) and not torch.equal(one, other)


@pytest.mark.parametrize('kwargs, message', [
    (dict(gammas=()), "'gammas'"), (dict(gammas=(0.5, )), 'at least 1'),
    (dict(gammas=(10, 2, 10)), 'each test set needs another one'),
    (dict(test_ratio=0.4), 'leave nothing to train on'),
    (dict(test_ratio=0.1, val_ratio=0.75), 'leave nothing to train on'),
    (dict(num_groups=1), "'num_groups' is 1"),
])
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        PopularityShiftSplit(**kwargs)


def test_bad_data_are_refused(toy):
    twice = interaction_data(torch.tensor([[0, 1], [0, 1]]), 2, 2)
    twice[EDGE_TYPE].edge_index = torch.tensor([[0, 1, 1], [0, 1, 1]])
    with pytest.raises(ValueError, match='edge_index'):
        PopularityShiftSplit()(twice)


def test_split_data_are_refused(toy):
    with pytest.raises(ValueError, match='already holds out'):
        PopularityShiftSplit()(toy)
