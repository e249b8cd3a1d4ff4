import pytest
import torch

from pyg_advcf import Batch
from pyg_advcf.criteria import BCE, ConstrainedBCE


def make_batch(shared):
    neg = torch.tensor([3, 0, 4]) if shared else torch.tensor([[3, 0, 4], [1, 2, 0]])
    return Batch(torch.tensor([0, 2]), torch.tensor([1, 1]), neg, torch.tensor([0, 1]))


def factors():
    return torch.rand(3).double() + 0.5, torch.rand(5).double() + 0.5


@pytest.mark.parametrize('shared', [True, False])
@pytest.mark.parametrize('reduction', ['mean', 'sum', 'none'])
def test_equal_weights_are_bce(shared, reduction):
    pos, neg = torch.randn(2).double(), torch.randn(2, 3).double()
    neg[0, 1] = float('-inf')
    criterion = ConstrainedBCE(*factors(), (1., 0., 1., 0.), neg_weight=5., reduction=reduction)
    assert torch.allclose(criterion(pos, neg, make_batch(shared)), BCE(5., reduction)(pos, neg),
                          atol=1e-12)


@pytest.mark.parametrize('shared', [True, False])
def test_weights_are_those_of_the_pairs(shared):
    user, item = factors()
    batch = make_batch(shared)
    pos, neg = (torch.randn(shape).double().requires_grad_() for shape in (2, (2, 3)))
    criterion = ConstrainedBCE(user, item, (0.1, 0.2, 0.3, 0.4), neg_weight=5.)
    grads = torch.autograd.grad(criterion(pos, neg, batch), (pos, neg))
    for b in range(2):
        u, i = batch.user[b], batch.item[b]
        weight = 0.1 + 0.2 * user[u] * item[i]
        assert torch.allclose(grads[0][b], -weight * torch.sigmoid(-pos[b]) / 2, atol=1e-12)
        for n in range(3):
            j = batch.neg_item[n] if shared else batch.neg_item[b, n]
            weight = 5 / 3 * (0.3 + 0.4 * user[u] * item[j])
            assert torch.allclose(grads[1][b, n], weight * torch.sigmoid(neg[b, n]) / 2, atol=1e-12)


def test_bad_arguments():
    with pytest.raises(ValueError, match="'weights' is .* needs four numbers"):
        ConstrainedBCE(*factors(), (1., 1.))
    with pytest.raises(ValueError, match="needs 'batch'"):
        ConstrainedBCE(*factors())(torch.zeros(2), torch.zeros(2, 3))
