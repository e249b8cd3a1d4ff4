import pytest
import torch
import torch.nn.functional as F

from pyg_advcf import MF, InteractionLoader, LightGCN, methods
from pyg_advcf.nn import Backbone


@pytest.fixture
def batch(toy):
    return next(iter(InteractionLoader(toy, 64)))


def test_noise_has_its_length_and_keeps_signs(toy):
    model = LightGCN(toy, dim=4, num_layers=1).double()
    clean = model(return_layers=True).layers[1]
    noisy = model(return_layers=True, noise=0.3).layers[1]
    for a, b in zip(clean, noisy):
        linked = a.abs().sum(1) > 0  # An isolated node has sign 0, and no noise.
        assert torch.allclose((b - a)[linked].norm(dim=1), torch.tensor(0.3).double())
        assert torch.equal(a.sign(), b.sign()) and not b[~linked].any()
    assert not torch.equal(model(noise=0.3).user, model(noise=0.3).user)


def test_skip_input_is_the_mean_of_the_later_layers(toy, batch):
    model = LightGCN(toy, dim=4, num_layers=3, skip_input=True).double()
    layers = model(return_layers=True).layers
    expected = [sum(layer[side] for layer in layers[1:]) / 3 for side in (0, 1)]
    for z in (model(), model(return_layers=True), model(graph=model.graph.as_tensor())):
        for a, b in zip(z[:2], expected):
            assert torch.allclose(a, b, atol=1e-6)
    few = next(iter(InteractionLoader(toy, 4)))
    z, local = model.for_batch(few)
    assert z.user.size(0) <= 4 and torch.allclose(z.user[local.user], expected[0][few.user])
    assert 'skip_input=True' in repr(model)
    with pytest.raises(ValueError, match="'num_layers' is 0"):
        LightGCN(toy, num_layers=0, skip_input=True)


@pytest.mark.parametrize('name', ['SimGCL', 'XSimGCL'])
def test_without_contrast_or_noise(toy, batch, name):
    results = []
    for cls, kwargs in ((methods.BPR, {}), (getattr(methods, name), {'weight': 0., 'epsilon': 0.})):
        torch.manual_seed(0)
        results.append(cls(LightGCN(toy, dim=4).double(), toy, **kwargs)(batch))
    assert torch.allclose(*results, atol=1e-12)


def test_simgcl_adds_the_contrast_of_two_passes(toy, batch):
    method = methods.SimGCL(LightGCN(toy, dim=4).double(), toy, weight=0.7)
    torch.manual_seed(1)
    loss = method(batch)
    torch.manual_seed(1)
    views = [method.backbone(noise=0.1) for _ in range(2)]
    bpr = methods.BPR(method.backbone, toy)(batch)
    assert torch.allclose(loss, bpr + 0.7 * method.contrast(*views, batch), atol=1e-12)


def test_xsimgcl_contrasts_its_pass_with_a_layer_of_it(toy, batch):
    method = methods.XSimGCL(LightGCN(toy, dim=4, skip_input=True).double(), toy, weight=0.7,
                             layer=2, l2=0.)
    torch.manual_seed(1)
    loss = method(batch)
    torch.manual_seed(1)
    z = method.backbone(return_layers=True, noise=0.2)
    user = torch.unique(batch.user)
    a, b = (F.normalize(t[user], dim=-1) for t in (z.user, z.layers[2][0]))
    side = F.cross_entropy(a @ b.t() / 0.15, torch.arange(user.numel()))
    assert torch.allclose(method.contrast.side(z.user, z.layers[2][0], batch.user), side)
    pos, neg = method.similarity(z, batch)
    expected = F.softplus(neg[:, 0] - pos).mean() + 0.7 * (
        side + method.contrast.side(z.item, z.layers[2][1], batch.item))
    assert torch.allclose(loss, expected, atol=1e-12)


@pytest.mark.parametrize('name', ['SimGCL', 'XSimGCL'])
def test_rows_of_a_small_batch_suffice(toy, name):
    # Of all rows or of these alone: the same loss and gradients, where nothing is drawn.
    batch = next(iter(InteractionLoader(toy, 4)))
    method = getattr(methods, name)(LightGCN(toy, dim=4, skip_input=True).double(), toy,
                                    epsilon=0.)
    results = []
    for local in (type(method.backbone).local, Backbone.local):
        method.zero_grad()
        method.backbone.local = local.__get__(method.backbone)
        loss = method(batch)
        loss.backward()
        results.append([loss, *(p.grad.clone() for p in method.parameters())])
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*results))


@pytest.mark.parametrize('name', ['SimGCL', 'XSimGCL'])
def test_noise_compiles(toy, name):
    # Another stream of noise than without, so no equality: the loss is near, the gradient finite.
    method = getattr(methods, name)(LightGCN(toy, dim=8), toy, epsilon=0.1)
    batch = next(iter(InteractionLoader(toy, 64, 1)))
    loss = torch.compile(method, backend='aot_eager')(batch)
    loss.backward()
    torch.compiler.reset()
    assert float(loss.detach()) == pytest.approx(float(method(batch).detach()), rel=0.2)
    assert all(p.grad.isfinite().all() and p.grad.any() for p in method.parameters())


def test_ranking_is_free_of_noise(toy):
    method = methods.XSimGCL(LightGCN(toy, dim=4), toy)
    assert torch.equal(method.recommend([0, 1], 5).item, method.recommend([0, 1], 5).item)


@pytest.mark.parametrize('name', ['SimGCL', 'XSimGCL'])
def test_bad_arguments(toy, name):
    cls = getattr(methods, name)
    for backbone in (MF(toy, dim=2), LightGCN(toy, dim=2, num_layers=0)):
        with pytest.raises(ValueError, match="noise is added after every propagation"):
            cls(backbone, toy)
    with pytest.raises(ValueError, match="'epsilon' is -1"):
        cls(LightGCN(toy, dim=2), toy, epsilon=-1)
    if name == 'XSimGCL':
        with pytest.raises(ValueError, match="'layer' is 4, but the backbone has 3"):
            cls(LightGCN(toy, dim=2), toy, layer=4)
