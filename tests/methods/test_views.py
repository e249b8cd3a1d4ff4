import pytest
import torch
import torch.nn.functional as F

from pyg_advcf import MF, Cosine, InteractionLoader, LightGCN, criteria, fit, methods
from pyg_advcf.methods import UnsupportedBackbone, ViewRecommender
from pyg_advcf.nn import DCCF, LightGCL


class Halves(ViewRecommender):
    r"""Contrasts the embeddings with those over each half of the edges."""
    def views(self, batch):
        encode = self.encoder(batch)
        graph = self.backbone.graph.as_tensor()
        z = encode()
        return z, [(z, encode(graph=half)) for half in graph.chunk(2, dim=1)]


@pytest.fixture(params=[4, 64], ids=['few rows', 'all rows'])
def batch(toy, request):
    return next(iter(InteractionLoader(toy, request.param)))


@pytest.mark.parametrize('scope', ['batch', 'all'])
def test_adds_the_weighted_contrast_of_every_pair(toy, batch, scope):
    backbone = LightGCN(toy, dim=4).double()
    contrast = criteria.ViewInfoNCE(0.5, scope)
    method = Halves(backbone, contrast, 0.7, l2=0.3)
    whole, halves = backbone(), [backbone(graph=g)
                                 for g in backbone.graph.as_tensor().chunk(2, dim=1)]
    expected = methods.bpr(backbone, l2=0.3)(batch) + 0.7 * sum(
        contrast(whole, half, batch) for half in halves)
    assert torch.allclose(method(batch), expected, atol=1e-12)
    assert contrast(whole, halves[0], batch) > 0
    found, expected = (torch.autograd.grad(loss, list(backbone.parameters()))
                       for loss in (method(batch), expected))
    for a, b in zip(found, expected):
        assert torch.allclose(a, b, atol=1e-12)


@pytest.mark.parametrize('scope, rows', [('batch', 4), ('all', 30)])
def test_encodes_the_rows_that_are_read(toy, scope, rows):
    batch = next(iter(InteractionLoader(toy, 4)))
    z, pairs = Halves(LightGCN(toy, dim=4), criteria.ViewInfoNCE(0.5, scope), 1.).views(batch)
    assert all(v.user.size(0) == batch.user.unique().numel() if rows == 4 else v.is_complete
               for v in (z, *(v for pair in pairs for v in pair)))


def test_takes_another_ranking_loss_and_similarity(toy, batch):
    backbone = LightGCN(toy, dim=4).double()
    contrast = criteria.ViewInfoNCE(0.5)
    method = Halves(backbone, contrast, 0.7, criteria.InfoNCE(), Cosine(0.4), l2=0.3)
    halves = [backbone(graph=g) for g in backbone.graph.as_tensor().chunk(2, dim=1)]
    expected = methods.infonce(backbone, 0.4, l2=0.3)(batch) + 0.7 * sum(
        contrast(backbone(), half, batch) for half in halves)
    assert torch.allclose(method(batch), expected, atol=1e-12)
    assert method.negatives == 'many' and not method.l2.negatives


def test_takes_a_contrast_of_ones_own(toy, batch):
    class Distance(torch.nn.Module):
        def forward(self, first, second, batch):
            return F.mse_loss(first.users(batch.user), second.users(batch.user))

    backbone = LightGCN(toy, dim=4).double()
    method = Halves(backbone, Distance(), 0.7)
    halves = [backbone(graph=g).user for g in backbone.graph.as_tensor().chunk(2, dim=1)]
    expected = methods.bpr(backbone)(batch) + 0.7 * sum(
        (backbone().user - half)[batch.user].square().mean() for half in halves)
    assert torch.allclose(method(batch), expected, atol=1e-12)
    history = fit(method.float(), InteractionLoader(toy, 64), epochs=5, lr=0.05, progress=False)
    assert history.epochs[-1]['loss'] < history.epochs[0]['loss']


@pytest.mark.parametrize('backbone', [LightGCL, DCCF])
def test_by_default_the_views_are_those_of_the_backbone(toy, batch, backbone):
    model = backbone(toy, dim=8).double()
    method = ViewRecommender(model, criteria.ViewInfoNCE(0.5), 0.7)
    z, pairs = model.views()
    expected = methods.bpr(model)(batch) + 0.7 * sum(
        method.contrast(a, b, batch) for a, b in pairs)
    assert torch.allclose(method(batch), expected, atol=1e-12)
    assert len(pairs) == (1 if backbone is LightGCL else 6)


def test_bad_arguments(toy, batch):
    contrast = criteria.ViewInfoNCE()
    with pytest.raises(ValueError, match="'weight' is -1"):
        ViewRecommender(LightGCN(toy, dim=2), contrast, -1)
    with pytest.raises(UnsupportedBackbone, match="'backbone' is MF.*ViewRecommender needs"):
        ViewRecommender(MF(toy, dim=2), contrast, 1., requires=['graph'])
    with pytest.raises(NotImplementedError, match='has no views of its own'):
        ViewRecommender(LightGCN(toy, dim=2), contrast, 1.)(batch)
