import pytest
import torch
import torch.nn.functional as F
from graphs import GRAPHS

from pyg_advcf import (
    EDGE_TYPE,
    Embeddings,
    InteractionLoader,
    as_graph,
    interaction_data,
    methods,
)
from pyg_advcf.nn import DCCF
from pyg_advcf.nn.dccf import adaptive_mask
from pyg_advcf.transforms import RandomWalk


def both_ways(edge_index, n, m):
    a = torch.zeros(n + m, n + m, dtype=torch.float64)
    user, item = edge_index.long()
    a[user, item + n] = a[item + n, user] = 1
    return a


def dense_mask(a, y):
    y = F.normalize(y, dim=1)
    alpha = a * (y @ y.t() + 1) / 2
    total = alpha.sum(1, keepdim=True)
    return torch.where(total > 0, alpha / total.where(total > 0, 1), 0)


def dense_views(a, x, user_intent, item_intent, n):
    scale = a.sum(1).clamp(min=1).rsqrt()
    g = (scale.view(-1, 1) * a * scale) @ x
    i = torch.cat([(t @ c).softmax(1) @ c.t() for t, c in zip((x[:n], x[n:]),
                                                              (user_intent, item_intent))])
    return g, i, dense_mask(a, g) @ x, dense_mask(a, i) @ x


def as_matrix(graph, alpha, user, item):
    n, m = graph.get_sparse_size()
    row, column = graph.as_tensor().long()
    mask = torch.zeros(n + m, n + m, dtype=alpha.dtype)
    mask[row, column + n] = alpha * user[row]
    mask[column + n, row] = alpha * item[column]
    return mask


@pytest.mark.parametrize('name', GRAPHS)
def test_mask(toy, name):
    graph = GRAPHS[name](toy)
    n, m = graph.get_sparse_size()
    y = [torch.randn(size, 3, dtype=torch.float64) for size in (n, m)]
    alpha, user, item = adaptive_mask(graph, y)
    assert ((alpha >= 0) & (alpha <= 1)).all()
    a = both_ways(graph.as_tensor(), n, m)
    mask = as_matrix(graph, alpha, user, item)
    assert torch.allclose(mask, dense_mask(a, torch.cat(y)), atol=1e-10)
    assert torch.allclose(mask.sum(1), (a.sum(1) > 0).double(), atol=1e-10)
    equal = adaptive_mask(graph, [torch.ones(size, 3, dtype=torch.float64) for size in (n, m)])
    degree = a.sum(1, keepdim=True).clamp(min=1)
    assert torch.allclose(as_matrix(graph, *equal), a / degree, atol=1e-10)


def test_mask_of_opposite_ends_is_zero_with_finite_gradients():
    graph = as_graph(torch.tensor([[0, 1], [0, 0]]), 2, 2)
    y = torch.tensor([[1., 0.], [1., 1.]], requires_grad=True), torch.tensor([[-1., 0.], [1., 0.]])
    alpha, user, item = adaptive_mask(graph, y)
    assert alpha[0] == 0 and user[0] == 0 and alpha[1] > 0 and item[1] == 0
    (alpha.sum() + user.sum() + item.sum()).backward()
    assert y[0].grad.isfinite().all()


@pytest.mark.parametrize('sequence', [False, True])
def test_equals_dense(toy, sequence):
    model = DCCF(toy, dim=8, num_layers=2, num_intents=4).double()
    graph = RandomWalk(0.3).graphs(model.graph, 2) if sequence else None
    z = model(graph=graph, return_layers=True, return_views=True)
    x = [torch.cat(tuple(model.x))]
    for layer, views in enumerate(z.views):
        a = both_ways(graph[layer] if sequence else toy[EDGE_TYPE].edge_index, 30, 40)
        expected = dense_views(a, x[-1], model.user_intent, model.item_intent, 30)
        for ours, theirs in zip(views, expected, strict=True):
            assert torch.allclose(torch.cat(tuple(ours)), theirs, atol=1e-10)
        x.append(sum(expected) + x[-1])
    for ours, theirs in zip(z.layers, x, strict=True):
        assert torch.allclose(torch.cat(tuple(ours)), theirs, atol=1e-10)
    assert torch.allclose(torch.cat(tuple(z)), sum(x), atol=1e-10)
    assert not torch.allclose(z.views[0].masked.user, z.views[0].masked_intents.user, atol=1e-3)


def test_any_edge_index_and_no_layers(toy):
    model = DCCF(toy, dim=8, num_intents=4).double()
    for a, b in zip(model(), model(graph=toy[EDGE_TYPE].edge_index)):
        assert torch.allclose(a, b, atol=1e-10)
    assert model().layers == () and model().views == ()
    flat = DCCF(toy, dim=8, num_layers=0, num_intents=4)
    assert torch.equal(flat().user, flat.x.user)


def test_gradients():
    data = interaction_data(torch.tensor([[0, 0, 1, 2], [0, 1, 1, 3]]), 4, 5)
    model = DCCF(data, dim=2, num_layers=2, num_intents=3).double()
    inputs = [torch.randn(n, 2, dtype=torch.float64, requires_grad=True) for n in (4, 5)]

    def function(user, item):
        return torch.cat(tuple(model(x=Embeddings(user, item))))

    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize('pairs, n, m', [([[1], [1]], 3, 2), ([[0, 0], [2, 1]], 1, 4)])
def test_degenerate_graphs_stay_finite(pairs, n, m):
    model = DCCF(interaction_data(torch.tensor(pairs), n, m), dim=1, num_intents=1)
    z = model(return_views=True)
    (z.user.sum() + z.item.square().sum()).backward()
    assert z.user.isfinite().all() and z.item.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_views_are_pairs_with_what_is_propagated(toy):
    model = DCCF(toy, dim=8, num_layers=2, num_intents=4)
    z, pairs = model.views()
    assert torch.equal(z.user, model().user) and len(pairs) == 6
    expected = [(views.propagated, other) for views in z.views
                for other in (views.intents, views.masked, views.masked_intents)]
    for pair, other in zip(pairs, expected, strict=True):
        assert all(a is b for a, b in zip(pair, other, strict=True))


def test_intents_are_regularised(toy):
    batch = next(iter(InteractionLoader(toy, 64)))
    losses = []
    for weight in (0., 0.3):
        torch.manual_seed(0)
        model = DCCF(toy, dim=8, num_intents=4, intent_l2=weight)
        losses.append(methods.bpr(model)(batch))
    expected = 0.3 * (model.user_intent.norm()**2 + model.item_intent.norm()**2)
    assert torch.allclose(losses[1] - losses[0], expected, atol=1e-5)


def test_bad_arguments_and_repr(toy):
    with pytest.raises(ValueError, match="'num_intents' is 0"):
        DCCF(toy, num_intents=0)
    with pytest.raises(ValueError, match="'intent_l2' is -1"):
        DCCF(toy, intent_l2=-1)
    with pytest.raises(ValueError, match="'num_layers' is -1"):
        DCCF(toy, num_layers=-1)
    assert repr(DCCF(toy)) == 'DCCF(30 users, 40 items, dim=32, num_layers=2, num_intents=128)'
    assert not DCCF.linear
