import pytest
import torch
from criteria_reference import bsl as reference

from pyg_advcf.criteria import BSL
from pyg_advcf.criteria.functional import bsl, infol1o


def problem():
    return (torch.rand(12, dtype=torch.float64) * 2 - 1,
            torch.rand(12, 4, dtype=torch.float64) * 2 - 1, torch.randint(5, (12, )))


@pytest.mark.parametrize('temperatures', [(0.1, 0.1), (0.3, 0.05), (2., 1.)])
def test_equals_the_loop(temperatures):
    pos, neg, user = problem()
    expected = reference(pos.tolist(), neg.tolist(), user.tolist(), *temperatures)
    each = bsl(pos, neg, user, *temperatures, 'none')
    for b, u in enumerate(user.tolist()):
        assert float(each[b]) == pytest.approx(expected[u], abs=1e-12)


def test_one_positive_is_a_multiple_of_infol1o():
    pos, neg, _ = problem()
    for t in (0.1, 2.):
        assert torch.allclose(bsl(pos, neg, torch.arange(12), t, t, 'none'),
                              t * infol1o(pos / t, neg / t, 'none'), atol=1e-12)


def test_large_temperatures_are_means():
    pos, neg, _ = problem()
    user = torch.zeros(12, dtype=torch.long)
    assert torch.allclose(bsl(pos, neg, user, 1e6, 1e6), neg.mean() - pos.mean(), atol=1e-5)
    assert torch.allclose(bsl(pos, neg, user, 1e-4, 1e-4), neg.max() - pos.max(), atol=1e-3)


def test_negatives_of_a_user_are_pooled_over_rows():
    pos, neg, user = torch.zeros(2), torch.zeros(2, 2), torch.zeros(2, dtype=torch.long)
    neg[0] = float('-inf')
    neg[1, 0] = 1.
    one = bsl(pos[:1], neg[1:], user[:1], 0.1, 0.1)
    assert torch.allclose(bsl(pos, neg, user, 0.1, 0.1, 'none'), one)


def test_bad_arguments():
    with pytest.raises(ValueError, match="'pos_temperature' is 0"):
        BSL(0)
    with pytest.raises(ValueError, match="'neg_temperature' is -1"):
        BSL(neg_temperature=-1)
