import pytest
import torch
from graphs import BACKENDS_HERE, GRAPHS
from torch_geometric.typing import WITH_TORCH_SCATTER

from pyg_advcf import as_graph, interaction_graph
from pyg_advcf.ops import sampled_product
from pyg_advcf.ops.spmm import spmm, spmm_reference


@pytest.mark.parametrize('name', GRAPHS)
@pytest.mark.parametrize('transpose', [False, True])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_equals_reference(toy, name, transpose, dtype):
    graph = GRAPHS[name](toy)
    rows = graph.get_sparse_size(0 if transpose else 1)
    x = torch.randn(16, rows, dtype=dtype).t().requires_grad_()  # Not contiguous.
    y = x.detach().clone().requires_grad_()
    out, expected = spmm(graph, x, transpose), spmm_reference(graph, y, transpose)
    weight = torch.randn_like(out)
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    assert torch.allclose(out, expected, atol=tolerance)
    assert torch.allclose(x.grad, y.grad, atol=tolerance)


def test_scales(toy):
    graph = interaction_graph(toy)
    x, row, col = torch.randn(40, 3), torch.rand(30), torch.rand(40)
    expected = row.view(-1, 1) * spmm_reference(graph, col.view(-1, 1) * x)
    assert torch.allclose(spmm(graph, x, row_scale=row, col_scale=col), expected, atol=1e-5)


@pytest.mark.parametrize('transpose', [False, True])
def test_gradcheck(transpose):
    graph = as_graph(torch.tensor([[0, 0, 2, 1], [0, 1, 1, 3]]), 3, 4)
    rows, out = (3, 4) if transpose else (4, 3)
    inputs = (torch.randn(rows, 2, dtype=torch.float64, requires_grad=True),
              torch.rand(out, dtype=torch.float64, requires_grad=True),
              torch.rand(rows, dtype=torch.float64, requires_grad=True))

    def function(x, row, col):
        return spmm(graph, x, transpose, row, col)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize('backend', BACKENDS_HERE)
@pytest.mark.parametrize('transpose', [False, True])
@pytest.mark.parametrize('name', GRAPHS)
def test_edge_weight_equals_reference(toy, backend, transpose, name):
    graph = GRAPHS[name](toy)
    inputs = (torch.randn(graph.get_sparse_size(0 if transpose else 1), 5, dtype=torch.float64),
              torch.randn(graph.size(1), dtype=torch.float64))
    results = []
    for function in (lambda x, w: spmm(graph, x, transpose, edge_weight=w, backend=backend),
                     lambda x, w: spmm_reference(graph, x, transpose, w)):
        args = [t.clone().requires_grad_() for t in inputs]
        out = function(*args)
        grads = torch.autograd.grad((out * torch.linspace(-1, 1, 5)).square().sum(), args)
        results.append((out, *grads))
    for a, b in zip(*results):
        assert torch.allclose(a, b, atol=1e-12)


@pytest.mark.parametrize('transpose', [False, True])
@pytest.mark.parametrize('backend', ['torch', 'fused'])
def test_gradcheck_of_edge_weight(transpose, backend):
    graph = as_graph(torch.tensor([[0, 0, 2, 1], [0, 1, 1, 3]]), 3, 4)
    inputs = (torch.randn(3 if transpose else 4, 2, dtype=torch.float64, requires_grad=True),
              torch.randn(4, dtype=torch.float64, requires_grad=True))

    def function(x, weight):
        return spmm(graph, x, transpose, edge_weight=weight, backend=backend)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize('backend', BACKENDS_HERE)
@pytest.mark.parametrize('ids', [[2, 0], [], [1, 2, 0]])
@pytest.mark.parametrize('weighted', [False, True])
def test_rows_are_those_of_the_whole(backend, ids, weighted):
    graph = as_graph(torch.tensor([[0, 0, 2, 1], [0, 1, 1, 3]]), 3, 4)
    x = torch.randn(4, 64, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, dtype=torch.float64) if weighted else None
    scale, rows = torch.randn(3, dtype=torch.float64), torch.tensor(ids, dtype=torch.long)
    whole = spmm(graph, x, row_scale=scale, edge_weight=weight, backend='torch')[rows]
    part = spmm(graph, x, row_scale=scale, edge_weight=weight, rows=rows, backend=backend)
    assert torch.allclose(part, whole, atol=1e-12)
    grads = [torch.autograd.grad(out.square().sum(), x)[0] for out in (part, whole)]
    assert torch.allclose(*grads, atol=1e-12)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_edge_weight_in_half_precision(toy, dtype):
    graph, x = interaction_graph(toy), torch.randn(40, 4).to(dtype)
    grads = []
    for kind in (dtype, torch.float64):
        weight = torch.linspace(0, 1, 200).to(dtype).to(kind).requires_grad_()
        spmm(graph, x.to(kind), edge_weight=weight).sum().backward()
        grads.append(weight.grad.double())
    assert torch.allclose(*grads, atol=0.05)


def test_bad_rows_and_weights(toy):
    graph, x = interaction_graph(toy), torch.randn(40, 2)
    with pytest.raises(ValueError, match="'rows' repeats ids"):
        spmm(graph, x, rows=torch.tensor([3, 3]))
    with pytest.raises(ValueError, match=r"'edge_weight' has shape \[3\].* \[200\]"):
        spmm(graph, x, edge_weight=torch.ones(3))


@pytest.mark.skipif(not WITH_TORCH_SCATTER, reason='needs the extra: scatter')
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_equal_with_and_without_torch_scatter(monkeypatch, toy, dtype):
    graph, x = interaction_graph(toy), torch.randn(40, 5, dtype=dtype)
    index = torch.randint(40, (30, 7))
    results = []
    for there in (True, False):
        monkeypatch.setattr('torch_geometric.typing.WITH_TORCH_SCATTER', there)
        results.append((spmm(graph, x, backend='torch'),
                        sampled_product(x[:30], x, index, backend='torch')))
    for a, b in zip(*results):
        assert torch.allclose(a, b, atol=1e-5 if dtype == torch.float32 else 1e-12)


def test_wrong_rows(toy):
    with pytest.raises(ValueError, match="'x' has 30 rows.*'transpose' is False"):
        spmm(interaction_graph(toy), torch.randn(30, 2))
