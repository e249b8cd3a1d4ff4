import pytest
import torch
from criteria_reference import supcon as reference

from pyg_advcf import Batch
from pyg_advcf.criteria import SupCon
from pyg_advcf.criteria.functional import infonce, supcon


def problem():
    return (torch.randn(12, dtype=torch.float64, requires_grad=True),
            torch.randn(12, 4, dtype=torch.float64, requires_grad=True), torch.randint(5, (12, )))


def test_equals_the_loop():
    pos, neg, user = problem()
    assert len(set(user.tolist())) < 12
    expected = reference(pos.tolist(), neg.tolist(), user.tolist())
    each = supcon(pos, neg, user, reduction='none')
    for u, value in expected.items():
        assert float(each[user == u].mean().detach()) == pytest.approx(value, abs=1e-12)
    assert torch.allclose(supcon(pos, neg, user), each.mean(), atol=1e-12)


def test_one_positive_is_infonce():
    pos, neg, _ = problem()
    user = torch.randperm(12)
    assert torch.allclose(supcon(pos, neg, user, reduction='none'), infonce(pos, neg, 'none'),
                          atol=1e-12)


def test_positives_rival_each_other_but_shared_negatives_count_once():
    pos, neg = torch.zeros(3), torch.zeros(3, 4)
    user = torch.tensor([7, 7, 2])
    batch = Batch(user, torch.arange(3), torch.arange(12).view(3, 4), torch.arange(3))
    each = SupCon('none')(pos, neg, batch).exp()
    assert torch.allclose(each, torch.tensor([10., 10., 5.]))
    each = SupCon('none')(pos, neg, batch._replace(neg_item=torch.arange(4))).exp()
    assert torch.allclose(each, torch.tensor([6., 6., 5.]))


def test_permutation():
    pos, neg, user = problem()
    order = torch.randperm(12)
    assert torch.allclose(supcon(pos[order], neg[order], user[order], reduction='none'),
                          supcon(pos, neg, user, reduction='none')[order], atol=1e-12)
