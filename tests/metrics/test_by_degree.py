import math

import pytest
import torch

from pyg_advcf import EDGE_TYPE, MF, degrees, evaluate, interaction_data
from pyg_advcf.metrics import evaluate_by_degree


@pytest.mark.parametrize('split', ['test_ood', 'val'])
def test_equals_brute_force(toy, split):
    model = MF(toy, dim=8)
    store = toy[EDGE_TYPE]
    pairs, train, val = (store[key] for key in (f'{split}_edge_label_index', 'edge_index',
                                                'val_edge_label_index'))
    degree = degrees(toy)[1]
    scores = model.x.user.detach() @ model.x.item.detach().t()
    scores[train[0], train[1]] = -math.inf
    if split != 'val':
        scores[val[0], val[1]] = -math.inf
    found = evaluate_by_degree(model, toy, (0, 5, math.inf), split, k=7, metrics=['recall'])
    for name, (low, high) in {'[0, 5)': (0, 5), '[5, inf)': (5, math.inf)}.items():
        recalls = []
        for user in range(30):
            truth = {int(i) for u, i in pairs.t() if int(u) == user
                     and low <= degree[int(i)] < high}
            if truth:
                top = scores[user].topk(7).indices.tolist()
                recalls.append(len(truth & set(top)) / len(truth))
        assert found[name]['recall@7'] == pytest.approx(sum(recalls) / len(recalls))


def test_one_group_is_the_whole_and_the_data_stay(toy):
    model, names = MF(toy, dim=8), set(toy[EDGE_TYPE].keys())
    only = toy.clone()
    del only[EDGE_TYPE].test_iid_edge_label_index
    whole = evaluate(model, only, 'test_ood')['test_ood']
    assert evaluate_by_degree(model, toy, (0, math.inf), 'test_ood') == {'[0, inf)': whole}
    assert set(toy[EDGE_TYPE].keys()) == names
    assert evaluate_by_degree(model, toy, (1000, 2000), 'test_ood') == {}


def test_a_group_that_was_trained_on_is_absent():
    # The test pairs of the popular item 0 are in training too; those of item 1 are not.
    train = torch.tensor([[0, 1, 2, 0], [0, 0, 0, 2]])
    data = interaction_data(train, 3, 3, test=torch.tensor([[0, 1], [0, 1]]))
    found = evaluate_by_degree(MF(data, dim=2), data, (0, 2, 10), k=1)
    assert list(found) == ['[0, 2)']
    both = evaluate_by_degree(MF(data, dim=2), data, (0, 2, 10), k=1, protocol='official')
    assert list(both) == ['[0, 2)', '[2, 10)']


def test_bad_arguments(toy):
    model = MF(toy, dim=8)
    for bounds in ([5], [5, 5], [9, 3]):
        with pytest.raises(ValueError, match="'bounds' is"):
            evaluate_by_degree(model, toy, bounds, 'test_ood')
    with pytest.raises(ValueError, match="'split' is 'test'"):
        evaluate_by_degree(model, toy)
