import math

import pytest
import torch
import torch.nn.functional as F
from criteria_reference import dcl as reference

from pyg_advcf.criteria.functional import dcl, infonce


def scores(num_neg=5):
    return (torch.randn(6, dtype=torch.float64, requires_grad=True),
            torch.randn(6, num_neg, dtype=torch.float64, requires_grad=True))


def test_equals_the_loop():
    pos, neg = scores()
    expected = torch.tensor(reference(pos.tolist(), neg.tolist()), dtype=torch.float64)
    assert torch.allclose(dcl(pos, neg, 'none'), expected, atol=1e-12)


def test_identities():
    pos, neg = scores()
    loss = dcl(pos, neg, 'none')
    assert torch.allclose(F.softplus(loss), infonce(pos, neg, 'none'), atol=1e-12)
    assert (loss < infonce(pos, neg, 'none')).all()
    assert float(dcl(pos + 100, neg).detach()) < 0
    loss.sum().backward()
    assert torch.allclose(neg.grad, neg.softmax(1), atol=1e-12)
    assert torch.allclose(pos.grad, -torch.ones(6, dtype=torch.float64))
    assert float(dcl(torch.zeros(2), torch.zeros(2, 7))) == pytest.approx(math.log(7))


def test_a_row_without_negatives_adds_nothing():
    pos, neg = scores()
    masked = neg.masked_fill(torch.arange(6).view(-1, 1) == 2, float('-inf'))
    each = dcl(pos, masked, 'none')
    each.sum().backward()
    assert each[2] == 0 and pos.grad[2] == 0 and pos.grad[3] == -1
