import pytest
import torch

from pyg_advcf import Batch
from pyg_advcf.criteria import XIR
from pyg_advcf.criteria.functional import bir

M = 9


def problem(criterion, size=6):
    batch = Batch(torch.randint(5, (size, )), torch.randint(M, (size, )), torch.zeros(0).long(),
                  torch.arange(size))
    batch = batch._replace(neg_item=criterion.pool(batch))
    shape = (size, batch.neg_item.numel())
    return (*(torch.randn(s, dtype=torch.float64, requires_grad=True)
              for s in ((size, ), shape)), batch)


def make(**kwargs):
    return XIR(torch.arange(M), **{'cache_size': 4, **kwargs}).double()


def seeded_call(criterion, *args):
    torch.manual_seed(5)
    return criterion(*args)


def test_without_weight_it_is_bir_with_half_the_draws():
    criterion = make(weight=0.)
    pos, neg, batch = problem(criterion)
    torch.manual_seed(5)
    expected = bir(pos, neg[:, :6], criterion.log_q[batch.item], num_draws=3)
    assert torch.allclose(seeded_call(criterion, pos, neg, batch), expected, atol=1e-12)


def test_is_the_weighted_sum_of_both():
    criterion = make()
    pos, neg, batch = problem(criterion)
    losses = []
    for weight in (0., 1., 0.3):
        other = make(weight=weight).eval()
        other.load_state_dict(criterion.state_dict())
        losses.append(seeded_call(other, pos, neg, batch))
    batch_loss, cache_loss, mixed = losses
    assert torch.allclose(mixed, 0.7 * batch_loss + 0.3 * cache_loss, atol=1e-12)
    assert not torch.allclose(batch_loss, cache_loss)
    only_cache = torch.autograd.grad(cache_loss, neg)[0]
    assert only_cache[:, :6].eq(0).all() and only_cache[:, 6:].ne(0).any()


def test_the_cache_is_filled_from_what_was_drawn():
    criterion = make(cache_size=1000)
    for _ in range(3):
        pos, neg, batch = problem(criterion)
        before = criterion.drawn.clone()
        criterion(pos, neg, batch)
        new = criterion.drawn - before
        assert int(new.sum()) == 6 * 3 * 2  # Half a batch of draws from each, for each row.
        counts = criterion.drawn * (new > 0)
        found = torch.bincount(criterion.cache, minlength=M).double() / 1000
        assert found[new == 0].eq(0).all()
        expected = counts / counts.sum()
        assert (found - expected).abs().max() < 5 * (0.25 / 1000) ** 0.5
    criterion.forget()
    assert criterion.drawn.eq(0).all() and criterion.cache.unique().numel() > 1


def test_every_epoch_counts_from_zero():
    criterion = make()
    criterion(*problem(criterion))
    cache = criterion.cache.clone()
    assert criterion.drawn.sum() > 0
    criterion.on_epoch_start(1, None)
    assert criterion.drawn.eq(0).all() and torch.equal(criterion.cache, cache)


def test_excluded_negatives_are_neither_seen_nor_kept():
    criterion = make(cache_size=5)
    pos, neg, batch = problem(criterion)
    barred = batch.neg_item < 5
    criterion(pos, neg.masked_fill(barred, float('-inf')), batch).backward()
    assert neg.grad[:, barred].eq(0).all() and neg.grad.ne(0).any()
    assert criterion.drawn[:5].eq(0).all() and criterion.cache.min() >= 5
    # Where nothing can be drawn the cache stays, and the loss is 0.
    cache, batch = criterion.cache.clone(), batch._replace(neg_item=criterion.pool(batch))
    loss = criterion(pos, torch.full_like(neg, float('-inf')), batch)
    assert loss == 0 and torch.equal(criterion.cache, cache)


def test_evaluation_records_nothing_and_the_state_is_whole():
    one, other = make(), make()
    pos, neg, batch = problem(one)
    state = {k: v.clone() for k, v in one.state_dict().items()}
    assert {'cache', 'drawn'} <= set(state)
    one.eval()(pos, neg, batch)
    assert all(torch.equal(v, state[k]) for k, v in one.state_dict().items())
    one.train()(pos, neg, batch)
    other.load_state_dict(one.state_dict())
    batch = batch._replace(neg_item=one.pool(batch))
    for _ in range(2):
        assert torch.equal(seeded_call(one, pos, neg, batch), seeded_call(other, pos, neg, batch))
        assert torch.equal(one.cache, other.cache)


def test_gradcheck():
    criterion = make().eval()
    pos, neg, batch = problem(criterion)
    assert torch.autograd.gradcheck(
        lambda p, n: seeded_call(criterion, p, n, batch), (pos, neg))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('sign', [1, -1])
def test_extreme_scores_stay_finite(dtype, sign):
    criterion = make().float()
    pos, neg, batch = problem(criterion)
    pos = torch.full_like(pos, 100. * sign, dtype=dtype).detach().requires_grad_()
    neg = torch.full_like(neg, -100. * sign, dtype=dtype).detach().requires_grad_()
    loss = criterion(pos, neg, batch)
    loss.backward()
    assert pos.grad.isfinite().all() and neg.grad.isfinite().all()
    assert float(loss.detach()) == pytest.approx(0 if sign > 0 else 200, abs=8)


def test_compiles_without_graph_breaks():
    criterion, same = make(), make()
    same.load_state_dict(criterion.state_dict())
    pos, neg, batch = problem(criterion)
    torch.compiler.reset()  # All criteria share `forward`, whose recompilations are limited.
    compiled = torch.compile(criterion, backend='aot_eager', fullgraph=True)
    assert torch.allclose(seeded_call(compiled, pos, neg, batch),
                          seeded_call(same, pos, neg, batch))
    assert torch.equal(criterion.cache, same.cache)


def test_bad_arguments():
    with pytest.raises(ValueError, match="'weight' is 1.5"):
        make(weight=1.5)
    with pytest.raises(ValueError, match="'cache_size' is 0"):
        make(cache_size=0)
    criterion = make()
    pos, neg, batch = problem(criterion)
    with pytest.raises(ValueError, match="'batch' has 6 rows with 10 negatives"):
        criterion(pos, neg[:, :6], batch)
