import torch

from pyg_advcf import Batch


def make(neg_mask=None):
    return Batch(torch.tensor([0, 1]), torch.tensor([3, 4]), torch.tensor([[5, 2], [6, 0]]),
                 torch.tensor([8, 9]), neg_mask)


def test_moves_as_a_whole():
    batch = make().to('meta')
    assert all(t.device.type == 'meta' for t in batch[:4]) and batch.neg_mask is None
    assert make(torch.ones(2, 2, dtype=torch.bool)).to('meta').neg_mask.device.type == 'meta'


def test_excluded_negatives_have_the_lowest_score_and_no_gradient():
    neg = torch.randn(2, 2, requires_grad=True)
    assert make().mask_negatives(neg) is neg
    mask = torch.tensor([[True, False], [False, False]])
    found = make(mask).mask_negatives(neg)
    assert found[0, 0] == neg[0, 0] and found[~mask].isneginf().all()
    assert neg.isfinite().all()  # The scores given are unchanged.
    found[mask].sum().backward()
    assert neg.grad.tolist() == [[1., 0.], [0., 0.]]
