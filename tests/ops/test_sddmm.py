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
    for shapes in ([(4, 2), (3, 2)], [(3, 2), (4, 3)]):
        with pytest.raises(ValueError, match="'user' and 'item' have shapes"):
            sddmm(graph, *(torch.randn(shape) for shape in shapes))
