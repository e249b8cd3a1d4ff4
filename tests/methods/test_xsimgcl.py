import pytest
import torch
import torch.nn.functional as F

from pyg_advcf import InteractionLoader, LightGCN, methods
from pyg_advcf.nn import VGAE


@pytest.fixture
def batch(toy):
    return next(iter(InteractionLoader(toy, 64)))


def test_contrasts_its_pass_with_a_layer_of_it(toy, batch):
    method = methods.XSimGCL(LightGCN(toy, dim=4, skip_input=True).double(), weight=0.7, layer=2,
                             l2=0.)
    torch.manual_seed(1)
    loss = method(batch)
    torch.manual_seed(1)
    z = method.backbone(return_layers=True, noise=0.2)
    layer = z.layers[2]
    user = torch.unique(batch.user)
    a, b = (F.normalize(t[user], dim=-1) for t in (z.user, layer.user))
    side = F.cross_entropy(a @ b.t() / 0.15, torch.arange(user.numel()))
    assert torch.allclose(method.contrast.side(z.user, layer.user, batch.user), side)
    pos, neg = method.similarity(z, batch)
    expected = F.softplus(neg[:, 0] - pos).mean() + 0.7 * (
        side + method.contrast.side(z.item, layer.item, batch.item))
    assert torch.allclose(loss, expected, atol=1e-12)


def test_one_pass_serves_both_parts(toy, batch, monkeypatch):
    method = methods.XSimGCL(LightGCN(toy, dim=4))
    calls, forward = [], LightGCN.forward
    monkeypatch.setattr(LightGCN, 'forward', lambda *a, **k: calls.append(k) or forward(*a, **k))
    method(batch)
    assert [call['noise'] for call in calls] == [0.2]


def test_layers_of_vgae_are_those_before_the_draw(toy, batch):
    model = VGAE(toy, dim=4, beta=0.).double()
    method = methods.XSimGCL(model, weight=0.7, epsilon=0., l2=0.)
    torch.manual_seed(1)
    z = model(return_layers=True)
    torch.manual_seed(1)
    ranking = method.criterion(*method.similarity(z, batch))
    expected = ranking + 0.7 * method.contrast(z, z.layers[1], batch)
    assert torch.allclose(method(batch), expected, atol=1e-12)


def test_bad_layers(toy):
    with pytest.raises(ValueError, match="'layer' is 4, but the backbone has 3"):
        methods.XSimGCL(LightGCN(toy, dim=2), layer=4)
    with pytest.raises(ValueError, match="'layer' is 0"):
        methods.XSimGCL(LightGCN(toy, dim=2), layer=0)
