import math

import pytest
import torch
import torch.nn.functional as F
from partial import rows_of, scattered

from pyg_advcf import Batch, Embeddings
from pyg_advcf.criteria import DirectAU
from pyg_advcf.criteria.functional import alignment, uniformity


def problem(size=12):
    z = Embeddings(*(torch.randn(n, 6, dtype=torch.float64, requires_grad=True) for n in (9, 11)))
    item = torch.randint(11, (size, ))
    return z, Batch(torch.randint(9, (size, )), item, item.view(-1, 1), torch.arange(size))


def loop(rows):
    x = F.normalize(rows, dim=-1)
    pairs = [math.exp(-2 * float((x[a] - x[b]).square().sum()))
             for a in range(len(x)) for b in range(a)]
    return math.log(sum(pairs) / len(pairs))


def test_equals_the_loop():
    z, batch = problem()
    u, i = z.user[batch.user], z.item[batch.item]
    near = [2 * (1 - float(F.cosine_similarity(a, b, dim=0))) for a, b in zip(u, i)]
    assert float(alignment(u, i)) == pytest.approx(sum(near) / len(near), abs=1e-12)
    assert float(uniformity(u)) == pytest.approx(loop(u), abs=1e-12)
    for gamma in (0., 0.5, 10.):
        expected = sum(near) / len(near) + gamma * (loop(u) + loop(i)) / 2
        assert float(DirectAU(gamma)(z, batch)) == pytest.approx(expected, abs=1e-12)
    unique = [loop(t[ids.unique()]) for t, ids in zip(z, batch[:2])]
    assert len(batch.user.unique()) < 12
    assert float(DirectAU(2., unique=True)(z, batch)) == pytest.approx(
        sum(near) / len(near) + sum(unique), abs=1e-12)


def test_identities():
    x = torch.randn(8, 5, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))[0]
    assert torch.allclose(uniformity(x @ turn), uniformity(x), atol=1e-12)
    assert torch.allclose(uniformity(x * torch.rand(8, 1)), uniformity(x), atol=1e-12)
    assert float(uniformity(x)) < 0
    assert float(uniformity(x[:1].expand(8, 5))) == pytest.approx(0, abs=1e-12)
    assert float(uniformity(torch.stack([x[0], -x[0]]))) == pytest.approx(-8, abs=1e-12)
    assert float(uniformity(x[:1])) == 0 and float(alignment(x, 3 * x)) == pytest.approx(0)


def test_counts_are_repetitions():
    x = torch.randn(5, 4, dtype=torch.float64)
    count = torch.tensor([3, 1, 0, 2, 1])
    assert torch.allclose(uniformity(x, count), uniformity(x.repeat_interleave(count, 0)),
                          atol=1e-12)


@pytest.mark.parametrize('chunk_size', [1, 3, 8])
def test_chunks_change_nothing(chunk_size):
    x = torch.randn(8, 5, dtype=torch.float64, requires_grad=True)
    count = torch.randint(4, (8, ))
    for args in ((), (count, )):
        whole = torch.autograd.grad(uniformity(x, *args), x)[0]
        parts = torch.autograd.grad(uniformity(x, *args, chunk_size=chunk_size), x)[0]
        assert torch.allclose(whole, parts, atol=1e-12)


@pytest.mark.parametrize('unique', [False, True])
def test_gradcheck(unique):
    z, batch = problem(7)
    criterion = DirectAU(2., unique)
    assert torch.autograd.gradcheck(lambda a, b: criterion(Embeddings(a, b), batch), tuple(z))
    assert torch.autograd.gradgradcheck(lambda a, b: criterion(Embeddings(a, b), batch), tuple(z))


@pytest.mark.parametrize('unique', [False, True])
def test_embeddings_of_some_rows_give_the_same(unique):
    z = Embeddings(*(torch.randn(n, 6, dtype=torch.float64, requires_grad=True) for n in (20, 24)))
    batch = scattered(problem()[1])
    part, = rows_of(batch, z)
    criterion, results = DirectAU(2., unique), []
    for embeddings in (z, part):
        loss = criterion(embeddings, batch)
        results.append((loss, *torch.autograd.grad(loss, tuple(z))))
    for whole, found in zip(*results):
        assert torch.allclose(whole, found, atol=1e-12)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_extremes_stay_finite(dtype):
    _, batch = problem()
    for one, size in ((1., 1.), (-1., 1e-3)):  # All alike, and all pairs opposite.
        z = Embeddings(*(torch.full((n, 6), size * s, dtype=dtype, requires_grad=True)
                         for n, s in ((9, 1.), (11, one))))
        loss = DirectAU(10.)(z, batch)
        loss.backward()
        assert loss.isfinite() and z.user.grad.isfinite().all() and z.item.grad.isfinite().all()
        assert float(loss.detach()) == pytest.approx(2 - 2 * one, abs=1e-4)


def test_compiles_without_graph_breaks():
    z, batch = problem()
    for unique in (False, True):
        criterion = DirectAU(1., unique)
        compiled = torch.compile(criterion, backend='aot_eager', fullgraph=True)
        assert torch.allclose(compiled(z, batch), criterion(z, batch))


def test_one_row_and_bad_arguments():
    z, batch = problem(1)
    assert torch.allclose(DirectAU(5.)(z, batch), DirectAU(0.)(z, batch))
    with pytest.raises(ValueError, match="'gamma' is -1"):
        DirectAU(-1)
    with pytest.raises(ValueError, match="'chunk_size' is 0"):
        DirectAU(chunk_size=0)
