import math

import torch
from criteria_reference import infol1o as reference

from pyg_advcf.criteria.functional import dcl, infol1o


def test_equals_the_loop_and_dcl_minus_log_n():
    pos, neg = torch.randn(6, dtype=torch.float64), torch.randn(6, 5, dtype=torch.float64)
    expected = torch.tensor(reference(pos.tolist(), neg.tolist()), dtype=torch.float64)
    assert torch.allclose(infol1o(pos, neg, 'none'), expected, atol=1e-12)
    assert torch.allclose(infol1o(pos, neg), dcl(pos, neg) - math.log(5), atol=1e-12)
    assert torch.allclose(infol1o(pos, neg), infol1o(pos, neg.repeat(1, 3)), atol=1e-12)


def test_excluded_negatives_do_not_count_in_n():
    neg = torch.tensor([[1., float('-inf')], [float('-inf')] * 2])
    assert torch.allclose(infol1o(torch.zeros(2), neg, 'none'), torch.tensor([1., 0.]))
