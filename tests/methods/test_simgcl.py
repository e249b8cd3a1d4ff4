import pytest
import torch

from pyg_advcf import MF, InteractionLoader, LightGCN, methods
from pyg_advcf.nn import Backbone

# SimGCL and XSimGCL are alike in what they need and in what a batch reads.
CLASSES = [methods.SimGCL, methods.XSimGCL]


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


def test_skip_input_is_the_mean_of_the_later_layers(toy):
    model = LightGCN(toy, dim=4, num_layers=3, skip_input=True).double()
    layers = [tuple(layer) for layer in model(return_layers=True).layers]
    expected = [sum(layer[side] for layer in layers[1:]) / 3 for side in (0, 1)]
    for z in (model(), model(return_layers=True), model(graph=model.graph.as_tensor())):
        for a, b in zip(z, expected):
            assert torch.allclose(a, b, atol=1e-6)
    few = next(iter(InteractionLoader(toy, 4)))
    z = model.encode(few)
    assert z.user.size(0) <= 4 and torch.allclose(z.users(few.user), expected[0][few.user])
    assert 'skip_input=True' in repr(model)
    with pytest.raises(ValueError, match="'num_layers' is 0"):
        LightGCN(toy, num_layers=0, skip_input=True)


@pytest.mark.parametrize('cls', CLASSES)
def test_without_contrast_or_noise(toy, batch, cls):
    results = []
    for build, kwargs in ((methods.bpr, {}), (cls, {'weight': 0., 'epsilon': 0.})):
        torch.manual_seed(0)
        results.append(build(LightGCN(toy, dim=4).double(), **kwargs)(batch))
    assert torch.allclose(*results, atol=1e-12)


def test_adds_the_contrast_of_two_passes(toy, batch):
    method = methods.SimGCL(LightGCN(toy, dim=4).double(), weight=0.7)
    torch.manual_seed(1)
    loss = method(batch)
    torch.manual_seed(1)
    views = [method.backbone(noise=0.1) for _ in range(2)]
    bpr = methods.bpr(method.backbone)(batch)
    assert torch.allclose(loss, bpr + 0.7 * method.contrast(*views, batch), atol=1e-12)


@pytest.mark.parametrize('cls', CLASSES)
def test_rows_of_a_small_batch_suffice(toy, cls):
    # Of all rows or of these alone: the same loss and gradients, where nothing is drawn.
    batch = next(iter(InteractionLoader(toy, 4)))
    method = cls(LightGCN(toy, dim=4, skip_input=True).double(), epsilon=0.)
    results, rows = [], []
    for encoder in (type(method.backbone).encoder, Backbone.encoder):
        method.zero_grad()
        method.backbone.encoder = encoder.__get__(method.backbone)
        rows.append(method.views(batch)[0].user.size(0))
        loss = method(batch)
        loss.backward()
        results.append([loss, *(p.grad.clone() for p in method.parameters())])
    assert rows[0] <= 4 and rows[1] == 30
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*results))


@pytest.mark.parametrize('cls', CLASSES)
def test_noise_compiles(toy, cls):
    # Another stream of noise than without, so no equality: the loss is near, the gradient finite.
    method = cls(LightGCN(toy, dim=8), epsilon=0.1)
    batch = next(iter(InteractionLoader(toy, 64, 1)))
    loss = torch.compile(method, backend='aot_eager')(batch)
    loss.backward()
    torch.compiler.reset()
    assert float(loss.detach()) == pytest.approx(float(method(batch).detach()), rel=0.2)
    assert all(p.grad.isfinite().all() and p.grad.any() for p in method.parameters())


@pytest.mark.parametrize('cls', CLASSES)
def test_ranking_is_free_of_noise(toy, cls):
    method = cls(LightGCN(toy, dim=4))
    assert torch.equal(method.recommend([0, 1], 5).item, method.recommend([0, 1], 5).item)
    assert torch.equal(method.embeddings().user, method.backbone().user)


@pytest.mark.parametrize('cls', CLASSES)
def test_bad_arguments(toy, cls):
    for backbone in (MF(toy, dim=2), LightGCN(toy, dim=2, num_layers=0)):
        with pytest.raises(methods.UnsupportedBackbone,
                           match=f"no layers that noise could be added to, but {cls.__name__}"):
            cls(backbone)
    with pytest.raises(ValueError, match="'epsilon' is -1"):
        cls(LightGCN(toy, dim=2), epsilon=-1)
