import pytest
import torch
import torch.nn.functional as F
from graphs import BACKENDS_HERE, GRAPHS
from scipy.stats import kstest

from pyg_advcf import LightGCN, as_graph, interaction_graph
from pyg_advcf.embeddings import Index
from pyg_advcf.ops import layer_sums
from pyg_advcf.ops.layers import uniform_like
from pyg_advcf.ops.spmm import spmm_reference

WEIGHTS = [[0.25, 0.25, 0.25, 0.25], [0., 0., 1., 0.], [2., 0., 0., -0.5]]


def reference(graph, user, item, weights, noise=0.):
    degree = [torch.bincount(ids.long(), minlength=t.size(0)).clamp(min=1).to(t.dtype)
              for ids, t in zip(graph.as_tensor(), (user, item))]
    root = [d.rsqrt().view(-1, 1) for d in degree]
    layers = [(user, item)]
    for _ in weights[0][1:]:
        u, i = layers[-1]
        layer = (root[0] * spmm_reference(graph, i * root[1]),
                 root[1] * spmm_reference(graph, u * root[0], transpose=True))
        layers.append(tuple(h + noise * h.detach().sign() * F.normalize(uniform_like(h))
                            for h in layer))
    return [tuple(sum(w * t for w, t in zip(row, side)) for side in zip(*layers))
            for row in weights]


def leaves(graph, dtype, width=3):
    return [torch.randn(width, n, dtype=dtype).t().requires_grad_()  # Not contiguous.
            for n in graph.get_sparse_size()]


@pytest.mark.parametrize('name', GRAPHS)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('noise', [0., 0.3])
@pytest.mark.parametrize('backend', BACKENDS_HERE)
def test_equals_scattering_layer_by_layer(toy, name, dtype, noise, backend):
    graph = GRAPHS[name](toy)
    x = leaves(graph, dtype)
    y = [t.detach().clone().requires_grad_() for t in x]
    torch.manual_seed(0)
    found = layer_sums(graph, *x, WEIGHTS, noise, backend=backend)
    torch.manual_seed(0)
    expected = reference(graph, *y, WEIGHTS, noise)
    for pairs in (found, expected):
        sum((t.sin() * k).sum() for k, pair in enumerate(pairs, 1) for t in pair).backward()
    tolerance = dict(atol=2e-5, rtol=1e-4) if dtype == torch.float32 else dict(atol=1e-11)
    for pair, other in zip(found, expected):
        for a, b in zip(pair, other):
            assert torch.allclose(a, b, **tolerance)
    for a, b in zip(x, y):
        assert torch.allclose(a.grad, b.grad, **tolerance)


@pytest.mark.parametrize('backend', BACKENDS_HERE)
@pytest.mark.parametrize('num_layers', [0, 1, 3])
def test_wanted_rows_alone(toy, backend, num_layers):
    graph = interaction_graph(toy)
    weights = [row[:num_layers + 1] for row in ([1., 2., 3., 4.], [4., 0.5, 0., 1.])]
    for rows in ((torch.tensor([3, 0, 7]), torch.tensor([5])), (None, torch.tensor([1, 2])),
                 (torch.tensor([2]), None), (torch.tensor([], dtype=torch.long), None)):
        x = leaves(graph, torch.float64)
        y = [t.detach().clone().requires_grad_() for t in x]
        found = layer_sums(graph, *x, weights, rows=rows, backend=backend)
        whole = layer_sums(graph, *y, weights, backend=backend)
        expected = [tuple(t if ids is None else t[ids] for t, ids in zip(pair, rows))
                    for pair in whole]
        for pairs in (found, expected):
            sum((t.sin() * k).sum() for k, pair in enumerate(pairs, 1) for t in pair).backward()
        for pair, other in zip(found, expected):
            assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(pair, other))
        assert all(torch.allclose(a.grad, b.grad, atol=1e-12) for a, b in zip(x, y))


@pytest.mark.parametrize('rows', [(None, None), (torch.tensor([2, 0]), torch.tensor([3]))])
def test_gradcheck_twice_and_one_sided(rows):
    graph = as_graph(torch.tensor([[0, 0, 2, 1], [0, 1, 1, 3]]), 3, 4)
    x = leaves(graph, torch.float64, 2)
    for part in (lambda pairs: pairs[0][0], lambda pairs: pairs[1][1],
                 lambda pairs: torch.cat([t for pair in pairs for t in pair])):
        def function(user, item, part=part):
            return part(layer_sums(graph, user, item, WEIGHTS[:2], rows=rows))

        assert torch.autograd.gradcheck(function, x)
        assert torch.autograd.gradgradcheck(function, x)


def test_noise_has_its_length_its_sign_and_no_gradient(toy):
    graph = interaction_graph(toy)
    x = leaves(graph, torch.float64, 8)
    rows = torch.tensor([4, 1]), torch.tensor([0, 9, 3])
    (clean, ), (noisy, ) = (layer_sums(graph, *x, [[0., 1.]], noise, rows) for noise in (0., 0.2))
    for a, b in zip(clean, noisy):
        shift = b - a
        assert torch.allclose(shift.norm(dim=1), torch.tensor(0.2, dtype=torch.double))
        assert ((shift * a) >= 0).all() and (shift != 0).any()
    grads = [torch.autograd.grad(sum(t.sum() for t in pair), x) for pair in (clean, noisy)]
    assert all(torch.equal(a, b) for a, b in zip(*grads))


def test_uniform_draws_are_uniform_in_every_place():
    torch.manual_seed(0)
    drawn = uniform_like(torch.empty(1001, 7, dtype=torch.double))
    assert drawn.shape == (1001, 7) and 0 < drawn.min() and drawn.max() < 1
    flat = drawn.view(-1)
    for part in (flat, *(flat[k::4] for k in range(4))):
        assert kstest(part.numpy(), 'uniform').pvalue > 0.01
    apart = torch.corrcoef(torch.stack([flat[k::4][:1700] for k in range(4)]))
    assert (apart - torch.eye(4)).abs().max() < 0.1
    assert uniform_like(torch.empty(0, 3)).shape == (0, 3)
    assert not torch.equal(drawn, uniform_like(drawn))


def test_isolated_nodes_get_no_noise():
    graph = as_graph(torch.tensor([[0], [0]]), 2, 2)
    (user, item), = layer_sums(graph, torch.ones(2, 3), torch.ones(2, 3), [[0., 1.]], noise=0.5)
    assert not user[1].any() and not item[1].any() and (user[0] > 1).any()


def test_layers_of_lightgcn_over_rows(toy):
    rows = Index.of(torch.tensor([3, 0]), 30), Index.of(torch.tensor([7, 1, 2]), 40)
    ids = torch.tensor([0, 3]), torch.tensor([1, 2, 7])
    for skip in (False, True):
        model = LightGCN(toy, dim=4, num_layers=2, skip_input=skip).double()
        whole = model(return_layers=True)
        for kwargs in ({}, {'return_layers': True}, {'graph': [model.graph] * 2}):
            z = model(rows=rows, **kwargs)
            assert len(z.layers) == (3 if kwargs.get('return_layers') else 0)
            for some, full in zip((z, *z.layers), (whole, *whole.layers)):
                assert some.user_index is rows[0] and some.item_index is rows[1]
                for t, f, wanted in zip(some, full, ids):
                    assert t.shape == (wanted.numel(), 4) and torch.allclose(t, f[wanted])
                assert torch.allclose(some.users(torch.tensor([3])), full.user[[3]])
        for side in (0, 1):  # All of one side.
            z = model(rows=(rows[0], None) if side == 0 else (None, rows[1]))
            assert torch.allclose(tuple(z)[side], tuple(whole)[side][ids[side]])
            assert torch.allclose(tuple(z)[1 - side], tuple(whole)[1 - side])


def test_errors(toy):
    graph = interaction_graph(toy)
    x = [t.detach() for t in leaves(graph, torch.float32)]
    with pytest.raises(ValueError, match="'user' and 'item' have 2 and 40 rows, but the graph"):
        layer_sums(graph, x[0][:2], x[1], [[1., 1.]])
    for weights in ([], [[1., 1.], [1.]], [[0., 0.]]):
        with pytest.raises(ValueError, match="'weights' is .*needs rows of one length"):
            layer_sums(graph, *x, weights)
    with pytest.raises(ValueError, match="'noise' is -1.0"):
        layer_sums(graph, *x, [[1., 1.]], noise=-1.)
    with pytest.raises(ValueError, match=r"'rows\[0\]' holds the id 99"):
        layer_sums(graph, *x, [[1., 1.]], rows=(torch.tensor([99]), None))
