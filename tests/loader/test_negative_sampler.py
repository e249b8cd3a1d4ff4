import pytest
import torch
from scipy.stats import chisquare

from pyg_advcf import EDGE_TYPE, degrees, interaction_data
from pyg_advcf.loader import NegativeSampler


def expected_distribution(data, user, distribution):
    weight = degrees(data)[1].double()
    weight = torch.ones_like(weight) if distribution == 'uniform' else weight
    edge_index = data[EDGE_TYPE].edge_index
    weight[edge_index[1][edge_index[0] == user]] = 0
    return weight / weight.sum()


@pytest.mark.parametrize('distribution', ['uniform', 'popularity'])
@pytest.mark.parametrize('path', ['filtered', 'complement'])
def test_draws_follow_the_distribution_and_never_hit_a_positive(toy, distribution, path):
    sampler = NegativeSampler(toy, distribution, torch.Generator().manual_seed(3))
    if path == 'complement':  # The path of accelerators.
        sampler.filter = None
    for user in (0, 7, 29):
        draws = sampler(torch.full((2000, ), user), 10).view(-1)
        expected = expected_distribution(toy, user, distribution)
        count = torch.bincount(draws, minlength=40).double()
        assert count[expected == 0].sum() == 0
        support = expected > 0
        assert chisquare(count[support], expected[support] * draws.numel()).pvalue > 1e-3


def test_user_with_all_but_one_item():
    data = interaction_data(torch.tensor([[0, 0, 0, 1], [0, 1, 3, 2]]), 2, 4)
    for filtered in (True, False):
        sampler = NegativeSampler(data)
        if not filtered:
            sampler.filter = None
        assert sampler(torch.zeros(50, dtype=torch.long), 4).eq(2).all()


def test_user_without_interactions():
    data = interaction_data(torch.tensor([[0], [1]]), 3, 4)
    draws = NegativeSampler(data)(torch.full((500, ), 2), 4)
    assert draws.unique().tolist() == [0, 1, 2, 3]


def test_contains_is_exact(toy):
    sampler = NegativeSampler(toy)
    user, item = torch.meshgrid(torch.arange(30), torch.arange(40), indexing='ij')
    expected = torch.zeros(30, 40, dtype=torch.bool)
    expected[tuple(toy[EDGE_TYPE].edge_index)] = True
    assert torch.equal(sampler.known.contains(user, item), expected)


def test_large_random_graph_has_no_hits(toy_factory):
    data = toy_factory(500, 60, 12_000, held_out=False)
    user = torch.randint(500, (4000, ))
    for distribution in ('uniform', 'popularity'):
        sampler = NegativeSampler(data, distribution)
        item = sampler(user, 20)
        assert not sampler.known.contains(user.view(-1, 1).expand_as(item).contiguous(), item).any()
        assert item.min() >= 0 and item.max() < 60


@pytest.mark.parametrize('distribution, message', [
    ('uniform', '1 users who interacted with every item .*user 1'),
    ('popularity', 'with every item that occurs in training .*user 1'),
])
def test_user_with_every_item_is_an_error(distribution, message):
    pairs = torch.tensor([[1, 1, 1, 0], [0, 1, 2, 0]])
    with pytest.raises(ValueError, match=message):
        NegativeSampler(interaction_data(pairs, 2, 3), distribution)


def test_unknown_distribution(toy):
    with pytest.raises(ValueError, match="'negatives' is 'popular'.*Did you mean 'popularity'"):
        NegativeSampler(toy, 'popular')
