import pytest
import torch

from pyg_advcf import interaction_graph
from pyg_advcf.ops import propagate, sampled_product
from pyg_advcf.ops.normalize import normalize

kernels = pytest.importorskip('pyg_advcf.ops._numba')


@pytest.fixture(params=[torch.float32, torch.float64])
def problem(toy, request):
    a, b = (torch.randn(n, 64, dtype=request.param, requires_grad=True) for n in (30, 40))
    graph, index = interaction_graph(toy), torch.randint(40, (30, 17))
    rows = torch.tensor([3, 29, 7, 0, 11]), torch.tensor([39, 1])

    def run():
        outs = [*propagate(graph, a, b, 2, rows, 'numba'), sampled_product(a, b, index, 'numba'),
                normalize(a, 'numba')]
        loss = sum((out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)).sum()
                   for out in outs)
        return *outs, *torch.autograd.grad(loss, (a, b))

    return run


def test_results_do_not_depend_on_the_threads(monkeypatch, problem):
    expected = problem()  # Too small for a second thread.
    monkeypatch.setattr(kernels, '_WORTHWHILE', 0)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert kernels._parts(1) == (count if kernels._runtime else 1)
            for a, b in zip(problem(), expected):
                assert torch.equal(a, b)
    finally:
        torch.set_num_threads(threads)


def test_one_thread_where_the_runtime_is_another(monkeypatch, problem):
    expected = problem()
    monkeypatch.setattr(kernels, '_WORTHWHILE', 0)
    monkeypatch.setattr(kernels, '_runtime', None)
    assert kernels._parts(10**9) == 1
    for a, b in zip(problem(), expected):
        assert torch.equal(a, b)
