import math

import pytest
import torch
import torch.nn.functional as F
from criteria_reference import advinfonce as reference

from pyg_advcf import Batch, Embeddings
from pyg_advcf.criteria import AdvInfoNCE, InfoNCE
from pyg_advcf.criteria.advinfonce import HARDNESS
from pyg_advcf.criteria.functional import advinfonce, bpr, infonce, log_hardness
from pyg_advcf.criteria.hardness import PopularityHardness

B, N = 6, 5


def scores(num_neg=N):
    return (torch.randn(B, dtype=torch.float64, requires_grad=True),
            torch.randn(B, num_neg, dtype=torch.float64, requires_grad=True),
            torch.randn(B, num_neg, dtype=torch.float64, requires_grad=True))


def make_batch():
    return Batch(torch.randint(7, (B, )), torch.randint(9, (B, )), torch.randint(9, (B, N)),
                 torch.arange(B))


@pytest.mark.parametrize('k', [0.5, 1, 64])
def test_equals_the_loop_and_cross_entropy(k):
    pos, neg, raw = scores()
    hardness = log_hardness(raw)
    expected = torch.tensor(reference(pos.tolist(), neg.tolist(), raw.tolist(), k),
                            dtype=torch.float64)
    loss = advinfonce(pos, neg, hardness, k, 'none')
    assert torch.allclose(loss, expected, atol=1e-12)
    logits = torch.cat([pos.view(-1, 1), neg + hardness + math.log(k)], dim=1)
    target = torch.zeros(B, dtype=torch.long)
    assert torch.allclose(loss, F.cross_entropy(logits, target, reduction='none'), atol=1e-12)


def test_without_hardness_it_is_infonce():
    pos, neg, _ = scores()
    zero = torch.zeros_like(neg)
    assert torch.allclose(advinfonce(pos, neg, zero, 1), infonce(pos, neg), atol=1e-12)
    assert torch.allclose(advinfonce(pos, neg, zero, 3), infonce(pos, neg.repeat(1, 3)),
                          atol=1e-12)
    pos, neg, _ = scores(1)
    assert torch.allclose(advinfonce(pos, neg, torch.zeros_like(neg), 1), bpr(pos, neg),
                          atol=1e-12)


@pytest.mark.parametrize('k', [1, 64])
def test_gradients_of_scores_and_hardness(k):
    pos, neg, raw = scores()
    advinfonce(pos, neg, log_hardness(raw), k, 'sum').backward()
    weight = k * (log_hardness(raw) + neg).exp()
    total = pos.exp() + weight.sum(1)
    p_pos, p_neg = pos.exp() / total, weight / total.view(-1, 1)
    assert torch.allclose(pos.grad, -(1 - p_pos), atol=1e-10)
    assert torch.allclose(neg.grad, p_neg, atol=1e-10)
    assert torch.allclose(pos.grad + neg.grad.sum(1), torch.zeros_like(pos), atol=1e-10)
    p = torch.softmax(raw, 1)
    w = p * neg.exp() / (p * neg.exp()).sum(1, keepdim=True)
    assert torch.allclose(raw.grad, (1 - p_pos).view(-1, 1) * (w - p), atol=1e-10)
    assert torch.allclose(raw.grad.sum(1), torch.zeros_like(pos), atol=1e-10)


def test_hardness_identities():
    raw = torch.randn(B, N, dtype=torch.float64)
    hardness, p = log_hardness(raw), torch.softmax(raw, 1)
    assert torch.allclose(hardness.exp().mean(1), torch.ones(B, dtype=torch.float64), atol=1e-12)
    kl = (-(p * N).log()).mean(1)  # KL(P0 || P), P0 = 1 / N.
    assert torch.allclose(hardness.mean(1), -kl, atol=1e-12) and (kl > 0).all()
    assert torch.allclose(log_hardness(raw + 5), hardness, atol=1e-12)
    assert torch.allclose(log_hardness(torch.zeros(B, N)), torch.zeros(B, N), atol=1e-6)


def test_masked_hardness_renormalises():
    raw = torch.randn(2, 4, dtype=torch.float64)
    mask = torch.tensor([[True, True, False, True], [False] * 4])
    hardness = log_hardness(raw, mask)
    assert torch.allclose(hardness[0, [0, 1, 3]], log_hardness(raw[:1, [0, 1, 3]])[0])
    assert hardness[~mask].eq(0).all()


@pytest.mark.parametrize('hardness, sign', [('embed', 1), ('mlp', 1), ('reverse', -1)])
def test_one_step_of_the_adversary(hardness, sign):
    criterion = AdvInfoNCE(7, 9, dim=8, k=4, hardness=hardness).double()
    x = Embeddings(torch.randn(7, 8, dtype=torch.float64, requires_grad=True),
                   torch.randn(9, 8, dtype=torch.float64, requires_grad=True))
    batch, (pos, neg, _) = make_batch(), scores()
    before = criterion(pos, neg, batch, x)
    criterion.adversary_loss(pos, neg, batch, x).backward()
    assert pos.grad is None and neg.grad is None and x.user.grad is None
    with torch.no_grad():
        for p in criterion.parameters():
            p -= 1e-3 * p.grad
        assert sign * float(criterion(pos, neg, batch, x) - before) > 0


@pytest.mark.parametrize('hardness', ['uniform', 'random', 'buckets', 'popularity'])
def test_fixed_hardness_has_nothing_to_learn(hardness):
    popularity = torch.arange(9)
    criterion = AdvInfoNCE(7, 9, hardness=hardness, popularity=popularity).double()
    assert not criterion.adversary_parameters() and not list(criterion.parameters())
    pos, neg, _ = scores()
    loss = criterion(pos, neg, make_batch())
    assert loss.isfinite()
    if hardness == 'uniform':
        assert torch.allclose(loss, advinfonce(pos, neg, torch.zeros_like(neg), 64))
    else:
        assert not torch.allclose(loss, advinfonce(pos, neg, torch.zeros_like(neg), 64))


@pytest.mark.parametrize('hardness', ['embed', 'mlp', 'reverse'])
def test_backward_reaches_only_the_player_whose_loss_it_is(hardness):
    criterion = AdvInfoNCE(7, 9, dim=8, hardness=hardness).double()
    x = Embeddings(torch.randn(7, 8, dtype=torch.float64, requires_grad=True),
                   torch.randn(9, 8, dtype=torch.float64, requires_grad=True))
    batch, (pos, neg, _) = make_batch(), scores()
    assert len(criterion.adversary_parameters()) == len(list(criterion.parameters())) > 0
    criterion(pos, neg, batch, x).backward()
    assert all(p.grad is None for p in criterion.parameters())
    assert x.user.grad is None and x.item.grad is None
    assert pos.grad.ne(0).all() and neg.grad.ne(0).all()
    pos.grad = neg.grad = None
    criterion.adversary_loss(pos, neg, batch, x).backward()
    assert pos.grad is None and neg.grad is None
    assert x.user.grad is None and x.item.grad is None
    found = [p.grad.clone() for p in criterion.parameters()]
    assert all(grad.ne(0).any() for grad in found)
    # The same by hand: an explicit hardness is differentiated.
    loss = criterion(pos, neg, batch, log_hardness=criterion.log_hardness(batch, x))
    loss = loss if hardness == 'reverse' else -loss
    for a, b in zip(found, torch.autograd.grad(loss, list(criterion.parameters()))):
        assert torch.allclose(a, b, atol=1e-14)


@pytest.mark.parametrize('k', [1, 64])
def test_explicit_hardness(k):
    criterion = AdvInfoNCE(7, 9, dim=8, k=k, reduction='none').double()
    batch, (pos, neg, raw) = make_batch(), scores()
    hardness = criterion.log_hardness(batch)
    assert hardness.requires_grad
    expected = criterion(pos, neg, batch)  # With its own hardness, frozen.
    assert torch.equal(criterion(pos, neg, batch, log_hardness=hardness), expected)
    grads = torch.autograd.grad(expected.sum(), (pos, neg))
    explicit = criterion(pos, neg, log_hardness=hardness)  # The batch is not needed then.
    for a, b in zip(grads, torch.autograd.grad(explicit.sum(), (pos, neg), retain_graph=True)):
        assert torch.equal(a, b)
    # The gradient of the hardness, in closed form as in `test_gradients_of_scores_and_hardness`.
    found, = torch.autograd.grad(criterion(pos, neg, log_hardness=log_hardness(raw)).sum(), raw)
    p = torch.softmax(raw, 1)
    weight = k * (log_hardness(raw) + neg).exp()
    p_pos = pos.exp() / (pos.exp() + weight.sum(1))
    w = p * neg.exp() / (p * neg.exp()).sum(1, keepdim=True)
    assert torch.allclose(found, (1 - p_pos).view(-1, 1) * (w - p), atol=1e-10)
    assert torch.autograd.gradcheck(
        lambda r: criterion(pos, neg, log_hardness=log_hardness(r)).sum(), raw)


@pytest.mark.parametrize('hardness', ['embed', 'reverse'])
def test_logged_divergences(hardness):
    criterion = AdvInfoNCE(7, 9, dim=8, k=4, hardness=hardness).double()
    batch, (pos, neg, _) = make_batch(), scores()
    loss, log = criterion.adversary_loss_and_log(pos, neg, batch)
    assert torch.equal(loss, criterion.adversary_loss(pos, neg, batch))
    assert torch.allclose(loss, (1 if hardness == 'reverse' else -1) * criterion(pos, neg, batch))
    p = torch.softmax(criterion.hardness(batch), 1)
    uniform = torch.full_like(p, 1 / N)
    assert list(log) == ['kl_uniform_p', 'kl_p_uniform']
    assert torch.allclose(log['kl_uniform_p'], F.kl_div(p.log(), uniform, reduction='batchmean'))
    assert torch.allclose(log['kl_p_uniform'], F.kl_div(uniform.log(), p, reduction='batchmean'))
    assert not any(value.requires_grad for value in log.values())


def test_features_of_the_mlp_are_four_wide_as_in_the_code_of_the_authors():
    model = AdvInfoNCE(7, 9, dim=8, hardness='mlp').hardness
    assert model.user.weight.shape == model.item.weight.shape == (4, 8)


def test_adversary_l2():
    plain, other = AdvInfoNCE(7, 9, dim=8), AdvInfoNCE(7, 9, dim=8, adversary_l2=0.1)
    other.load_state_dict(plain.state_dict())
    batch = make_batch()
    pos, neg = torch.randn(B), torch.randn(B, N)
    rows = plain.hardness.user(batch.user), plain.hardness.item(batch.neg_item)
    penalty = 0.1 * sum(r.square().sum() for r in rows) / (2 * B)
    difference = other.adversary_loss(pos, neg, batch) - plain.adversary_loss(pos, neg, batch)
    assert torch.allclose(difference, penalty)


def test_bad_arguments():
    known = ', '.join(sorted(HARDNESS))
    with pytest.raises(ValueError, match="'hardness' is 'embedding'.*" + known):
        AdvInfoNCE(7, 9, hardness='embedding')
    with pytest.raises(ValueError, match="'k' is 0"):
        AdvInfoNCE(7, 9, k=0)
    with pytest.raises(ValueError, match=r'degrees\(data\)\[1\]'):
        AdvInfoNCE(7, 9, hardness='popularity')
    with pytest.raises(ValueError, match="needs 'batch'"):
        AdvInfoNCE(7, 9)(torch.zeros(2), torch.zeros(2, 3))
    assert repr(AdvInfoNCE(7, 9)).startswith("AdvInfoNCE(\n  k=64, hardness='embed'")


@pytest.mark.parametrize('a', [-0.5, 0.5, 1.])
def test_a_popularity_exponent_weighs_negatives_by_that_power(a):
    degree = torch.tensor([0, 1, 2, 5, 9, 40, 3, 3, 1])
    criterion = AdvInfoNCE(7, 9, k=4, hardness='popularity', popularity=degree, exponent=a).double()
    (pos, neg, _), batch = scores(), make_batch()
    weight = (degree.double() + 1)**a
    weight = weight[batch.neg_item]
    weight = weight / weight.mean(1, keepdim=True)
    expected = (1 + 4 * (weight * (neg - pos.unsqueeze(1)).exp()).sum(1)).log().mean()
    assert torch.allclose(criterion(pos, neg, batch), expected, atol=1e-5)


def test_the_correction_of_in_batch_negatives_is_a_popularity_exponent():
    degree = torch.arange(9)
    (pos, neg, _), batch = scores(), make_batch()
    corrected = InfoNCE(log_q=0.7, popularity=degree)(pos, neg, batch)
    hard = AdvInfoNCE(7, 9, k=1, hardness='popularity', popularity=degree, exponent=-0.7)
    assert torch.allclose(corrected, hard(pos, neg, batch))
    assert torch.equal(InfoNCE(log_q=0)(pos, neg), InfoNCE()(pos, neg))
    assert not torch.allclose(corrected, InfoNCE()(pos, neg))
    with pytest.raises(ValueError, match="'popularity'"):
        InfoNCE(popularity=torch.tensor([-1.]))
    with pytest.raises(ValueError, match="'log_q' is 0.5, which needs 'popularity'"):
        InfoNCE(log_q=0.5)
    with pytest.raises(ValueError, match="needs 'batch'"):
        InfoNCE(log_q=0.5, popularity=degree)(pos, neg)


def test_corrected_in_batch_negatives_weigh_as_uniform_ones():
    r"""In expectation: every item, drawn by popularity, has the same share of the denominator."""
    torch.manual_seed(0)
    degree = torch.tensor([0, 3, 9, 19])
    drawn = torch.multinomial(degree.double() + 1, 40000, replacement=True)
    model = PopularityHardness(degree, -1.)
    batch = Batch(torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long), drawn,
                  torch.zeros(1, dtype=torch.long))
    weight = log_hardness(model(batch)).exp()[0]
    share = torch.zeros(4).index_add_(0, drawn, weight) / weight.sum()
    assert torch.allclose(share, torch.full((4, ), 0.25), atol=0.02)


@pytest.mark.parametrize('target', [1e-3, 0.1, 1.])
def test_hardness_is_scaled_to_a_divergence(target):
    torch.manual_seed(0)
    criterion = AdvInfoNCE(7, 9, dim=8)
    batches = [make_batch() for _ in range(3)]
    found = criterion.scale_to_kl(target, batches)
    assert found['kl_uniform_p'] == pytest.approx(target, rel=1e-3)
    measured = torch.stack([-criterion.log_hardness(b).mean() for b in batches]).mean()
    assert float(measured) == pytest.approx(target, rel=1e-3)
    assert float(criterion.hardness_scale) == pytest.approx(found['hardness_scale'])
    other = AdvInfoNCE(7, 9, dim=8)
    other.load_state_dict(criterion.state_dict())
    assert torch.equal(other.log_hardness(batches[0]), criterion.log_hardness(batches[0]))
    with pytest.raises(ValueError, match="'batches' is empty"):
        criterion.scale_to_kl(target, [])
    with pytest.raises(ValueError, match="'target' is 0"):
        criterion.scale_to_kl(0, batches)
