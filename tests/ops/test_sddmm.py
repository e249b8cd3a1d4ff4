import pytest
import torch
from graphs import BACKENDS_HERE, GRAPHS

from pyg_advcf import as_graph
from pyg_advcf.ops import sddmm


@pytest.mark.parametrize('backend', BACKENDS_HERE)
@pytest.mark.parametrize('name', GRAPHS)
def test_equals_gathered_rows(toy, backend, name):
    graph = GRAPHS[name](toy)
    n, m = graph.get_sparse_size()
    x, y = (torch.randn(size, 5, dtype=torch.float64, requires_grad=True) for size in (n, m))
    user, item = graph.as_tensor().long()
    results = []
    for out in (sddmm(graph, x, y, backend), (x[user] * y[item]).sum(1)):
        grads = torch.autograd.grad(out.square().sum(), (x, y))
        results.append((out, *grads))
    for a, b in zip(*results):
        assert torch.allclose(a, b, atol=1e-12)


def test_gradcheck():
    graph = as_graph(torch.tensor([[0, 0, 2, 1], [0, 1, 1, 3]]), 3, 4)
    inputs = [torch.randn(n, 2, dtype=torch.float64, requires_grad=True) for n in (3, 4)]
    assert torch.autograd.gradcheck(lambda x, y: sddmm(graph, x, y), inputs)
    assert torch.autograd.gradgradcheck(lambda x, y: sddmm(graph, x, y), inputs)


def test_bad_shapes():
    graph = as_graph(torch.tensor([[0], [0]]), 3, 4)
    with pytest.raises(ValueError, match="'user' and 'item' have 4 and 3 rows.*shape .3, 4."):
        sddmm(graph, torch.randn(4, 2), torch.randn(3, 2))
    with pytest.raises(ValueError, match="'item' has shape .*they need the same width"):
        sddmm(graph, torch.randn(3, 2), torch.randn(4, 3))
