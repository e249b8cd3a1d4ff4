import math

import pytest
import torch
import torch.nn.functional as F
from criteria_reference import bc as reference

from pyg_advcf import Batch, Embeddings
from pyg_advcf.criteria import BCLoss
from pyg_advcf.criteria.functional import bc, infonce


def problem(size=8, num_neg=4):
    batch = Batch(torch.randint(6, (size, )), torch.randint(9, (size, )),
                  torch.randint(9, (size, num_neg)), torch.arange(size))
    pos, neg = ((torch.rand(s, dtype=torch.float64) * 2 - 1).requires_grad_()
                for s in ((size, ), (size, num_neg)))
    return pos, neg, batch


def make(**kwargs):
    return BCLoss(torch.arange(6), torch.arange(9) % 4, dim=5, **kwargs).double()


def tables(criterion):
    r"""The branch of `make`, with a row for each node: its degrees number its rows."""
    return Embeddings(criterion.branch.user.weight,
                      criterion.branch.item.weight[torch.arange(9) % 4])


def test_equals_the_loop():
    pos, neg, batch = problem(40)
    criterion = make(temperature=0.3, reduction='none')
    p = tables(criterion)
    margin = [1 - torch.sigmoid(p.user[u] @ p.item[i]).item()
              for u, i in zip(batch.user, batch.item)]
    expected = reference(pos.tolist(), neg.tolist(), margin, 0.3)
    assert any(math.acos(c) + m > math.pi for c, m in zip(pos.tolist(), margin))
    assert torch.allclose(criterion(pos, neg, batch), torch.tensor(expected).double(), atol=1e-12)


def test_no_margin_is_infonce_and_the_loss_rises_with_it():
    pos, neg, _ = problem()
    assert torch.allclose(bc(pos, neg, torch.zeros(8), 0.2), infonce(pos / 0.2, neg / 0.2),
                          atol=1e-12)
    losses = torch.stack([bc(pos, neg, torch.full((8, ), m), 0.2, 'none')
                          for m in torch.linspace(0, 4, 30)])
    rising = losses[1:] >= losses[:-1] - 1e-12
    assert rising.all()  # Also where the angle would pass pi.
    highest = infonce(torch.full((8, ), -5.).double(), neg / 0.2, 'none')
    assert torch.allclose(losses[-1], highest, atol=1e-6)


def test_branch_loss_is_infonce_on_buckets():
    _, neg, batch = problem()
    criterion = make(branch_temperature=0.3)
    p = tables(criterion)
    scores = [F.cosine_similarity(p.user[batch.user].unsqueeze(1), p.item[ids], dim=-1) / 0.3
              for ids in (batch.item.view(-1, 1), batch.neg_item)]
    expected = infonce(scores[0][:, 0], scores[1])
    assert torch.allclose(criterion.branch_loss(batch), expected, atol=1e-12)
    mask = torch.ones(8, 4, dtype=torch.bool)
    mask[:, 1] = False
    kept = infonce(scores[0][:, 0], scores[1][:, [0, 2, 3]])
    assert torch.allclose(criterion.branch_loss(batch._replace(neg_mask=mask)), kept, atol=1e-12)


def test_the_loss_does_not_reach_the_branch():
    pos, neg, batch = problem()
    criterion = make()
    criterion(pos, neg, batch).backward()
    assert pos.grad.ne(0).any()
    assert all(p.grad is None for p in criterion.parameters())
    criterion.branch_loss(batch).backward()
    assert all(p.grad.ne(0).any() for p in criterion.parameters())


def test_gradcheck():
    pos, neg, _ = problem()
    margin = torch.rand(8, dtype=torch.float64) / 2
    pos = (pos.detach() * 0.8).requires_grad_()  # Away from the bound on the margin.
    assert torch.autograd.gradcheck(lambda p, n: bc(p, n, margin, 0.3), (pos, neg))
    assert torch.autograd.gradgradcheck(lambda p, n: bc(p, n, margin, 0.3), (pos, neg))


def test_bad_arguments():
    with pytest.raises(ValueError, match="'branch_temperature' is 0"):
        make(branch_temperature=0)
    with pytest.raises(ValueError, match="'temperature' is -1"):
        make(temperature=-1)
