import math

import pytest
import torch
import torch.nn.functional as F
from partial import rows_of, scattered

from pyg_advcf import Batch, Dot, Embeddings
from pyg_advcf.criteria import BPR, AdvInfoNCE, InfoNCE, InstanceWeighted, anchored_weights
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
    step = 1e-6
    for index in ((0, 0), (1, 7), (3, 19)):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                hidden[index] += sign * step
                delta = criterion.network(z, batch)  # The mean moves with the weights.
                values.append((delta * F.softplus(neg[:, 0] - pos)).sum() / delta.sum())
                hidden[index] -= sign * step
        assert float(grad[index]) == pytest.approx(float(values[0] - values[1]) / (2 * step),
                                                   abs=1e-8)
    assert float(criterion.weight(z, batch).mean().detach()) == pytest.approx(1.)


def test_the_scale_of_the_weights_does_not_change_the_loss():
    z, batch = problem()
    criterion = InstanceWeighted(BPR(), 4).double()
    pos, neg = sampled_scores(z.user, z.item, *batch[:3])
    log_weight, shift = criterion.network.log_weight, torch.zeros((), dtype=torch.float64)
    shift.requires_grad_()
    loss = criterion(pos, neg, batch, z)
    criterion.network.log_weight = lambda *args: log_weight(*args) + shift
    scaled = criterion(pos, neg, batch, z)
    slope, = torch.autograd.grad(scaled, shift)
    assert abs(float(slope)) < 1e-12
    with torch.no_grad():
        shift.fill_(-3.)
    assert torch.allclose(criterion(pos, neg, batch, z), loss, atol=1e-12)


def test_loss_is_the_weighted_sum_over_the_sum_of_the_weights():
    z, batch = problem()
    criterion = InstanceWeighted(BPR(), 4).double()
    pos, neg = sampled_scores(z.user, z.item, *batch[:3])
    delta = criterion.network(z, batch)
    expected = (delta * F.softplus(neg[:, 0] - pos)).sum() / delta.sum()
    found = criterion(pos, neg, batch, z)
    inputs = [*z, *criterion.parameters()]
    for a, b in zip((found, *torch.autograd.grad(found, inputs, retain_graph=True)),
                    (expected, *torch.autograd.grad(expected, inputs))):
        assert torch.allclose(a, b, atol=1e-12)


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


def test_the_criterion_gets_the_batch():
    z, batch = problem(num_neg=3)
    inner = AdvInfoNCE(6, 9, dim=4).double()
    criterion = InstanceWeighted(inner, 4).double()
    pos, neg = sampled_scores(z.user, z.item, *batch[:3])
    with torch.no_grad():
        criterion.network.hidden.weight.zero_()
    assert torch.allclose(criterion(pos, neg, batch, z), inner(pos, neg, batch), atol=1e-12)


def test_reset_draws_all_weights_again():
    network = WeightNetwork(4)
    before = [p.detach().clone() for p in network.parameters()]
    network.reset_parameters()
    assert not any(torch.equal(p, old) for p, old in zip(network.parameters(), before))


@pytest.mark.parametrize('prefer, sign', [('easy', 1.), ('hard', -1.)])
def test_anchored_weights_equal_a_loop(prefer, sign):
    weights = (torch.rand(5, dtype=torch.float64) + 0.1).requires_grad_()
    losses = torch.rand(5, dtype=torch.float64, requires_grad=True)
    total, expected = sum(weights), 0.
    for w, loss in zip(weights, losses.tolist()):
        p = w / total
        expected = expected + sign * p * loss + 0.7 * p * (5 * p).log()
    found = anchored_weights(weights, losses, 0.7, prefer)
    assert torch.allclose(found, expected, atol=1e-12)
    grad, = torch.autograd.grad(expected, weights)
    found.backward()
    assert torch.allclose(weights.grad, grad, atol=1e-12) and losses.grad is None


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


def test_weights_that_underflow_are_finite_still():
    z, batch = problem()
    criterion = InstanceWeighted(BPR(), 4)
    z = Embeddings(z.user.float(), z.item.float())
    with torch.no_grad():
        criterion.network.hidden.weight.fill_(1.)
        criterion.network.out.weight.fill_(-1e3)
    assert (criterion.network(z, batch) == 0).any()
    weight = criterion.weight(z, batch)
    grads = torch.autograd.grad(weight.square().sum(), criterion.network.parameters())
    assert weight.isfinite().all() and float(weight.detach().mean()) == pytest.approx(1., abs=1e-5)
    assert all(g.isfinite().all() for g in grads)
