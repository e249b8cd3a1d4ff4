import math

import pytest
import torch
from partial import rows_of, scattered

from pyg_advcf import Batch, Embeddings
from pyg_advcf.criteria import ClampedViewInfoNCE


def problem(size=1.):
    view, z = (Embeddings(*((size * torch.randn(n, 4, dtype=torch.float64)).requires_grad_()
                            for n in (9, 11))) for _ in range(2))
    item = torch.randint(11, (20, ))
    return view, z, Batch(torch.randint(9, (20, )), item, item.view(-1, 1), torch.arange(20))


def loop(view, z, ids, temperature):
    r"""The loss of one side, and how many of its positives are beyond the bound."""
    total, beyond = 0., 0
    for v in ids.tolist():
        scores = [sum(a * b for a, b in zip(view[v].tolist(), row)) / temperature
                  for row in z.tolist()]
        highest = max(scores)
        entropy = math.log(sum(math.exp(s - highest) for s in scores)) + highest
        total += entropy - max(-5., min(5., scores[v]))
        beyond += abs(scores[v]) > 5
    return total / ids.numel(), beyond


@pytest.mark.parametrize('chunk_size', [None, 3, 100])
@pytest.mark.parametrize('size', [0.3, 3.])
def test_equals_the_loop(chunk_size, size):
    view, z, batch = problem(size)
    assert batch.user.unique().numel() < 20  # A repeated node counts as often as it occurs.
    user, item = (loop(a, b, ids, 0.5)
                  for a, b, ids in zip(view, z, (batch.user, batch.item)))
    assert (user[1] > 0 and item[1] > 0) if size > 1 else user[1] == item[1] == 0
    loss = ClampedViewInfoNCE(0.5, chunk_size)(view, z, batch)
    assert float(loss.detach()) == pytest.approx(user[0] + item[0], rel=1e-12)
    # The two views have different roles.
    swapped = ClampedViewInfoNCE(0.5, chunk_size)(z, view, batch)
    assert float(swapped.detach()) != pytest.approx(user[0] + item[0], rel=1e-3)


@pytest.mark.parametrize('size', [0.3, 3.])
def test_gradcheck(size):
    view, z, batch = problem(size)
    criterion = ClampedViewInfoNCE(0.5, 6)
    own = torch.cat([(a[ids] * b[ids]).sum(1) / 0.5
                     for a, b, ids in zip(view, z, (batch.user, batch.item))])
    assert (own.abs() - 5).abs().min() > 1e-3  # The bound itself has no derivative.
    assert torch.autograd.gradcheck(
        lambda a, b, c, d: criterion(Embeddings(a, b), Embeddings(c, d), batch), (*view, *z))


def test_a_positive_beyond_the_bound_has_no_gradient():
    view = Embeddings(torch.tensor([[4.], [1.]], dtype=torch.float64), torch.zeros(1, 1).double())
    z = Embeddings(torch.tensor([[2.], [3.]], dtype=torch.float64, requires_grad=True),
                   torch.zeros(1, 1).double())
    batch = Batch(*(torch.tensor(t) for t in ([0], [0], [[0]], [0])))
    # Scores 8 and 12: only the log of the sum has a gradient.
    grad, = torch.autograd.grad(ClampedViewInfoNCE(1.)(view, z, batch), z.user)
    p = torch.tensor([[8.], [12.]], dtype=torch.float64).softmax(0)
    assert torch.allclose(grad, 4 * p, atol=1e-12)
    # Scores 0.8 and 1.2: the positive has a gradient too.
    grad, = torch.autograd.grad(ClampedViewInfoNCE(10.)(view, z, batch), z.user)
    p = torch.tensor([[0.8], [1.2]], dtype=torch.float64).softmax(0)
    assert torch.allclose(grad, 0.4 * (p - torch.tensor([[1.], [0.]])), atol=1e-12)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_low_temperature_stays_finite(dtype):
    view, z = (Embeddings(*(torch.randn(n, 6).to(dtype).requires_grad_() for n in (9, 11)))
               for _ in range(2))
    loss = ClampedViewInfoNCE(0.01)(view, z, problem()[2])
    loss.backward()
    assert loss.isfinite()
    for table in (*view, *z):
        assert table.grad.isfinite().all() and table.grad.abs().sum() > 0


def test_needs_all_nodes():
    view, z, batch = problem()
    criterion = ClampedViewInfoNCE()
    assert criterion.scope == 'all'  # So that methods encode all nodes for it.
    view, z = (Embeddings(torch.cat([t.user] * 3), torch.cat([t.item] * 3)) for t in (view, z))
    batch = scattered(batch)
    some = rows_of(batch, view, z)
    for a, b in (some, (view, some[1]), (some[0], z)):
        with pytest.raises(ValueError, match=r"holds the rows of a batch.*backbone\(\)"):
            criterion(a, b, batch)


def test_bad_arguments():
    for temperature in (0, -1, float('nan')):
        with pytest.raises(ValueError, match="'temperature' is"):
            ClampedViewInfoNCE(temperature)
    with pytest.raises(ValueError, match="'chunk_size' is 0"):
        ClampedViewInfoNCE(chunk_size=0)
    assert repr(ClampedViewInfoNCE(0.3)) == 'ClampedViewInfoNCE(temperature=0.3)'
