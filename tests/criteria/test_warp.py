import pytest
import torch
from criteria_reference import warp as reference

from pyg_advcf.criteria import WARP
from pyg_advcf.criteria.functional import warp


@pytest.mark.parametrize('num_items', [1, 2, 9, 1000])
@pytest.mark.parametrize('margin', [0.1, 1.])
def test_equals_the_loop(num_items, margin):
    pos = torch.randn(40, dtype=torch.float64) + 1
    neg = torch.randn(40, 6, dtype=torch.float64)
    expected = torch.tensor(reference(pos.tolist(), neg.tolist(), num_items, margin),
                            dtype=torch.float64)
    assert expected.eq(0).any() and (num_items == 1 or expected.ne(0).any())
    assert torch.allclose(warp(pos, neg, num_items, margin, 'none'), expected, atol=1e-12)
    assert torch.allclose(WARP(num_items, margin)(pos, neg), expected.mean(), atol=1e-12)


def test_the_place_of_the_first_violation_sets_the_rank():
    harmonic = [sum(1 / k for k in range(1, r + 1)) for r in range(101)]
    for place in range(1, 6):
        neg = torch.full((1, 5), -9., dtype=torch.float64)
        neg[0, place - 1:] = 0.5  # Those that follow do not count, nor how large they are.
        neg[0, place:] += 10
        loss = warp(torch.ones(1, dtype=torch.float64), neg, 101)
        assert float(loss) == pytest.approx(harmonic[100 // place] * 0.5, abs=1e-12)
    assert float(warp(torch.ones(1), torch.full((1, 5), -9.), 101)) == 0


def test_only_the_violating_draw_moves_and_the_weight_is_fixed():
    pos = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    neg = torch.tensor([[-3., -0.5, 2.]], dtype=torch.float64, requires_grad=True)
    warp(pos, neg, 11).backward()
    weight = sum(1 / k for k in range(1, 6))
    assert torch.allclose(neg.grad, torch.tensor([[0., weight, 0.]]).double(), atol=1e-12)
    assert torch.allclose(pos.grad, torch.tensor([-weight]).double(), atol=1e-12)


def test_an_excluded_negative_is_no_draw():
    neg = torch.tensor([[float('-inf'), -9., float('-inf'), 0.]])
    pos = torch.zeros(1)
    assert torch.equal(warp(pos, neg, 9), warp(pos, neg[:, [1, 3]], 9))


def test_bad_arguments():
    with pytest.raises(ValueError, match="'num_items' is 0"):
        WARP(0)
    with pytest.raises(ValueError, match="'margin' is -1"):
        WARP(5, margin=-1)
