import pytest
import torch

from pyg_advcf import EDGE_TYPE, interaction_data
from pyg_advcf.baselines import ItemKNN
from pyg_advcf.co_occurrence import interaction_matrix


def naive(data, k, shrink):
    n, m = data['user'].num_nodes, data['item'].num_nodes
    r = torch.zeros(n, m, dtype=torch.float64)
    r[tuple(data[EDGE_TYPE].edge_index)] = 1
    scores = torch.zeros(n, m, dtype=torch.float64)
    for i in range(m):
        weights = []
        for j in range(m):
            common = float((r[:, i] * r[:, j]).sum())
            if j != i and common > 0:
                weights.append((-common / (float(r[:, i].sum() * r[:, j].sum())**0.5 + shrink), j))
        for weight, j in sorted(weights)[:k]:
            scores[:, i] -= r[:, j] * weight
    return scores


@pytest.mark.parametrize('shrink', [0., 3.])
@pytest.mark.parametrize('k', [1, 4, 1000])
def test_equals_a_naive_loop(toy, k, shrink):
    found = ItemKNN(toy, k=k, shrink=shrink).scores(torch.arange(30))
    assert torch.allclose(found.double(), naive(toy, k, shrink), atol=1e-6)


def test_an_item_is_not_its_own_neighbour_and_shrinking_prefers_the_frequent():
    # Item 1 shares 1 of 1 users with item 0's 4; item 2 shares 3 of 3.
    pairs = torch.tensor([[0, 0], [1, 0], [2, 0], [3, 0], [0, 1], [1, 2], [2, 2], [3, 2], [4, 3]])
    data = interaction_data(pairs.t().contiguous(), 5, 4)
    scores = ItemKNN(data, shrink=0.).scores(torch.tensor([4, 0]))
    assert not scores[0].any()
    assert scores[1].tolist() == pytest.approx([1 / 2, 1 / 2, 3 / 12**0.5, 0.])
    shrunk = ItemKNN(data, shrink=10.).scores(torch.tensor([0]))
    assert float(shrunk[0, 2] / shrunk[0, 1]) > float(scores[1, 2] / scores[1, 1])


@pytest.mark.parametrize('kwargs, message', [
    (dict(k=0), "'k' is 0"), (dict(shrink=-1.), "'shrink' is -1"), (dict(k=1.5), "'k' is 1.5")])
def test_errors(toy, kwargs, message):
    with pytest.raises(ValueError, match=message):
        ItemKNN(toy, **kwargs)


def test_implicit_finds_the_same_cosines(toy):
    neighbours = pytest.importorskip('implicit.nearest_neighbours')
    model = neighbours.CosineRecommender(K=40, num_threads=1)
    rows = interaction_matrix(toy[EDGE_TYPE].edge_index, 30, 40)
    model.fit(rows, show_progress=False)
    weights = torch.from_numpy(model.similarity.toarray()).fill_diagonal_(0.)
    found = ItemKNN(toy, k=40, shrink=0.).scores(torch.arange(30))
    assert torch.allclose(found.double(), torch.from_numpy(rows.toarray()) @ weights, atol=1e-6)
