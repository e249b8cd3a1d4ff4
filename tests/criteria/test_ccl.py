import pytest
import torch
from criteria_reference import ccl as reference

from pyg_advcf.criteria import CCL
from pyg_advcf.criteria.functional import ccl


@pytest.mark.parametrize('weight', [1., 200.])
@pytest.mark.parametrize('margin', [0.2, 1., -0.5])
def test_equals_the_loop(weight, margin):
    pos, neg = (torch.rand(s, dtype=torch.float64) * 2 - 1 for s in ((6, ), (6, 5)))
    expected = torch.tensor(reference(pos.tolist(), neg.tolist(), weight, margin),
                            dtype=torch.float64)
    assert torch.allclose(CCL(weight, margin, 'none')(pos, neg), expected, atol=1e-12)


def test_identities():
    pos, neg = torch.ones(3), torch.full((3, 4), 0.4)
    assert float(ccl(pos, neg, 100., 0.4)) == 0  # Aligned, and all within the margin.
    neg[0, 0] = 0.8
    # The weight is that of the mean over the negatives.
    assert float(ccl(pos, neg, 100., 0.4)) == pytest.approx(100 * 0.4 / 4 / 3)
    neg = neg.requires_grad_()
    ccl(pos, neg).backward()
    assert neg.grad.ne(0).nonzero().tolist() == [[0, 0]]


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"'margin' is 2, .* in \[-1, 1\]"):
        CCL(margin=2)
    with pytest.raises(ValueError, match="'weight' is -1"):
        CCL(weight=-1)
