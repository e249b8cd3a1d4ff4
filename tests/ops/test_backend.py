import pytest
import torch
from graphs import BACKENDS_HERE
from method_tools import PAIRS, num_neg

from pyg_advcf import InteractionLoader, MinMaxStep, interaction_graph, methods
from pyg_advcf.ops import backends, propagate, sampled_product, spmm
from pyg_advcf.ops.backend import choose
from pyg_advcf.registry import BACKBONES, METHODS
from pyg_advcf.training import step_for
from pyg_advcf.transforms import RandomSplit


@pytest.fixture
def only_torch(monkeypatch):
    r"""As if neither numba nor triton were installed."""
    monkeypatch.setattr('pyg_advcf.ops.backend._installed', lambda package: False)


def test_choice_and_report(monkeypatch, only_torch):
    monkeypatch.delenv('PYG_ADVCF_BACKEND', raising=False)
    assert choose('spmm', torch.zeros(1)) == choose('sampled_scores', torch.zeros(1)) == 'fused'
    assert choose('sampled_scores', torch.zeros(1, dtype=torch.bfloat16)) == 'torch'
    assert choose('spmm', torch.zeros(1), 'torch') == 'torch'
    assert backends()['sampled_scores on cpu'].startswith("fused: PyTorch's sampled product")
    assert "not numba: numba is not installed" in backends()['spmm on cpu']
    monkeypatch.setenv('PYG_ADVCF_BACKEND', 'torch')
    assert choose('spmm', torch.zeros(1)) == 'torch'
    assert choose('spmm', torch.zeros(1), 'fused') == 'fused'  # The argument wins.
    assert backends()['spmm on cpu'] == 'torch: forced by PYG_ADVCF_BACKEND'


def test_numba_comes_first_where_installed(monkeypatch):
    monkeypatch.delenv('PYG_ADVCF_BACKEND', raising=False)
    monkeypatch.setattr('pyg_advcf.ops.backend._installed', lambda package: True)
    assert choose('spmm', torch.zeros(1)) == choose('sampled_scores', torch.zeros(1)) == 'numba'
    assert choose('spmm', torch.zeros(1, dtype=torch.float16)) == 'fused'
    assert backends()['spmm on cpu'] == 'numba: compiled loops'


def test_unknown_or_unavailable_backend(monkeypatch, toy, only_torch):
    with pytest.raises(ValueError, match="'backend' is 'tritn'.*Did you mean 'triton'"):
        spmm(interaction_graph(toy), torch.randn(40, 2), backend='tritn')
    half = torch.randn(3, 4, dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="no kernel of sampled_scores for torch.bfloat16 on cpu"):
        sampled_product(half, half, torch.tensor([[0], [1], [2]]), backend='fused')
    with pytest.raises(ValueError, match=r"'numba', which is not available.*pyg_advcf\[fast\]"):
        spmm(interaction_graph(toy), torch.randn(40, 2), backend='numba')
    monkeypatch.setattr('pyg_advcf.ops.backend._installed', lambda package: True)
    monkeypatch.setenv('TRITON_INTERPRET', '0')
    with pytest.raises(ValueError, match="no kernel of spmm for torch.float32 on cpu"):
        spmm(interaction_graph(toy), torch.randn(40, 2), backend='triton')
    monkeypatch.setenv('PYG_ADVCF_BACKEND', 'fast')
    with pytest.raises(ValueError, match="'PYG_ADVCF_BACKEND' is 'fast'"):
        propagate(interaction_graph(toy), torch.randn(30, 2), torch.randn(40, 2), 1)


@pytest.mark.parametrize('backend', BACKENDS_HERE)
def test_gradcheck_of_every_backend(toy_factory, backend):
    graph = interaction_graph(toy_factory(4, 5, 8, held_out=False))
    user = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    item = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([[0, 0, 4], [1, 4, 4], [3, 2, 1], [0, 1, 2]])
    rows = torch.tensor([2, 0])
    fast = backend == 'triton'  # Interpreted: random projections instead of every entry.
    for function in (lambda u, i: spmm(graph, i, backend=backend),
                     lambda u, i: spmm(graph, u, transpose=True, backend=backend),
                     lambda u, i: spmm(graph, i, rows=rows, backend=backend),
                     lambda u, i: propagate(graph, u, i, 2, backend=backend),
                     lambda u, i: propagate(graph, u, i, 1, (rows, rows + 1), backend),
                     lambda u, i: propagate(graph, u, i, 2, (None, rows), backend),
                     lambda u, i: sampled_product(u, i, index, backend)):
        assert torch.autograd.gradcheck(function, (user, item), fast_mode=fast)
        assert torch.autograd.gradgradcheck(function, (user, item), fast_mode=fast)


# All methods over the two plain backbones, and the others under their own method.
@pytest.mark.parametrize('backbone, name', [(backbone, name) for backbone, name in PAIRS
                                            if backbone in ('lightgcn', 'mf', name)])
def test_backends_change_no_result(monkeypatch, toy_factory, name, backbone):
    data = toy_factory(6, 8, 20, held_out=False)  # Small, for Triton's interpreter.
    # Triton's interpreter takes its time: those methods that have all of its kernels between them.
    names = [b for b in BACKENDS_HERE if b != 'triton' or (
        backbone in ('lightgcn', 'mf') and name in ('bpr', 'infonce', 'advinfonce'))]
    build = METHODS[name]
    if name == 'accf':
        data = RandomSplit(val=0., outer=0.2, per_user=False)(data)

        def build(backbone):
            return methods.ACCF(backbone, weighting='bilevel')

    losses = {}
    for backend in names:
        monkeypatch.setenv('PYG_ADVCF_BACKEND', backend)
        torch.manual_seed(0)
        method = build(BACKBONES[backbone](data, dim=4))
        loader = InteractionLoader(data, 4 if name == 'accf' else 5, num_neg(method, 4), seed=3)
        step = step_for(method, loader, lr=0.01)
        losses[backend] = []
        for epoch in range(5):
            method.on_epoch_start(epoch)
            if isinstance(step, MinMaxStep) and epoch % 2 == 0:
                losses[backend].append(step.adversary_pass(loader)['adversary_loss'])
            losses[backend] += [float(step(batch)) for batch in loader]
    assert len(losses['torch']) >= 20
    for backend in names:
        assert losses[backend] == pytest.approx(losses['torch'], rel=1e-4)
