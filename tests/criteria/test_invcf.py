import math

import pytest
import torch
import torch.nn.functional as F
from partial import rows_of, scattered

from pyg_advcf import Batch, Embeddings
from pyg_advcf.criteria import InvCFLoss, PopularityEmbedding
from pyg_advcf.criteria.functional import distance_correlation, infonce


def problem(size=7, num_neg=4):
    z, p = (Embeddings(*(torch.randn(n, 6, dtype=torch.float64, requires_grad=True)
                         for n in (5, 9))) for _ in range(2))
    return z, p, Batch(torch.randint(5, (size, )), torch.randint(9, (size, )),
                       torch.randint(9, (size, num_neg)), torch.arange(size))


def cosine(a, b, temperature=0.3):
    return float(F.cosine_similarity(a, b, dim=0)) / temperature


def contrast(rows):
    losses = [-math.log(math.exp(pos) / (math.exp(pos) + sum(math.exp(n) for n in neg)))
              for pos, neg in rows]
    return sum(losses) / len(losses)


def loops(z, p, batch, order):
    r"""The four contrasts: of E, of P, of both, and of both with the popularity of other rows."""
    parts = ([], [], [], [])
    for b in range(batch.user.numel()):
        u, i, other = batch.user[b], batch.item[b], order[b]
        for part, user, positive, item in (
                (parts[0], z.user[u], z.item[i], lambda j: z.item[j]),
                (parts[1], p.user[u], p.item[i], lambda j: p.item[j]),
                (parts[2], torch.cat([p.user[u], z.user[u]]), torch.cat([p.item[i], z.item[i]]),
                 lambda j: torch.cat([p.item[j], z.item[j]])),
                (parts[3], torch.cat([p.user[batch.user[other]], z.user[u]]),
                 torch.cat([p.item[batch.item[other]], z.item[i]]),
                 lambda j: torch.cat([p.item[j], z.item[j]]))):
            negatives = [cosine(user, item(j)) for j in batch.neg_item[b]]
            part.append((cosine(user, positive), negatives))
    return [contrast(part) for part in parts]


def test_equals_the_loop():
    z, p, batch = problem()
    order = torch.randperm(7)
    e, pop, both, permuted = loops(z, p, batch, order)
    for first, third in ((0., 0.), (0.5, 0.), (0., 2.), (0.1, 0.7)):
        loss = InvCFLoss(0.3, first, 0., third)(z, p, batch, order)
        assert float(loss) == pytest.approx(e + first * pop + third * (both + permuted), abs=1e-12)
    # The identity is no intervention.
    loss = InvCFLoss(0.3, 0., 0., 1.)(z, p, batch, torch.arange(7))
    assert float(loss) == pytest.approx(e + 2 * both, abs=1e-12)


def test_dependence_is_added():
    z, p, batch = problem(20)
    blocks = [distance_correlation(t[ids][:, c], s[ids][:, c])
              for t, s, ids in zip(z, p, batch[:2])
              for c in (slice(0, 2), slice(2, 4), slice(4, 6))]
    mean = sum(blocks) / 6
    plain, more = (InvCFLoss(0.3, 0., weight, 0., factors=3)(z, p, batch) for weight in (0., 5.))
    assert torch.allclose(more - plain, 5 * mean, atol=1e-12)
    whole = InvCFLoss(0.3, 0., 1., 0.).dependence(z, z, batch)
    assert float(whole) == pytest.approx(1.)
    with pytest.raises(ValueError, match="'factors' is 7"):
        InvCFLoss(factors=7).dependence(z, p, batch)


def test_masks_and_shared_negatives():
    z, p, batch = problem()
    pool = torch.tensor([3, 0, 8, 3])
    mask = torch.tensor([True, True, False, True]).expand(7, 4)
    own = batch._replace(neg_item=pool[[0, 1, 3]].expand(7, 3))
    order, criterion = torch.randperm(7), InvCFLoss(0.3, 1., 0., 1.)
    assert torch.allclose(criterion(z, p, batch._replace(neg_item=pool, neg_mask=mask), order),
                          criterion(z, p, own, order), atol=1e-12)


@pytest.mark.parametrize('shared', [False, True])
def test_embeddings_of_some_rows_give_the_same(shared):
    z, p = (Embeddings(*(torch.randn(n, 6, dtype=torch.float64, requires_grad=True)
                         for n in (12, 20))) for _ in range(2))
    batch = problem()[2]
    if shared:
        batch = batch._replace(neg_item=torch.tensor([3, 0, 8, 3]))
    batch = scattered(batch)
    order, criterion = torch.randperm(7), InvCFLoss(0.3, 0.5, 0.4, 0.7, factors=2)
    results = []
    for tables in ((z, p), rows_of(batch, z, p)):
        loss = criterion(*tables, batch, order)
        results.append((loss, *torch.autograd.grad(loss, (*z, *p))))
    for whole, found in zip(*results):
        assert torch.allclose(whole, found, atol=1e-12)


def test_rows_of_a_popularity_embedding():
    z = Embeddings(*(torch.randn(n, 6, dtype=torch.float64) for n in (12, 20)))
    degrees = torch.arange(12) % 4, torch.arange(20) % 5
    table = PopularityEmbedding(*degrees, dim=6).double()
    batch = scattered(problem()[2])
    order, criterion = torch.randperm(7), InvCFLoss(0.3, 0.5, 0.4, 0.7, factors=2)
    # A row for each node, by hand: these degrees number the rows.
    p = Embeddings(*(weight[degree] for weight, degree in
                     zip((table.user.weight, table.item.weight), degrees)))
    expected = criterion(z, p, batch, order)
    for held in (z, *rows_of(batch, z)):
        found = criterion(held, table.rows_like(held), batch, order)
        assert torch.allclose(found, expected, atol=1e-12)


def distance_correlation_loop(x, y):
    n = len(x)

    def centred(x):
        d = [[math.dist(a, b) for b in x] for a in x]
        rows = [sum(r) / n for r in d]
        return [[d[a][b] - rows[a] - rows[b] + sum(rows) / n for b in range(n)] for a in range(n)]

    a, b = centred(x), centred(y)

    def mean(a, b):
        return sum(p * q for r, s in zip(a, b) for p, q in zip(r, s)) / n**2

    return math.sqrt(mean(a, b) / math.sqrt(mean(a, a) * mean(b, b)))


def test_distance_correlation():
    x, y = torch.randn(30, 3, dtype=torch.float64), torch.randn(30, 2, dtype=torch.float64)
    found = distance_correlation(x, y)
    assert float(found) == pytest.approx(distance_correlation_loop(x.tolist(), y.tolist()), 1e-12)
    assert torch.allclose(distance_correlation(y, x), found, atol=1e-12)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    assert float(distance_correlation(x, 5 - 2 * x @ turn)) == pytest.approx(1.)
    assert torch.allclose(distance_correlation(x @ turn + 1, 7 * y), found, atol=1e-12)
    assert float(distance_correlation(x, torch.ones(30, 1).double())) == 0
    big = torch.randn(1000, 1, dtype=torch.float64)
    assert float(distance_correlation(big, torch.randn(1000, 1).double())) < 0.15
    assert float(distance_correlation(big, big.square())) > 0.4  # Where correlation sees nothing.


def test_gradients():
    z, p, batch = problem()
    order, criterion = torch.randperm(7), InvCFLoss(0.3, 0.5, 0.5, 0.5, factors=2)
    assert torch.autograd.gradcheck(
        lambda a, b, c, d: criterion(Embeddings(a, b), Embeddings(c, d), batch, order),
        (*z, *p))
    x = torch.ones(4, 2, requires_grad=True)
    distance_correlation(x, torch.randn(4, 2)).backward()
    assert x.grad.isfinite().all()


def test_default_permutes_anew():
    z, p, batch = problem()
    criterion = InvCFLoss(0.3, 0., 0., 1.)
    assert criterion(z, p, batch) != criterion(z, p, batch)
    torch.manual_seed(7)
    loss = criterion(z, p, batch)
    torch.manual_seed(7)
    assert torch.allclose(criterion(z, p, batch, torch.randperm(7)), loss)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_low_temperature_stays_finite(dtype):
    _, _, batch = problem()
    z, p = (Embeddings(*(torch.randn(n, 6).to(dtype).requires_grad_() for n in (5, 9)))
            for _ in range(2))
    loss = InvCFLoss(0.01, 1., 1., 1.)(z, p, batch)
    loss.backward()
    for table in (*z, *p):
        assert table.grad.isfinite().all() and table.grad.ne(0).any()
    assert loss.isfinite()


def test_no_weights_is_infonce():
    z, p, batch = problem()
    pos, neg = (F.cosine_similarity(z.user[batch.user].unsqueeze(1), z.item[ids], dim=-1) / 0.2
                for ids in (batch.item.view(-1, 1), batch.neg_item))
    criterion = InvCFLoss(0.2, 0., 0., 0.)
    assert torch.allclose(criterion(z, p, batch), infonce(pos[:, 0], neg), atol=1e-12)
    assert criterion.similarity.kind == 'cosine' and criterion.similarity.temperature == 0.2
    with pytest.raises(ValueError, match="'invariance' is -1"):
        InvCFLoss(invariance=-1)
