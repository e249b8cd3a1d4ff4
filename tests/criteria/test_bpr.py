import math

import pytest
import torch
from criteria_reference import bpr as reference

from pyg_advcf.criteria.functional import bpr


@pytest.mark.parametrize('num_neg', [1, 4])
def test_equals_the_loop(num_neg):
    pos, neg = torch.randn(6, dtype=torch.float64), torch.randn(6, num_neg, dtype=torch.float64)
    expected = torch.tensor(reference(pos.tolist(), neg.tolist()), dtype=torch.float64)
    assert torch.allclose(bpr(pos, neg, 'none'), expected, atol=1e-12)


def test_identities():
    pos = torch.randn(6, dtype=torch.float64, requires_grad=True)
    neg = torch.randn(6, 1, dtype=torch.float64)
    assert torch.allclose(bpr(pos + 3, neg + 3), bpr(pos, neg), atol=1e-12)
    assert float(bpr(neg.view(-1), neg)) == pytest.approx(math.log(2), abs=1e-12)
    bpr(pos, neg).backward()
    assert torch.allclose(pos.grad, -torch.sigmoid(neg.view(-1) - pos) / 6, atol=1e-12)
