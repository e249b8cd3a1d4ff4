import math

import pytest
import torch
import torch.nn.functional as F
from partial import rows_of, scattered

from pyg_advcf import Batch, Embeddings
from pyg_advcf.criteria import ViewInfoNCE
from pyg_advcf.criteria.view_infonce import first_occurrence


def problem(repeat=True):
    z, other = (Embeddings(*(torch.randn(n, 6, dtype=torch.float64, requires_grad=True)
                             for n in (9, 11))) for _ in range(2))
    user = torch.randint(9, (20, )) if repeat else torch.randperm(9)
    item = torch.randint(11, (user.numel(), ))
    return z, other, Batch(user, item, item.view(-1, 1), torch.arange(user.numel()))


def loop(z, other, ids, temperature, scope):
    nodes = sorted(set(ids.tolist()))
    rivals = nodes if scope == 'batch' else range(other.size(0))
    total = 0.
    for u in nodes:
        scores = {v: float(F.cosine_similarity(z[u], other[v], dim=0)) / temperature
                  for v in rivals}
        total += math.log(sum(math.exp(s) for s in scores.values())) - scores[u]
    return total / len(nodes)


@pytest.mark.parametrize('scope', ['batch', 'all'])
@pytest.mark.parametrize('chunk_size', [3, 100])
def test_equals_loop_and_is_the_sum_of_both_sides(scope, chunk_size):
    z, other, batch = problem()
    criterion = ViewInfoNCE(0.3, scope, chunk_size)
    user = loop(z.user, other.user, batch.user, 0.3, scope)
    item = loop(z.item, other.item, batch.item, 0.3, scope)
    assert float(criterion.side(z.user, other.user, batch.user).detach()) == pytest.approx(user)
    assert float(criterion(z, other, batch).detach()) == pytest.approx(user + item, abs=1e-12)


@pytest.mark.parametrize('scope', ['batch', 'all'])
def test_gradcheck_and_permutation(scope):
    z, other, batch = problem()
    criterion = ViewInfoNCE(0.3, scope, 4)
    tables = (*z, *other)
    assert torch.autograd.gradcheck(
        lambda a, b, c, d: criterion(Embeddings(a, b), Embeddings(c, d), batch), tables)
    order = torch.randperm(20)
    mixed = Batch(*(t[order] for t in batch[:4]))
    assert torch.allclose(criterion(z, other, mixed), criterion(z, other, batch), atol=1e-12)


def test_one_node_costs_nothing_and_equal_views_have_cosine_one():
    z, _, batch = problem()
    one = Batch(*(torch.zeros(3, dtype=torch.long) for _ in range(2)), batch.neg_item[:3],
                batch.id[:3])
    assert float(ViewInfoNCE(0.2)(z, z, one).detach()) == 0
    ids = torch.tensor([4, 2, 4])
    a = F.normalize(z.user[[4, 2]], dim=-1)
    expected = F.cross_entropy(a @ a.t() / 0.2, torch.arange(2))
    assert torch.allclose(ViewInfoNCE(0.2).side(z.user, z.user, ids), expected, atol=1e-12)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_low_temperature_stays_finite(dtype):
    z = Embeddings(*(torch.randn(n, 6).to(dtype).requires_grad_() for n in (9, 11)))
    other = Embeddings(-z.user.detach(), -z.item.detach())
    batch = problem()[2]
    loss = ViewInfoNCE(0.01)(z, other, batch)
    loss.backward()
    assert loss.isfinite() and z.user.grad.isfinite().all() and z.user.grad.abs().sum() > 0


def test_first_occurrence():
    ids = torch.randint(6, (40, ))
    values = ids.tolist()
    assert first_occurrence(ids).tolist() == [values.index(v) for v in values]
    assert first_occurrence(ids[:0]).tolist() == []
    z, other, batch = problem()
    assert float(ViewInfoNCE().side(z.user, other.user, batch.user[:0])) == 0


@pytest.mark.parametrize('item_weight', [0., 0.3, 1., 2.])
def test_weight_of_the_items(item_weight):
    z, other, batch = problem()
    criterion = ViewInfoNCE(0.3, item_weight=item_weight)
    user, item = (loop(a, b, ids, 0.3, 'batch')
                  for a, b, ids in zip(z, other, (batch.user, batch.item)))
    assert float(criterion(z, other, batch).detach()) == pytest.approx(user + item_weight * item,
                                                                       abs=1e-12)


@pytest.mark.parametrize('chunk_size', [None, 3])
def test_embeddings_of_some_rows_give_the_same(chunk_size):
    z, other = (Embeddings(*(torch.randn(n, 6, dtype=torch.float64, requires_grad=True)
                             for n in (20, 24))) for _ in range(2))
    batch = scattered(problem()[2])
    criterion, results = ViewInfoNCE(0.3, chunk_size=chunk_size, item_weight=0.7), []
    for pair in ((z, other), rows_of(batch, z, other)):
        loss = criterion(*pair, batch)
        results.append((loss, *torch.autograd.grad(loss, (*z, *other))))
    for whole, found in zip(*results):
        assert torch.allclose(whole, found, atol=1e-12)


def test_views_with_different_rows():
    z, other, batch = problem()
    z, other = (Embeddings(torch.cat([t.user] * 3), torch.cat([t.item] * 3)) for t in (z, other))
    batch = scattered(batch)
    first, _ = rows_of(batch, z, other)
    _, second = rows_of(batch, z, other)  # Equal rows, but of another index.
    for a, b in ((first, second), (first, other), (z, second),
                 (first, second.replace(user_index=first.user_index)),
                 (first, second.replace(item_index=first.item_index))):
        with pytest.raises(ValueError, match="hold different rows.*backbone.encoder"):
            ViewInfoNCE()(a, b, batch)
    second = second.replace(user_index=first.user_index, item_index=first.item_index)
    assert ViewInfoNCE()(first, second, batch).isfinite()
    for held in (first, first.replace(user_index=None), first.replace(item_index=None)):
        with pytest.raises(ValueError, match="'z' holds the rows of a batch, but all rows"):
            ViewInfoNCE(scope='all')(held, held, batch)


def test_bad_arguments():
    with pytest.raises(ValueError, match="'scope' is 'al'.*Did you mean 'all'"):
        ViewInfoNCE(scope='al')
    with pytest.raises(ValueError, match="'temperature' is 0"):
        ViewInfoNCE(0)
    with pytest.raises(ValueError, match="'item_weight' is -1"):
        ViewInfoNCE(item_weight=-1)
    with pytest.raises(ValueError, match="'chunk_size' is 0"):
        ViewInfoNCE(chunk_size=0)
