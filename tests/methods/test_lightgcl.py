import pytest
import torch
import torch.nn.functional as F

from pyg_advcf import InteractionLoader, LightGCN, methods
from pyg_advcf.nn import LightGCL


@pytest.fixture
def batch(toy):
    return next(iter(InteractionLoader(toy, 64)))


def test_without_weight_it_is_bpr(toy, batch):
    backbone = LightGCL(toy, dim=4).double()
    assert torch.equal(methods.LightGCL(backbone, toy, weight=0.)(batch),
                       methods.BPR(backbone, toy)(batch))


@pytest.mark.parametrize('scope', ['batch', 'all'])
def test_contrasts_the_low_rank_view(toy, batch, scope):
    backbone = LightGCL(toy, dim=4).double()
    method = methods.LightGCL(backbone, toy, 0.3, weight=0.7, scope=scope)
    z = backbone(return_layers=True)
    view = backbone.low_rank_view(z)
    expected = methods.BPR(backbone, toy)(batch)
    for g, e, ids in zip(view[:2], z[:2], (batch.user.unique(), batch.item.unique())):
        others, target = (e, ids) if scope == 'all' else (e[ids], torch.arange(ids.numel()))
        expected = expected + 0.7 * F.cross_entropy(
            F.normalize(g[ids], dim=1) @ F.normalize(others, dim=1).t() / 0.3, target)
    assert torch.allclose(method(batch), expected, atol=1e-10)


@pytest.mark.parametrize('size', [0.1, 3.])  # Whether the bound of 5 is reached.
def test_parity(toy, batch, size):
    backbone = LightGCL(toy, dim=4, init='normal_0.1').double()
    for p in backbone.parameters():
        p.data *= size / 0.1
    method = methods.LightGCL(backbone, toy, 0.2, weight=0.7, parity=True)
    z = backbone(return_layers=True)
    view = backbone.low_rank_view(z)
    expected, bounded = methods.BPR(backbone, toy)(batch), 0
    for g, e, ids in zip(view[:2], z[:2], (batch.user, batch.item)):
        scores = g[ids] @ e.t() / 0.2
        own = scores[torch.arange(64), ids]
        bounded += int((own.abs() > 5).sum())
        expected = expected + 0.7 * (scores.exp().sum(1).log().mean() - own.clamp(-5, 5).mean()
                                     if size < 1 else
                                     scores.logsumexp(1).mean() - own.clamp(-5, 5).mean())
    assert (bounded > 0) == (size > 1)
    assert torch.allclose(method(batch), expected, atol=1e-9)


def test_bad_arguments(toy):
    with pytest.raises(ValueError, match="has no low-rank view.*use pyg_advcf.nn.LightGCL"):
        methods.LightGCL(LightGCN(toy, dim=2), toy)
    with pytest.raises(ValueError, match="'temperature' is 0"):
        methods.LightGCL(LightGCL(toy, dim=2), toy, temperature=0)
    with pytest.raises(ValueError, match="'weight' is -1"):
        methods.LightGCL(LightGCL(toy, dim=2), toy, weight=-1)
