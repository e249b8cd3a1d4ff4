import pytest
import torch
from criteria_reference import hinge as reference

from pyg_advcf.criteria import Hinge
from pyg_advcf.criteria.functional import hinge


def test_equals_the_loop():
    pos, neg = torch.randn(6, dtype=torch.float64), torch.randn(6, 5, dtype=torch.float64)
    for margin in (0.3, 1.):
        expected = torch.tensor(reference(pos.tolist(), neg.tolist(), margin), dtype=torch.float64)
        assert torch.allclose(hinge(pos, neg, margin, 'none'), expected, atol=1e-12)
        assert torch.allclose(Hinge(margin)(pos, neg), expected.mean(), atol=1e-12)


def test_identities():
    pos = torch.tensor([3., 3.], requires_grad=True)
    neg = torch.tensor([[2., 1.9], [2.1, -5.]], requires_grad=True)
    each = hinge(pos, neg, 1., 'none')
    assert torch.allclose(each, torch.tensor([0., 0.05]))
    each.sum().backward()
    # Only what violates the margin moves, each by its share of the mean.
    assert torch.allclose(neg.grad, torch.tensor([[0., 0.], [0.5, 0.]]))
    assert torch.allclose(pos.grad, torch.tensor([0., -0.5]))
    assert torch.allclose(hinge(pos + 7, neg + 7, 1., 'none'), each, atol=1e-6)


def test_bad_arguments():
    with pytest.raises(ValueError, match="'margin' is 0"):
        Hinge(0)
