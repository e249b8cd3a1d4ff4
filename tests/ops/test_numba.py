import os
import subprocess
import sys

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


SCRIPT = """
import torch
from pyg_advcf.ops import _numba as kernels, sampled_product
kernels._WORTHWHILE = 0
torch.set_num_threads(2)
a, b = torch.randn(50, 8, requires_grad=True), torch.randn(60, 8, requires_grad=True)
index = torch.randint(60, (50, 10))
grads = [torch.autograd.grad(sampled_product(a, b, index, name).sin().sum(), (a, b))
         for name in ('numba', 'torch')]
for x, y in zip(*grads):
    assert torch.allclose(x, y, atol=1e-5)
print('equal')
"""


@pytest.mark.parametrize('limit', [{'OMP_THREAD_LIMIT': '1'}, {'OMP_DYNAMIC': 'true'}, {}])
def test_fewer_threads_than_asked_for_leave_nothing_out(limit):
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', SCRIPT], text=True,
                          capture_output=True, env={**os.environ, 'OMP_NUM_THREADS': '2', **limit})
    assert done.returncode == 0 and done.stdout == 'equal\n', done.stderr[-2000:]


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_infinities_keep_their_meaning(dtype):
    x = torch.tensor([[float('inf'), 1.], [1., 2.]], dtype=dtype)
    index = torch.tensor([[0, 1], [1, 0]])
    assert torch.equal(sampled_product(x, x.abs(), index, 'numba'),
                       sampled_product(x, x.abs(), index, 'torch'))
    unit = torch.nn.functional.normalize(x, dim=-1)
    assert torch.equal(normalize(x, 'numba').isnan(), unit.isnan())
