import pytest
import torch
import torch.nn.functional as F

from pyg_advcf import (
    EDGE_TYPE,
    InteractionLoader,
    co_occurrence,
    degrees,
    interaction_data,
    methods,
)
from pyg_advcf.criteria import constraint_weights
from pyg_advcf.nn import MF, UltraGCN
from pyg_advcf.nn.ultragcn import item_neighbours


def dense_omega(data, variant):
    n, m = data['user'].num_nodes, data['item'].num_nodes
    r = torch.zeros(n, m, dtype=torch.float64)
    r[tuple(data[EDGE_TYPE].edge_index)] = 1
    g = r.t() @ r
    total = g.sum(1)
    omega = torch.zeros(m, m, dtype=torch.float64)
    for i in range(m):
        for k in range(m):
            if g[i, k] == 0:
                continue
            if variant == 'code':
                omega[i, k] = g[i, k] * ((total[i] + 1) / (total[k] + 1)).sqrt() / total[i]
            elif i != k:
                omega[i, k] = g[i, k] / (total[i] - g[i, i]) * (total[i] / total[k]).sqrt()
    return omega


@pytest.mark.parametrize('variant', ['code', 'paper'])
@pytest.mark.parametrize('entries', [1, 500, 2**22])
@pytest.mark.parametrize('k', [1, 10, 50])
def test_neighbours_equal_a_dense_loop(toy, monkeypatch, variant, entries, k):
    monkeypatch.setattr(co_occurrence, '_ENTRIES', entries)
    omega = dense_omega(toy, variant)
    ids, weights = item_neighbours(toy, k, variant)
    assert ids.shape == weights.shape == (40, k)
    best = omega.sort(1, descending=True)[0][:, :k]
    assert torch.allclose(weights[:, :best.size(1)], best, atol=1e-12)
    assert not weights[:, best.size(1):].any()
    present = weights > 0
    assert torch.allclose(omega.gather(1, ids)[present], weights[present], atol=1e-12)
    assert not ids[~present].any()
    for row, kept in zip(ids, present):
        assert row[kept].unique().numel() == kept.sum()
    own = (ids == torch.arange(40).view(-1, 1)) & present
    # In the code an item may be its own neighbour; in the paper it is not.
    assert own.any() if variant == 'code' else not own.any()


def test_constraint_weights_equal_a_dense_loop(toy):
    user, item = constraint_weights(*degrees(toy))
    d_user, d_item = (d.tolist() for d in degrees(toy))
    for u, i in toy[EDGE_TYPE].edge_index.t().tolist():
        expected = 1 / d_user[u] * ((d_user[u] + 1) / (d_item[i] + 1))**0.5
        assert float(user[u] * item[i]) == pytest.approx(expected, abs=1e-12)
    lonely = constraint_weights(*degrees(interaction_data(torch.tensor([[1], [1]]), 3, 2)))
    assert lonely[0].tolist() == [0., 2**0.5, 0.] and lonely[1].isfinite().all()


def test_penalty_pulls_along_similar_items(toy):
    batch = next(iter(InteractionLoader(toy, 64)))
    model = UltraGCN(toy, dim=8, init='normal_0.1', weight=0.5, num_neighbours=3).double()
    model.omega = item_neighbours(toy, 3)[1]
    omega, total = dense_omega(toy, 'code'), 0.
    for u, i in zip(batch.user, batch.item):
        for k in model.neighbours[i]:
            total = total + omega[i, k] * F.softplus(-(model.x.user[u] @ model.x.item[k]))
    assert torch.allclose(model.penalty(batch), 0.5 * total / 64, atol=1e-10)
    grads = [torch.autograd.grad(loss, list(model.parameters()))
             for loss in (model.penalty(batch), 0.5 * total / 64)]
    for a, b in zip(*grads):
        assert torch.allclose(a, b, atol=1e-10)


@pytest.mark.parametrize('size', [3, 64])  # Whether a batch reads few rows or all.
def test_any_method_takes_the_penalty(toy, size):
    batch = next(iter(InteractionLoader(toy, size)))
    losses = []
    for cls in (MF, UltraGCN):
        torch.manual_seed(0)
        model = cls(toy, dim=8, init='normal_0.1')
        losses.append(methods.infonce(model)(batch))
    assert torch.allclose(losses[1] - losses[0], model.penalty(batch), atol=1e-6)
    assert model.penalty(batch) > 0 and UltraGCN(toy, weight=0.).penalty(batch) is None


def test_nothing_but_the_tables_is_saved_and_one_user_works():
    model = UltraGCN(interaction_data(torch.tensor([[0, 0], [2, 1]]), 1, 4), dim=4)
    assert set(model.state_dict()) == {'user_embedding.weight', 'item_embedding.weight'}
    assert not model.omega[[0, 3]].any() and model.omega[[1, 2]].any(1).all()
    assert torch.equal(model().user, model.x.user) and model.linear and model.depth == 0
    assert model.x.user.abs().max() < 1e-3


def test_bad_arguments(toy):
    with pytest.raises(ValueError, match="'variant' is 'cod'.*Did you mean 'code'"):
        UltraGCN(toy, variant='cod')
    with pytest.raises(ValueError, match="'num_neighbours' is 0"):
        UltraGCN(toy, num_neighbours=0)
    with pytest.raises(ValueError, match="'weight' is -1"):
        UltraGCN(toy, weight=-1)
    assert repr(UltraGCN(toy, dim=4)) == 'UltraGCN(30 users, 40 items, dim=4, weight=0.0005)'
