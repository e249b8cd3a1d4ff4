import pytest
import torch

from pyg_advcf import EDGE_TYPE, MF, evaluate, interaction_data
from pyg_advcf.metrics import evaluate_by_user
from pyg_advcf.transforms import ColdStartSplit


def data():
    # User u has 10 (u + 1) items of 60.
    pairs = torch.tensor([(u, i) for u in range(6) for i in range(10 * (u + 1))]).t()
    return interaction_data(pairs.contiguous(), 6, 60)


def test_shares_and_cold_users():
    split = ColdStartSplit()(data())
    store = split[EDGE_TYPE]
    for name, share in (('edge_index', 6), ('val_edge_label_index', 1),
                        ('test_edge_label_index', 3)):
        assert torch.bincount(store[name][0]).tolist() == [share * (u + 1) for u in range(6)]
    assert split['user'].cold_mask.tolist() == [True] * 3 + [False] * 3
    # Their test interactions are 3, 6, 9 and so on; with as many as the threshold nobody is cold.
    bound = ColdStartSplit(threshold=9)(data())
    assert bound['user'].cold_mask.tolist() == [True] * 2 + [False] * 4
    assert repr(ColdStartSplit()) == 'ColdStartSplit(val=0.1, test=0.3, threshold=10, seed=0)'
    with pytest.raises(ValueError, match="'threshold' = 2 test interactions"):
        ColdStartSplit(threshold=2)(data())
    with pytest.raises(ValueError, match="'threshold' is 0"):
        ColdStartSplit(threshold=0)


def test_users_without_test_interactions_are_not_cold():
    # Of one interaction nothing is held out, and the last user has none at all.
    pairs = torch.tensor([(0, i) for i in range(10)] + [(1, 0)]).t()
    split = ColdStartSplit()(interaction_data(pairs.contiguous(), 3, 10))
    assert split['user'].cold_mask.tolist() == [True, False, False]


def test_metrics_of_groups_are_means_over_their_users():
    split = ColdStartSplit()(data())
    model, cold = MF(split, dim=4), split['user'].cold_mask
    each = evaluate(model, split, k=5, metrics=['recall'], per_user=True)['test']
    groups = evaluate_by_user(model, split, {'cold': cold, 'all': torch.ones_like(cold)}, k=5,
                              metrics=['recall'])
    assert groups['cold'] == {'test': {'recall@5': float(each['recall@5'][:3].mean())}}
    assert groups['all'] == evaluate(model, split, k=5, metrics=['recall'])
    with pytest.raises(ValueError, match="no user of the group 'none'"):
        evaluate_by_user(model, split, {'none': torch.zeros_like(cold)})
    with pytest.raises(ValueError, match=r"groups\['ids'\]' has dtype torch.int64"):
        evaluate_by_user(model, split, {'ids': torch.arange(6)})
