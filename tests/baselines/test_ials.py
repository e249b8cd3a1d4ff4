import numpy as np
import pytest
import torch

from pyg_advcf import EDGE_TYPE, interaction_data
from pyg_advcf.baselines import IALS, ials
from pyg_advcf.co_occurrence import interaction_matrix


@pytest.fixture(autouse=True)
def in_double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def matrix(data):
    r = torch.zeros(data['user'].num_nodes, data['item'].num_nodes)
    r[tuple(data[EDGE_TYPE].edge_index)] = 1
    return r


def penalties(r, alpha, l2, nu):
    (n, m), (user, item) = r.shape, (r.sum(1), r.sum(0))
    return l2 * (user + alpha * m)**nu, l2 * (item + alpha * n)**nu


def loss(r, w, h, alpha, l2, nu):
    s = w @ h.t()
    user, item = penalties(r, alpha, l2, nu)
    return (((1 - s).square() * r).sum() + alpha * s.square().sum()
            + (user * w.square().sum(1)).sum() + (item * h.square().sum(1)).sum())


SETTINGS = [(0.1, 0.003, 1.), (1., 0.5, 0.), (0.02, 0.1, 0.5)]


@pytest.mark.parametrize('entries', [1, 400, 2**22])
@pytest.mark.parametrize('alpha, l2, nu', SETTINGS)
def test_a_sweep_solves_the_normal_equations(toy, monkeypatch, alpha, l2, nu, entries):
    monkeypatch.setattr(ials, '_ENTRIES', entries)
    r, settings = matrix(toy), dict(dim=4, unobserved_weight=alpha, l2=l2, exponent=nu)
    start = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)) * 0.05
    z = IALS(toy, epochs=1, seed=0, **settings).embeddings()
    for rows, other, reg, found in ((r, start, penalties(r, alpha, l2, nu)[0], z.user),
                                    (r.t(), z.user, penalties(r, alpha, l2, nu)[1], z.item)):
        for u in range(rows.size(0)):
            h = other[rows[u] > 0]
            a = h.t() @ h + alpha * other.t() @ other + reg[u] * torch.eye(4)
            assert torch.allclose(found[u], torch.linalg.solve(a, h.sum(0)), atol=1e-10)


@pytest.mark.parametrize('alpha, l2, nu', SETTINGS)
def test_the_loss_never_rises_and_ends_where_it_is_flat(toy, alpha, l2, nu):
    r, settings = matrix(toy), dict(dim=4, unobserved_weight=alpha, l2=l2, exponent=nu)
    losses = []
    for epochs in (*range(1, 12), 3000):
        z = IALS(toy, epochs=epochs, **settings).embeddings()
        losses.append(float(loss(r, *z, alpha, l2, nu)))
    assert all(b <= a * (1 + 1e-12) for a, b in zip(losses, losses[1:]))
    tables = [table.clone().requires_grad_() for table in z]
    value = loss(r, *tables, alpha, l2, nu)
    value.backward()
    assert max(float(t.grad.abs().max()) for t in tables) < 1e-5


CONFIDENCE, REG = 9., 2.


def test_the_original_form_is_a_special_case(toy):
    # Hu et al. weight observed pairs by c and all others by 1, with one regularisation: the same
    # equations over c - 1, and scores that are larger by c / (c - 1).
    r, h = matrix(toy), torch.randn(40, 4)
    known = IALS(toy).known
    found = ials.solve_side(known, h, 1 / (CONFIDENCE - 1),
                            torch.full((30, ), REG / (CONFIDENCE - 1)))
    for u in range(30):
        c = torch.diag(1 + (CONFIDENCE - 1) * r[u])
        theirs = torch.linalg.solve(h.t() @ c @ h + REG * torch.eye(4), h.t() @ c @ r[u])
        assert torch.allclose(found[u] * CONFIDENCE / (CONFIDENCE - 1), theirs, atol=1e-12)


def test_embeddings_score(toy):
    model = IALS(toy, dim=3)
    z = model.embeddings()
    assert torch.allclose(model.scores(torch.tensor([5])), z.user[5:6] @ z.item.t())
    assert z.user.shape == (30, 3) and not z.user.requires_grad


def test_the_seed_decides(toy):
    one, same, other = (IALS(toy, dim=3, epochs=2, seed=s).embeddings().user for s in (1, 1, 2))
    assert torch.equal(one, same) and not torch.allclose(one, other)


def test_two_blocks_are_told_apart():
    blocks = [(u, i) for u in range(8) for i in range(10) if (u < 4) == (i < 5) and (u + i) % 3]
    data = interaction_data(torch.tensor(blocks).t().contiguous(), 8, 10)
    scores = IALS(data, dim=2, l2=0.01, epochs=30).scores(torch.arange(8))
    own = torch.tensor([[(u < 4) == (i < 5) for i in range(10)] for u in range(8)])
    assert scores[own].min() > scores[~own].max() + 0.3


@pytest.mark.parametrize('kwargs, message', [
    (dict(dim=0), "'dim' is 0"), (dict(unobserved_weight=0.), "'unobserved_weight' is 0"),
    (dict(l2=0.), "'l2' is 0"), (dict(exponent=-1.), "'exponent' is -1"),
    (dict(epochs=0), "'epochs' is 0"), (dict(std=0.), "'std' is 0"),
    (dict(seed=-1), "'seed' is -1"),
    (dict(l2=1e-300, unobserved_weight=1e-300, dim=60), "'l2' is 1e-300.*raise it")])
def test_errors(toy, kwargs, message):
    with pytest.raises(ValueError, match=message):
        IALS(toy, **kwargs)


def test_implicit_solves_the_same(toy):
    als = pytest.importorskip('implicit.als')
    known = IALS(toy).known
    rows = interaction_matrix(toy[EDGE_TYPE].edge_index, 30, 40)
    model = als.AlternatingLeastSquares(
        factors=4, regularization=REG, alpha=CONFIDENCE, dtype=np.float64, use_gpu=False,
        use_cg=False, iterations=2, random_state=0, num_threads=1)
    model.fit(rows, show_progress=False)
    theirs = torch.from_numpy(model.recalculate_user(np.arange(30), rows))
    found = ials.solve_side(known, torch.from_numpy(model.item_factors), 1 / (CONFIDENCE - 1),
                            torch.full((30, ), REG / (CONFIDENCE - 1)))
    assert torch.allclose(found * CONFIDENCE / (CONFIDENCE - 1), theirs, atol=1e-9)
