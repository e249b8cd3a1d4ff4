import math

import pytest
import torch
from criteria_reference import bce as reference

from pyg_advcf.criteria import BCE
from pyg_advcf.criteria.functional import bce


@pytest.mark.parametrize('weight', [0., 1., 4.])
def test_equals_the_loop(weight):
    pos, neg = torch.randn(6, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64)
    expected = torch.tensor(reference(pos.tolist(), neg.tolist(), weight), dtype=torch.float64)
    assert torch.allclose(bce(pos, neg, weight, 'none'), expected, atol=1e-12)


def test_identities():
    zero = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    loss = bce(zero, torch.zeros(5, 3, dtype=torch.float64))
    assert float(loss.detach()) == pytest.approx(2 * math.log(2), abs=1e-12)
    loss.backward()
    assert torch.allclose(zero.grad, -(1 - torch.sigmoid(zero)) / 5)
    with pytest.raises(ValueError, match="'neg_weight' is -1"):
        BCE(neg_weight=-1)
