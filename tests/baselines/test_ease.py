import pytest
import torch

from pyg_advcf import EDGE_TYPE, degrees
from pyg_advcf.baselines import EASE, ease


@pytest.fixture(autouse=True)
def in_double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def matrix(data):
    r = torch.zeros(data['user'].num_nodes, data['item'].num_nodes)
    r[tuple(data[EDGE_TYPE].edge_index)] = 1
    return r


@pytest.mark.parametrize('rows', [1, 7, 1024])
@pytest.mark.parametrize('l2', [0.5, 20.])
def test_every_column_is_the_ridge_regression_on_the_others(toy, monkeypatch, l2, rows):
    monkeypatch.setattr(ease, '_ROWS', rows)
    r, model = matrix(toy), EASE(toy, l2=l2)
    for j in range(r.size(1)):
        others = [i for i in range(r.size(1)) if i != j]
        x = r[:, others]
        expected = torch.linalg.solve(x.t() @ x + l2 * torch.eye(len(others)), x.t() @ r[:, j])
        assert torch.allclose(model.weight[others, j], expected, atol=1e-10)
    assert not model.weight.diagonal().any()
    assert torch.allclose(model.scores(torch.arange(30)), r @ model.weight, atol=1e-12)


def test_the_loss_is_least_among_matrices_with_a_zero_diagonal(toy):
    r = matrix(toy)
    weight = EASE(toy, l2=2.).weight.clone().requires_grad_()
    ((r - r @ weight).square().sum() + 2. * weight.square().sum()).backward()
    off = ~torch.eye(40, dtype=torch.bool)
    assert weight.grad[off].abs().max() < 1e-9 < weight.grad.diagonal().abs().max()


@pytest.mark.parametrize('top', [1, 12, 40, 99])
def test_the_most_popular_items_alone(toy, top):
    model = EASE(toy, l2=3., top_items=top)
    degree = degrees(toy)[1]
    kept = sorted(sorted(range(40), key=lambda i: (-int(degree[i]), i))[:top])
    assert model.items.tolist() == kept
    r = matrix(toy)[:, kept]
    p = torch.linalg.inv(r.t() @ r + 3. * torch.eye(len(kept)))
    b = -p / p.diagonal()
    b.fill_diagonal_(0.)
    scores = model.scores(torch.arange(30))
    assert torch.allclose(scores[:, kept], r @ b, atol=1e-10)
    rest = [i for i in range(40) if i not in kept]
    assert scores[:, rest].isneginf().all()
    listed = model.recommend(torch.arange(30), k=40).item
    assert set(listed.unique().tolist()) <= {-1, *kept}


def test_too_many_items_are_an_error_that_names_the_memory(toy):
    with pytest.raises(ValueError, match=r"'max_items' is 39, but 40 items.*0.0 GB.*'top_items'"):
        EASE(toy, max_items=39)
    assert EASE(toy, max_items=39, top_items=39).weight.shape == (39, 39)
    assert EASE(toy, max_items=40).weight.shape == (40, 40)


@pytest.mark.parametrize('kwargs, message', [
    (dict(l2=0.), "'l2' is 0"), (dict(l2=1e-20), "not positive definite.*raise 'l2'"),
    (dict(top_items=0), "'top_items' is 0"), (dict(max_items='x'), "'max_items' is 'x'")])
def test_errors(toy, kwargs, message):
    with pytest.raises(ValueError, match=message):
        EASE(toy, **kwargs)
