import itertools
import math

import pytest
import torch
from method_tools import (
    BACKBONES,
    Curved,
    assert_equal,
    dense,
    dense_layers,
    loss_and_grads,
    plain_losses,
    shifts,
    view_contrast,
)

from pyg_advcf import (
    Batch,
    BilevelStep,
    Embeddings,
    InteractionLoader,
    Step,
    interaction_data,
    methods,
)
from pyg_advcf.training import hypergradient
from pyg_advcf.transforms import ProjectedGradient, RandomNoise, RandomSplit


class Scaled(Curved):
    r"""Not linear, and with a parameter besides the tables."""
    def __init__(self, data, dim):
        super().__init__(data, dim)
        self.scale = torch.nn.Parameter(torch.tensor(1.5))

    def forward(self, graph=None, x=None):
        z = super().forward(graph, x)
        return Embeddings(self.scale * z.user, self.scale * z.item)


BACKBONES = {**BACKBONES, 'scaled': lambda data: Scaled(data, dim=4)}


def build(backbone, data, **kwargs):
    torch.manual_seed(3)
    kwargs = {'weighting': 'none', 'l2': 0., 'epsilon': 0.5, 'temperature': 0.5,
              'contrast_weight': 0.05, **kwargs}
    if 'perturbation' in kwargs:
        del kwargs['epsilon']
    return methods.ACCF(BACKBONES[backbone](data), **kwargs).double()


def grown(method):
    r"""With tables so large that gradients are too."""
    with torch.no_grad():
        for table in method.backbone.x:
            table.normal_()
    return method


@pytest.fixture
def data(toy):
    return RandomSplit(val=0., outer=0.2, per_user=False)(toy)


@pytest.fixture(params=[4, 64], ids=['few rows', 'all rows'])
def batches(data, request):
    r"""A training batch and one of held-out pairs."""
    return [next(iter(InteractionLoader(data, request.param, seed=1, split=split)))
            for split in (None, 'outer')]


def deltas(network, z, batch):
    r"""The weights before normalisation, by their formula; no gradient reaches the embeddings."""
    user, item = (t.detach() for t in z)
    found = []
    for b in range(batch.user.numel()):
        u, i = user[batch.user[b]], item[batch.item[b]]
        j = item[batch.neg_item[b, 0]]
        hidden = (network.hidden.weight @ torch.cat([u, i, j, u * i, u * j])).clamp(min=0.)
        found.append((1. + (network.out.weight[0] @ hidden).exp()).log())
    return torch.stack(found)


@pytest.mark.parametrize('backbone', BACKBONES)
def test_without_its_parts_it_is_bpr(data, batches, backbone):
    batch, _ = batches
    torch.manual_seed(3)
    bpr = loss_and_grads(methods.bpr(BACKBONES[backbone](data), l2=0.).double(), batch)
    off = build(backbone, data, adversarial_weight=0., contrast_weight=0.)
    assert_equal(loss_and_grads(off, batch), bpr)
    still = build(backbone, data, adversarial_weight=0.3, contrast_weight=0., epsilon=0.)
    assert_equal(loss_and_grads(still, batch), [1.3 * t for t in bpr])
    # Weights that are all equal change nothing either.
    equal = build(backbone, data, adversarial_weight=0., contrast_weight=0., weighting='joint')
    with torch.no_grad():
        equal.criterion.network.hidden.weight.zero_()
    loss = equal(batch)
    grads = torch.autograd.grad(loss, list(equal.backbone.parameters()))
    assert_equal((loss, *grads), bpr)


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize('norm', ['row', 'global'])
@pytest.mark.parametrize('scope', ['batch', 'all'])
def test_equals_the_formula(data, batches, backbone, norm, scope):
    # No part of the library: a dense matrix, plain autograd and loops.
    batch, _ = batches
    method = build(backbone, data, adversarial_weight=0.3, contrast_weight=0.7, epsilon=0.4,
                   norm=norm, weighting='joint', scope=scope, l2=0.01)
    x, scale = list(method.backbone.x), getattr(method.backbone, 'scale', None)
    z = dense(backbone, data, x, scale)
    delta = deltas(method.criterion.network, z, batch)
    objective = (delta.detach() * plain_losses(z, batch)).mean()  # The scale does not matter.
    shift = shifts(torch.autograd.grad(objective, x, retain_graph=True), 0.4, norm)
    moved = dense(backbone, data, [t + d for t, d in zip(x, shift)], scale)
    losses = plain_losses(z, batch) + 0.3 * plain_losses(moved, batch)
    rows = [x[0][batch.user], x[1][batch.item], x[1][batch.neg_item[:, 0]]]
    expected = ((delta * losses).sum() / delta.sum()
                + 0.7 * view_contrast(z, moved, batch, 0.5, scope)
                + 0.01 * sum(r.square().sum() for r in rows) / (2 * batch.user.numel()))
    parameters = list(method.parameters())
    loss = method(batch)
    assert_equal((loss, *torch.autograd.grad(loss, parameters)),
                 (expected, *torch.autograd.grad(expected, parameters)), 1e-10)


@pytest.mark.parametrize('layer', [0, 1, 2, 'each'])
def test_layers_are_contrasted(data, batches, layer):
    batch, _ = batches
    method = build('lightgcn', data, adversarial_weight=0., contrast_weight=1., layer=layer)
    x = list(method.backbone.x)
    ranking = plain_losses(dense('lightgcn', data, x), batch).mean()
    shift = shifts(torch.autograd.grad(ranking, x, retain_graph=True), 0.5, 'row')
    clean, moved = (dense_layers(data, t) for t in (x, [t + d for t, d in zip(x, shift)]))
    contrasts = [view_contrast(clean[k], moved[k], batch, 0.5)
                 for k in ((1, 2) if layer == 'each' else (layer, ))]
    expected = ranking + sum(contrasts) / len(contrasts)
    loss = method(batch)
    assert_equal((loss, *torch.autograd.grad(loss, x)),
                 (expected, *torch.autograd.grad(expected, x)), 1e-10)


def test_joint_weights_are_not_all_shrunk(data):
    # With a mean that is held fixed, shrinking all weights would always lower the loss.
    method = build('lightgcn', data, weighting='joint', adversarial_weight=0., contrast_weight=0.)
    batch = next(iter(InteractionLoader(data, 64)))
    network, step = method.criterion.network, Step(method, lr=0.05)
    with torch.no_grad():
        before = network(method.backbone(), batch)
        for _ in range(50):
            with torch.enable_grad():
                step(batch)
        after = network(method.backbone(), batch)
    assert float(after.mean()) > 0.5 * float(before.mean())
    assert float(after.std()) > float(before.std())


@pytest.mark.parametrize('perturbation', [RandomNoise(0.3), ProjectedGradient(0.3, steps=2)])
def test_other_perturbations(data, batches, perturbation):
    batch, _ = batches
    method = build('lightgcn', data, perturbation=perturbation, weighting='joint')
    found = method.perturb(batch)
    assert all((t.norm(dim=1) < 0.3 + 1e-12).all() and t.any() for t in found.perturbation)
    assert found.z_adv.user.shape == found.z.user.shape
    assert method.inner_loss(found).isfinite()


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize('adversarial_weight', [0., 0.3])
def test_hypergradient_equals_finite_differences(data, batches, backbone, adversarial_weight):
    batch, outer = batches
    method = grown(build(backbone, data, adversarial_weight=adversarial_weight, epsilon=0.2,
                         contrast_weight=0.1, weighting='bilevel'))
    lr, network = 3., method.criterion.network
    step = BilevelStep(method, InteractionLoader(data, split='outer'), lookahead_lr=lr)
    found = method.perturb(batch, outer)
    # The step scales the gradient for the sake of Adam.
    grads = [g * lr / batch.user.numel() for g in step.outer_gradient(found)]

    inner = [p for p in method.parameters() if id(p) not in {id(q) for q in network.parameters()}]
    features = Embeddings(*(t.detach() for t in method.backbone()))
    delta = found.perturbation and found.perturbation.map(torch.clone)
    before = [p.detach().clone() for p in inner]

    def outer_loss_ahead():
        r"""By hand: weights, one SGD step on the tables, the plain loss of the held-out pairs."""
        weight = network(features, batch)
        weight = (weight / weight.mean()).detach()
        fresh = method.perturb(batch, outer, delta)
        loss = (weight * method.instance_losses(fresh)).mean()
        moves = torch.autograd.grad(loss, inner, allow_unused=True)
        with torch.no_grad():
            for p, g in zip(inner, moves):
                p -= lr * (0. if g is None else g)
            value = plain_losses(method.backbone(), outer).mean()
            for p, old in zip(inner, before):
                p.copy_(old)
        return float(value)

    size = 1e-5
    for p, grad in zip(network.parameters(), grads):
        for index in ((0, 0), (0, 3), (p.size(0) - 1, p.size(1) - 1)):
            values = []
            for sign in (1, -1):
                with torch.no_grad():
                    p[index] += sign * size
                values.append(outer_loss_ahead())
                with torch.no_grad():
                    p[index] -= sign * size
            assert float(grad[index]) == pytest.approx((values[0] - values[1]) / (2 * size),
                                                       abs=1e-8)
    assert all(float(g.abs().max()) > 2e-5 for g in grads)


@pytest.mark.parametrize('backbone', BACKBONES)
def test_slopes_are_inner_products(data, batches, backbone):
    batch, outer = batches
    method = grown(build(backbone, data, adversarial_weight=0.3, epsilon=0.2,
                         weighting='bilevel'))
    inner = list(method.backbone.parameters())

    def gradient(loss):
        found = torch.autograd.grad(loss, inner, retain_graph=True, allow_unused=True)
        return torch.cat([torch.zeros_like(p).view(-1) if g is None else g.reshape(-1)
                          for g, p in zip(found, inner)])

    found = method.perturb(batch, outer)
    losses = method.instance_losses(found)
    each = torch.stack([gradient(v) for v in losses])
    weight = method.weights(found).detach()
    ahead = torch.cat([p.detach().view(-1) for p in inner]) - 0.7 * (weight @ each) / len(weight)
    before = [p.detach().clone() for p in inner]
    with torch.no_grad():
        for p, t in zip(inner, ahead.split([p.numel() for p in inner])):
            p.copy_(t.view(p.shape))
    ahead_loss = plain_losses(method.backbone(), outer).mean()
    v = gradient(ahead_loss)
    with torch.no_grad():
        for p, t in zip(inner, before):
            p.copy_(t)
    found = method.perturb(batch, outer)
    value, slope = hypergradient(method, found, lr=0.7)
    assert torch.allclose(value, ahead_loss, atol=1e-12)
    assert torch.allclose(slope, -0.7 * (each @ v) / len(weight), atol=1e-12)
    # The closed form, where there is one, is the same.
    closed = method.hypergradient(found, lr=0.7)
    assert (closed is None) == (backbone in ('curved', 'scaled'))
    if closed is not None:
        assert_equal(closed, (value, slope))
    # The memory-light way agrees but for the curvature of the losses, and nothing moves for lr 0.
    _, rough = hypergradient(method, found, lr=0.7, finite_difference=True)
    assert torch.allclose(rough, slope, atol=1e-5 * float(slope.abs().max()))
    assert hypergradient(method, found, lr=0.)[1].eq(0).all()


def test_linear_shortcut_equals_the_general_path(data, batches):
    batch, outer = batches
    for backbone, weight in itertools.product(('mf', 'lightgcn'), (0., 0.3)):
        method = grown(build(backbone, data, adversarial_weight=weight, weighting='bilevel'))
        results = []
        for linear in (True, False):
            method.backbone.linear = linear
            step = BilevelStep(method, InteractionLoader(data, split='outer'), lookahead_lr=0.7)
            found = method.perturb(batch, outer)
            assert (method.hypergradient(found, 0.7) is not None) == linear
            value, slope = step.hypergradient(found)
            loss = method.inner_loss(found)
            results.append((value, slope, loss, *torch.autograd.grad(
                loss, list(method.backbone.parameters()))))
        assert_equal(*results)


def test_equal_gradients_have_equal_slopes():
    # One interaction, repeated: training and held-out batches are the same.
    data = interaction_data(torch.tensor([[0, 1], [0, 1]]), 2, 3, outer=torch.tensor([[0], [2]]))
    batch = Batch(*(torch.tensor(t) for t in ([0, 0, 0], [0, 0, 0], [[1], [1], [1]], [0, 0, 0])))
    method = build('lightgcn', data, weighting='bilevel')
    found = method.perturb(batch, batch)
    for _, slope in (method.hypergradient(found, lr=0.1), hypergradient(method, found, lr=0.1)):
        assert torch.allclose(slope, slope[:1].expand(3)) and slope[0] < 0


@pytest.mark.parametrize('kwargs', [{'num_neg': 3}, {'negatives': 'in_batch'}], ids=str)
@pytest.mark.parametrize('backbone', ['mf', 'lightgcn', 'curved'])
def test_held_out_pairs_may_have_other_negatives(data, batches, backbone, kwargs):
    # Both batches are encoded in one pass, whatever the shapes of their negatives.
    batch, _ = batches
    outer = next(iter(InteractionLoader(data, 4, seed=1, split='outer', **kwargs)))
    method = grown(build(backbone, data, adversarial_weight=0.3, weighting='bilevel'))
    found = method.perturb(batch, outer)
    weights, losses = method.outer_weights(found)
    assert torch.allclose(losses, method.row_losses(method.backbone(), outer), atol=1e-12)
    assert torch.allclose(weights, method.criterion.network(method.backbone(), outer), atol=1e-12)
    value, slope = hypergradient(method, found, lr=0.)
    assert torch.allclose(value, method.row_losses(method.backbone(), outer).mean(), atol=1e-12)
    closed = method.hypergradient(found, lr=0.7)
    if backbone != 'curved':
        assert_equal(closed, hypergradient(method, found, lr=0.7))
    assert slope.shape == batch.user.shape


def test_the_closed_form_needs_held_out_pairs(data, batches):
    method = build('mf', data, weighting='bilevel')
    assert method.hypergradient(method.perturb(batches[0]), lr=0.7) is None


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize('weighting', ['none', 'joint', 'bilevel'])
def test_ranking_loss_is_weighted_and_leaves_the_weights_alone(data, batches, backbone, weighting):
    batch, _ = batches
    method = grown(build(backbone, data, weighting=weighting))
    z = method.backbone()
    losses = plain_losses(z, batch)
    if weighting != 'none':
        delta = method.criterion.network(z, batch).detach()
        losses = losses * delta / delta.mean()
    for found in (method.ranking_loss(z, batch),
                  method.ranking_loss(method.backbone.encode(batch), batch)):
        assert torch.allclose(found, losses.mean(), atol=1e-12)
    found.backward()
    assert all((p.grad is None) == name.startswith('criterion')
               for name, p in method.named_parameters())
    assert bool(method.outer_parameters()) == (weighting == 'bilevel')


@pytest.mark.parametrize('mode', ['unrolled', 'finite_difference', 'alternating'])
@pytest.mark.parametrize('backbone', ['lightgcn', 'scaled'])
def test_no_problem_touches_the_gradients_of_the_other(data, batches, mode, backbone):
    batch, outer = batches
    method = build(backbone, data, weighting='bilevel')
    step = BilevelStep(method, InteractionLoader(data, split='outer'), mode=mode)
    grads = step.outer_gradient(method.perturb(batch, outer))
    assert all(p.grad is None for p in method.parameters())
    assert all(g.isfinite().all() and g.abs().sum() > 0 for g in grads)
    before = [p.detach().clone() for p in method.parameters()]
    step(batch)
    network = {id(p) for p in method.outer_parameters()}
    for p, old in zip(method.parameters(), before):
        assert (p.grad is None) == (id(p) in network) and not torch.equal(p, old)


def test_defaults_are_the_method_as_published(data):
    method = methods.ACCF(BACKBONES['lightgcn'](data))
    assert method.weighting == 'bilevel' and len(method.outer_parameters()) == 2
    assert (method.adversarial_weight, method.contrast_weight, method.layer) == (0.1, 0.05, None)
    assert (method.contrast.temperature, method.contrast.scope) == (0.5, 'batch')
    assert (method.perturbation.epsilon, method.perturbation.norm) == (0.5, 'row')
    assert method.l2.weight == 1e-4
    assert method.negatives == 'one' and method.l2.negatives


def test_without_weighting_there_are_no_weights_to_learn(data):
    method = methods.ACCF(BACKBONES['lightgcn'](data), weighting='none')
    assert method.outer_parameters() == []
    batch = next(iter(InteractionLoader(data, 8)))
    assert method.weights(method.perturb(batch)).eq(1).all()


def test_bad_arguments(data):
    for kwargs, message in (
            (dict(weighting='bilevl'), "Did you mean 'bilevel'"),
            (dict(adversarial_weight=-1), "'adversarial_weight' is -1"),
            (dict(contrast_weight=math.nan), "'contrast_weight' is nan"),
            (dict(temperature=0.), "'temperature' is 0"), (dict(epsilon=-1.), "'epsilon' is -1"),
            (dict(layer=3), "'layer' is 3, but the backbone has 2")):
        with pytest.raises(ValueError, match=message):
            build('lightgcn', data, **kwargs)
    with pytest.raises(ValueError, match='has no layers, but ACCF needs that; use LightGCN'):
        build('mf', data, layer=1)
    with pytest.raises(ValueError, match='use BilevelStep'):
        Step(build('mf', data, weighting='bilevel'))
