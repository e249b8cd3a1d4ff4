import math

import pytest
import torch
import torch.nn.functional as F

from pyg_advcf import Batch, Embeddings
from pyg_advcf.criteria import InvCF
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
        loss = InvCF(0.3, first, 0., third)(z, p, batch, order)
        assert float(loss) == pytest.approx(e + first * pop + third * (both + permuted), abs=1e-12)
    # The identity is no intervention.
    loss = InvCF(0.3, 0., 0., 1.)(z, p, batch, torch.arange(7))
    assert float(loss) == pytest.approx(e + 2 * both, abs=1e-12)


def test_dependence_is_added():
    z, p, batch = problem(20)
    blocks = [distance_correlation(t[ids][:, c], s[ids][:, c])
              for t, s, ids in zip(z[:2], p[:2], batch[:2])
              for c in (slice(0, 2), slice(2, 4), slice(4, 6))]
    mean = sum(blocks) / 6
    plain, more = (InvCF(0.3, 0., weight, 0., factors=3)(z, p, batch) for weight in (0., 5.))
    assert torch.allclose(more - plain, 5 * mean, atol=1e-12)
    whole = InvCF(0.3, 0., 1., 0.).dependence(z, z, batch)
    assert float(whole) == pytest.approx(1.)
    with pytest.raises(ValueError, match="'factors' is 7"):
        InvCF(factors=7).dependence(z, p, batch)


def test_masks_and_shared_negatives():
    z, p, batch = problem()
    pool = torch.tensor([3, 0, 8, 3])
    mask = torch.tensor([True, True, False, True]).expand(7, 4)
    own = batch._replace(neg_item=pool[[0, 1, 3]].expand(7, 3))
    order, criterion = torch.randperm(7), InvCF(0.3, 1., 0., 1.)
    assert torch.allclose(criterion(z, p, batch._replace(neg_item=pool, neg_mask=mask), order),
                          criterion(z, p, own, order), atol=1e-12)


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
    order, criterion = torch.randperm(7), InvCF(0.3, 0.5, 0.5, 0.5, factors=2)
    assert torch.autograd.gradcheck(
        lambda a, b, c, d: criterion(Embeddings(a, b), Embeddings(c, d), batch, order),
        (*z[:2], *p[:2]))
    x = torch.ones(4, 2, requires_grad=True)
    distance_correlation(x, torch.randn(4, 2)).backward()
    assert x.grad.isfinite().all()


def test_default_permutes_anew():
    z, p, batch = problem()
    criterion = InvCF(0.3, 0., 0., 1.)
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
    loss = InvCF(0.01, 1., 1., 1.)(z, p, batch)
    loss.backward()
    for table in (*z[:2], *p[:2]):
        assert table.grad.isfinite().all() and table.grad.ne(0).any()
    assert loss.isfinite()


def test_no_weights_is_infonce():
    z, p, batch = problem()
    pos, neg = (F.cosine_similarity(z.user[batch.user].unsqueeze(1), z.item[ids], dim=-1) / 0.2
                for ids in (batch.item.view(-1, 1), batch.neg_item))
    assert torch.allclose(InvCF(0.2, 0., 0., 0.)(z, p, batch), infonce(pos[:, 0], neg), atol=1e-12)
    with pytest.raises(ValueError, match="'invariance' is -1"):
        InvCF(invariance=-1)
