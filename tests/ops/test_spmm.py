import pytest
import torch
from graphs import GRAPHS

from pyg_advcf import as_graph, interaction_graph
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


def test_wrong_rows(toy):
    with pytest.raises(ValueError, match="'x' has 30 rows.*'transpose' is False"):
        spmm(interaction_graph(toy), torch.randn(30, 2))
