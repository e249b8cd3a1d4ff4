r"""On a GPU the operations give what they give on CPU; skipped without one."""
import pytest
import torch
from method_tools import num_neg, supports

from pyg_advcf import InteractionLoader, interaction_graph
from pyg_advcf.ops import propagate, sampled_scores, spmm
from pyg_advcf.ops.backend import choose
from pyg_advcf.registry import BACKBONES, METHODS
from pyg_advcf.training import step_for
from pyg_advcf.transforms import RandomSplit

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
BACKENDS = [None, 'torch', 'fused', 'triton']


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
def test_propagation(toy, backend, dtype):
    graph = interaction_graph(toy)
    tables = [torch.randn(n, 64) for n in (30, 40)]
    results = []
    for device, kind, name in (('cpu', torch.float64, 'torch'), ('cuda', dtype, backend)):
        x = [t.to(device, kind).requires_grad_() for t in tables]
        out = [*propagate(graph.to(device), *x, 2, backend=name),
               spmm(graph.to(device), x[1], backend=name)]
        grads = torch.autograd.grad(sum(o.square().sum() for o in out), x)
        results.append([t.double().cpu() for t in (*out, *grads)])
    tolerance = {torch.float32: 1e-4, torch.float64: 1e-12, torch.bfloat16: 0.3}[dtype]
    for a, b in zip(*results):
        assert torch.allclose(a, b, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize('backend', [None, 'torch', 'triton'])
@pytest.mark.parametrize('kind', ['dot', 'cosine'])
def test_sampled_scores(backend, kind):
    tables = [torch.randn(n, 64) for n in (30, 40)]
    ids = [torch.randint(30, (50, )), torch.randint(40, (50, )), torch.randint(40, (50, 17))]
    results = []
    for device, name in (('cpu', 'torch'), ('cuda', backend)):
        x = [t.to(device).requires_grad_() for t in tables]
        pos, neg = sampled_scores(*x, *(i.to(device) for i in ids), kind, 0.2, name)
        grads = torch.autograd.grad(pos.sum() + neg.sin().sum(), x)
        results.append([t.cpu() for t in (pos, neg, *grads)])
    for a, b in zip(*results):
        assert torch.allclose(a, b, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize('name', [*METHODS, 'accf bilevel'])
def test_methods_train(toy, name):
    kwargs = {}
    if name == 'accf bilevel':
        name, kwargs = 'accf', {'weighting': 'bilevel'}
        toy = RandomSplit(val=0., outer=0.1, per_user=False)(toy)
    data = toy.to('cuda')
    backbone = next(b for b in ('lightgcn', 'lightgcl', 'dccf') if supports(b, name))
    method = METHODS[name](BACKBONES[backbone](data, dim=16), **kwargs).to('cuda')
    loader = InteractionLoader(data, 64, num_neg(method, 8))
    step = step_for(method, loader, lr=0.01)
    losses = [float(torch.stack([step(batch) for batch in loader]).mean()) for _ in range(20)]
    assert losses[-1] < losses[0]
    assert method.recommend(torch.arange(3, device='cuda'), 5).item.device.type == 'cuda'


def test_open_choice():
    x = torch.zeros(1, device='cuda')
    assert choose('spmm', x) == 'fused' and choose('sampled_scores', x) == 'triton'
