import pytest
import torch

from pyg_advcf import MF, InteractionLoader, LightGCN, MinMaxStep, Step, interaction_graph
from pyg_advcf.methods import AdversarialRecommender
from pyg_advcf.ops import backends, propagate, sampled_product, spmm
from pyg_advcf.ops.backend import BACKENDS, choose
from pyg_advcf.registry import METHODS


def test_choice_and_report(monkeypatch):
    monkeypatch.delenv('PYG_ADVCF_BACKEND', raising=False)
    assert choose('spmm', torch.zeros(1)) == choose('sampled_scores', torch.zeros(1)) == 'fused'
    assert choose('sampled_scores', torch.zeros(1, dtype=torch.bfloat16)) == 'torch'
    assert choose('spmm', torch.zeros(1), 'torch') == 'torch'
    assert backends()['sampled_scores on cpu'].startswith("fused: PyTorch's sampled product")
    monkeypatch.setenv('PYG_ADVCF_BACKEND', 'torch')
    assert choose('spmm', torch.zeros(1)) == 'torch'
    assert choose('spmm', torch.zeros(1), 'fused') == 'fused'  # The argument wins.
    assert backends()['spmm on cpu'] == 'torch: forced by PYG_ADVCF_BACKEND'


def test_unknown_or_unavailable_backend(monkeypatch, toy):
    with pytest.raises(ValueError, match="'backend' is 'triton'.*Choose one of: fused, torch"):
        spmm(interaction_graph(toy), torch.randn(40, 2), backend='triton')
    half = torch.randn(3, 4, dtype=torch.bfloat16)
    with pytest.raises(RuntimeError, match="no fused kernel of sampled_scores for torch.bfloat16"):
        sampled_product(half, half, torch.tensor([[0], [1], [2]]), backend='fused')
    monkeypatch.setenv('PYG_ADVCF_BACKEND', 'fast')
    with pytest.raises(ValueError, match="'PYG_ADVCF_BACKEND' is 'fast'"):
        propagate(interaction_graph(toy), torch.randn(30, 2), torch.randn(40, 2), 1)


@pytest.mark.parametrize('backend', BACKENDS)
def test_gradcheck_of_every_backend(toy_factory, backend):
    graph = interaction_graph(toy_factory(4, 5, 8, held_out=False))
    user = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    item = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([[0, 0, 4], [1, 4, 4], [3, 2, 1], [0, 1, 2]])
    for function in (lambda u, i: spmm(graph, i, backend=backend),
                     lambda u, i: spmm(graph, u, transpose=True, backend=backend),
                     lambda u, i: propagate(graph, u, i, 2, backend),
                     lambda u, i: sampled_product(u, i, index, backend)):
        assert torch.autograd.gradcheck(function, (user, item))
        assert torch.autograd.gradgradcheck(function, (user, item))


@pytest.mark.parametrize('name', METHODS)
@pytest.mark.parametrize('backbone', [LightGCN, MF])
def test_backends_change_no_result(monkeypatch, toy, name, backbone):
    losses = {}
    for backend in BACKENDS:
        monkeypatch.setenv('PYG_ADVCF_BACKEND', backend)
        torch.manual_seed(0)
        method = METHODS[name](backbone(toy, dim=16), toy)
        adversarial = isinstance(method, AdversarialRecommender)
        step = MinMaxStep(method, lr=0.01) if adversarial else Step(method, lr=0.01)
        loader = InteractionLoader(toy, 64, 1 if name in ('bpr', 'bce') else 8, seed=3)
        losses[backend] = []
        for _ in range(5):
            if adversarial and method.criterion.learns:
                losses[backend].append(step.adversary_pass(loader)['adversary_loss'])
            losses[backend] += [float(step(batch)) for batch in loader]
    assert len(losses['torch']) >= 20
    assert losses['fused'] == pytest.approx(losses['torch'], rel=1e-4)
