import math

import pytest
import torch

from pyg_advcf.criteria.grouping import first_occurrence, group_logsumexp, group_sum


def test_equals_loops():
    ids = torch.randint(5, (30, ))
    group, x = first_occurrence(ids), torch.randn(30, dtype=torch.float64)
    for b in range(30):
        members = [k for k in range(30) if ids[k] == ids[b]]
        assert float(group_sum(x, group)[b]) == pytest.approx(sum(float(x[k]) for k in members))
        assert float(group_logsumexp(x, group)[b]) == pytest.approx(
            math.log(sum(math.exp(x[k]) for k in members)))


def test_extremes_and_gradients():
    group = torch.tensor([0, 1, 0, 1])
    x = torch.tensor([1e4, -1e4, 1e4, -3e37], requires_grad=True)
    total = group_logsumexp(x, group)
    assert torch.allclose(total, torch.tensor([1e4 + math.log(2), -1e4] * 2))
    total.sum().backward()
    assert torch.allclose(x.grad, torch.tensor([1., 2., 1., 0.]))
    x = torch.randn(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: group_logsumexp(x, group), x)
    assert torch.autograd.gradgradcheck(lambda x: group_logsumexp(x, group), x)
    assert group_sum(x[:0], group[:0]).shape == (0, )
