import pytest
import torch
from graphs import BACKENDS_HERE, GRAPHS

from pyg_advcf import as_graph, interaction_graph
from pyg_advcf.ops import propagate


def dense(graph, x, num_layers):
    n, m = graph.get_sparse_size()
    a = torch.zeros(n + m, n + m, dtype=x.dtype)
    user, item = graph.as_tensor().long()
    a[user, item + n] = a[item + n, user] = 1
    scale = a.sum(1).clamp(min=1).rsqrt()
    a = scale.view(-1, 1) * a * scale
    layers = [x]
    for _ in range(num_layers):
        layers.append(a @ layers[-1])
    return sum(layers) / len(layers)


@pytest.mark.parametrize('name', GRAPHS)
@pytest.mark.parametrize('num_layers', [0, 1, 3])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_equals_dense(toy, name, num_layers, dtype):
    graph = GRAPHS[name](toy)
    n, m = graph.get_sparse_size()
    x = torch.randn(4, n + m, dtype=dtype).t().requires_grad_()  # Not contiguous.
    y = x.detach().clone().requires_grad_()
    out = torch.cat(propagate(graph, x[:n], x[n:], num_layers))
    expected = dense(graph, y, num_layers)
    weight = torch.randn_like(out)
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    assert torch.allclose(out, expected, atol=tolerance)
    assert torch.allclose(x.grad, y.grad, atol=tolerance)


def test_gradcheck_and_one_sided_gradients():
    graph = as_graph(torch.tensor([[0, 0, 2, 1], [0, 1, 1, 3]]), 3, 4)
    inputs = (torch.randn(3, 2, dtype=torch.float64, requires_grad=True),
              torch.randn(4, 2, dtype=torch.float64, requires_grad=True))
    for part in (lambda u, i: u, lambda u, i: i, lambda u, i: torch.cat([u, i])):
        def function(user, item, part=part):
            return part(*propagate(graph, user, item, 2))

        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


def test_compiles(toy):
    graph = interaction_graph(toy)
    from pyg_advcf.ops.propagate import _propagate
    from pyg_advcf.ops.spmm import compressed
    structure = (*compressed(graph, False), *compressed(graph, True))
    x = torch.randn(30, 4), torch.randn(40, 4)
    compiled = torch.compile(lambda u, i: _propagate(u, i, *structure, *[None] * 4, 2, 'fused'),
                             backend='aot_eager', fullgraph=True)
    for a, b in zip(compiled(*x), propagate(graph, *x, 2, backend='fused')):
        assert torch.equal(a, b)


@pytest.mark.parametrize('backend', BACKENDS_HERE)
@pytest.mark.parametrize('num_layers', [0, 1, 2, 3])
@pytest.mark.parametrize('rows', [([3, 0, 29], None), (None, [39, 1]), ([5], [2, 7, 0]), ([], [4])])
def test_rows_are_those_of_the_whole(toy, backend, num_layers, rows):
    graph = interaction_graph(toy)
    rows = [None if ids is None else torch.tensor(ids, dtype=torch.long) for ids in rows]
    tables = [torch.randn(n, 64, dtype=torch.float64, requires_grad=True) for n in (30, 40)]
    whole = [out if ids is None else out[ids] for out, ids in zip(
        propagate(graph, *tables, num_layers, backend='torch'), rows)]
    part = propagate(graph, *tables, num_layers, rows, backend)
    weight = [torch.randn_like(out) for out in whole]
    results = []
    for out in (whole, part):
        grads = torch.autograd.grad(sum((o * w).sum() for o, w in zip(out, weight)), tables)
        results.append((*out, *grads))
    for a, b in zip(*results):
        assert torch.allclose(a, b, atol=1e-12)


def test_bad_rows(toy):
    graph, tables = interaction_graph(toy), (torch.randn(30, 2), torch.randn(40, 2))
    with pytest.raises(ValueError, match=r"'rows\[1\]' holds the id 40"):
        propagate(graph, *tables, 2, (None, torch.tensor([40])))
    with pytest.raises(ValueError, match=r"'rows\[0\]' repeats ids: 3 are given, 2 are distinct"):
        propagate(graph, *tables, 2, (torch.tensor([1, 2, 1]), None))


def test_wrong_rows(toy):
    with pytest.raises(ValueError, match=r"'user' and 'item' have 40 and 30 rows.*\(30, 40\)"):
        propagate(interaction_graph(toy), torch.randn(40, 2), torch.randn(30, 2), 2)
