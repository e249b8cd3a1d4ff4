import math

import pytest
import torch
import torch.nn.functional as F
from partial import rows_of, scattered

from pyg_advcf import Batch, Dot, Embeddings
from pyg_advcf.criteria import BPR, InfoNCE, InstanceWeighted
from pyg_advcf.criteria.instance_weighted import WeightNetwork
from pyg_advcf.ops import sampled_scores


def problem(num_neg=1, batch=7):
    z = Embeddings(*(torch.randn(n, 4, dtype=torch.float64, requires_grad=True) for n in (6, 9)))
    return z, Batch(torch.randint(6, (batch, )), torch.randint(9, (batch, )),
                    torch.randint(9, (batch, num_neg)), torch.arange(batch))


def test_network_equals_its_formula():
    z, batch = problem(num_neg=3)
    network = WeightNetwork(4).double()
    assert sum(p.numel() for p in network.parameters()) == 5 * 16 + 4
    for b in range(7):
        u, i = z.user[batch.user[b]], z.item[batch.item[b]]
        j = z.item[batch.neg_item[b]].mean(0)
        x = torch.cat([u, i, j, u * i, u * j])
        delta = F.softplus(network.out.weight[0] @ (network.hidden.weight @ x).relu())
        assert torch.allclose(network(z, batch)[b], delta, atol=1e-12)
    assert (network(z, batch) > 0).all()
    with torch.no_grad():
        network.hidden.weight.zero_()
    assert torch.allclose(network(z, batch), torch.tensor(math.log(2)).double())


def test_equal_weights_are_the_criterion_itself():
    for inner, num_neg in ((BPR(), 1), (InfoNCE(), 5)):
        z, batch = problem(num_neg)
        criterion = InstanceWeighted(inner, 4).double()
        pos, neg = sampled_scores(z.user, z.item, *batch[:3])
        with torch.no_grad():
            criterion.network.hidden.weight.zero_()
        assert torch.allclose(criterion(pos, neg, batch, z), inner(pos, neg), atol=1e-12)
        assert inner.reduction == 'mean'  # The one given was copied.


def test_gradient_is_the_weighted_sum_of_gradients():
    z, batch = problem()
    criterion = InstanceWeighted(BPR(), 4).double()
    delta = criterion.network(z, batch).detach()
    weight = delta / delta.mean()

    def losses():
        pos, neg = sampled_scores(z.user, z.item, *batch[:3])
        return pos, neg, F.softplus(neg[:, 0] - pos)

    pos, neg, _ = losses()
    grads = torch.autograd.grad(criterion(pos, neg, batch, z), tuple(z))
    expected = [sum(weight[b] * torch.autograd.grad(losses()[2][b], tuple(z))[side]
                    for b in range(7)) / 7 for side in (0, 1)]
    for a, b in zip(grads, expected):
        assert torch.allclose(a, b, atol=1e-12)


def test_gradcheck_of_the_weights_and_scale():
    z, batch = problem()
    criterion = InstanceWeighted(BPR(), 4).double()
    pos, neg = (t.detach() for t in sampled_scores(z.user, z.item, *batch[:3]))
    hidden = criterion.network.hidden.weight
    grad, = torch.autograd.grad(criterion(pos, neg, batch, z), hidden)
    mean = criterion.network(z, batch).mean().detach()  # Held fixed.
    step = 1e-6
    for index in ((0, 0), (1, 7), (3, 19)):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                hidden[index] += sign * step
                values.append((criterion.network(z, batch) / mean
                               * F.softplus(neg[:, 0] - pos)).mean())
                hidden[index] -= sign * step
        assert float(grad[index]) == pytest.approx(float(values[0] - values[1]) / (2 * step),
                                                   abs=1e-8)
    assert float(criterion.weight(z, batch).mean().detach()) == pytest.approx(1.)


def test_given_weights_reductions_and_state_dict():
    z, batch = problem()
    pos, neg = (t.detach() for t in sampled_scores(z.user, z.item, *batch[:3]))
    weight = torch.rand(7, dtype=torch.float64)
    loss = F.softplus(neg[:, 0] - pos) * weight
    for reduction, expected in (('mean', loss.mean()), ('sum', loss.sum()), ('none', loss)):
        criterion = InstanceWeighted(BPR(), 4, reduction)
        assert torch.allclose(criterion(pos, neg, weight=weight), expected)
    other = InstanceWeighted(BPR(), 4)
    other.load_state_dict(criterion.state_dict())
    assert torch.equal(other.network.out.weight, criterion.network.out.weight)


def test_shared_negatives():
    z, batch = problem()
    shared = batch._replace(neg_item=torch.tensor([2, 4, 4]))
    each = batch._replace(neg_item=torch.tensor([[2, 4, 4]] * 7))
    network = WeightNetwork(4).double()
    assert torch.allclose(network(z, shared), network(z, each))


@pytest.mark.parametrize('neg_item', [None, [2, 4, 4]])
def test_embeddings_of_some_rows_give_the_same(neg_item):
    z = Embeddings(*(torch.randn(n, 4, dtype=torch.float64, requires_grad=True) for n in (14, 20)))
    batch = problem(num_neg=3)[1]
    if neg_item is not None:
        batch = batch._replace(neg_item=torch.tensor(neg_item))
    batch = scattered(batch)
    part, = rows_of(batch, z)
    criterion, results = InstanceWeighted(BPR(), 4).double(), []
    for embeddings in (z, part):
        pos, neg = Dot()(embeddings, batch)
        loss = criterion(pos, neg, batch, embeddings)
        results.append((criterion.network(embeddings, batch), criterion.weight(embeddings, batch),
                        loss, *torch.autograd.grad(loss, (*z, *criterion.parameters()))))
    for whole, found in zip(*results):
        assert torch.allclose(whole, found, atol=1e-12)


def test_negatives_are_those_of_the_criterion():
    assert InstanceWeighted(BPR(), 4).negatives == 'one'
    assert InstanceWeighted(InfoNCE(), 4).negatives == 'many'


def test_bad_arguments():
    with pytest.raises(ValueError, match="needs 'z' and 'batch'"):
        InstanceWeighted(BPR(), 4)(torch.zeros(2), torch.zeros(2, 1))
    with pytest.raises(ValueError, match="'reduction' is 'avg'"):
        InstanceWeighted(BPR(), 4, 'avg')
    with pytest.raises(ValueError, match="'dim' is 0"):
        WeightNetwork(0)


@pytest.mark.parametrize('through_mean', [False, True])
def test_weights_that_underflow_are_finite_still(through_mean):
    # Trained to lower the weighted loss, a network drives all weights towards 0.
    z, batch = problem()
    criterion = InstanceWeighted(BPR(), 4)
    z = Embeddings(z.user.float(), z.item.float())
    with torch.no_grad():
        criterion.network.hidden.weight.fill_(1.)
        criterion.network.out.weight.fill_(-1e3)
    assert (criterion.network(z, batch) == 0).any()
    weight = criterion.weight(z, batch, through_mean)
    grads = torch.autograd.grad(weight.square().sum(), criterion.network.parameters())
    assert weight.isfinite().all() and float(weight.detach().mean()) == pytest.approx(1., abs=1e-5)
    assert all(g.isfinite().all() for g in grads)
