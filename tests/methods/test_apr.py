import math

import pytest
import torch
from method_tools import (
    BACKBONES,
    assert_equal,
    dense,
    loss_and_grads,
    plain_losses,
    shifts,
)

from pyg_advcf import MF, Embeddings, InteractionLoader, Step, fit, methods
from pyg_advcf.training import SAMStep
from pyg_advcf.transforms import ProjectedGradient, RandomNoise


def build(backbone, data, **kwargs):
    torch.manual_seed(3)
    kwargs = {'warmup_epochs': 0, **kwargs}
    return methods.APR(BACKBONES[backbone](data), **kwargs).double()


@pytest.fixture(params=[4, 64], ids=['few rows', 'all rows'])
def batch(toy, request):
    return next(iter(InteractionLoader(toy, request.param)))


@pytest.mark.parametrize('backbone', BACKBONES)
def test_without_weight_or_size_it_is_bpr(toy, batch, backbone):
    torch.manual_seed(3)
    bpr = loss_and_grads(methods.bpr(BACKBONES[backbone](toy), l2=0.).double(), batch)
    assert_equal(loss_and_grads(build(backbone, toy, alpha=0., l2=0.), batch), bpr)
    assert_equal(loss_and_grads(build(backbone, toy, alpha=2., epsilon=0., l2=0.), batch),
                 [3 * t for t in bpr])
    warm = build(backbone, toy, warmup_epochs=1, l2=0.)
    warm.on_epoch_start(0)
    assert_equal(loss_and_grads(warm, batch), bpr)


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize('norm', ['row', 'global', 'sign'])
def test_adversarial_term_is_the_loss_at_the_shifted_tables(toy, batch, backbone, norm):
    # No part of the library: a dense matrix and plain autograd.
    method = build(backbone, toy, alpha=math.inf, epsilon=0.2, norm=norm, l2=0.)
    x = list(method.backbone.x)
    clean = plain_losses(dense(backbone, toy, x), batch).mean()
    grads = torch.autograd.grad(clean, x, retain_graph=True)
    moved = dense(backbone, toy, [t + d for t, d in zip(x, shifts(grads, 0.2, norm))])
    shifted = plain_losses(moved, batch).mean()
    penalty = 0.3 * sum(t.square().sum() for t in (
        x[0][batch.user], x[1][batch.item], x[1][batch.neg_item])) / (2 * batch.user.numel())
    for kwargs, expected in (({'alpha': math.inf, 'l2': 0.}, shifted),
                             ({'alpha': 0.5, 'l2': 0.}, clean + 0.5 * shifted),
                             ({'l2': 0.3}, clean + shifted + penalty),
                             ({'alpha': math.inf, 'l2': 0.3}, shifted + penalty)):
        method = build(backbone, toy, epsilon=0.2, norm=norm, **kwargs)
        found = loss_and_grads(method, batch)
        assert_equal(found, (expected, *torch.autograd.grad(expected, x, retain_graph=True)))


def test_defaults_are_those_of_the_authors(toy, batch):
    # One is the weight, 0.5 the size per row, and training begins with plain BPR.
    torch.manual_seed(3)
    method = methods.APR(MF(toy, dim=4)).double()
    assert method.warmup_epochs == 200
    assert method.l2.weight == 1e-4 and not method.perturbation.restrict_to_batch
    results = []
    for epoch in (199, 200):
        method.on_epoch_start(epoch)
        results.append(method(batch))
    torch.manual_seed(3)
    assert torch.equal(results[0], methods.bpr(MF(toy, dim=4)).double()(batch))
    expected = build('mf', toy, alpha=1., epsilon=0.5, norm='row', l2=1e-4)(batch)
    assert torch.equal(results[1], expected) and expected > 2 * results[0]
    with pytest.raises(ValueError, match="'epochs' is 100, but the warm-up of .* takes 200 epochs"):
        fit(method, InteractionLoader(toy, 64), epochs=100, progress=False)


@pytest.mark.parametrize('backbone', BACKBONES)
def test_several_steps_of_the_linear_path_equal_the_general_one(toy, batch, backbone):
    perturbation = ProjectedGradient(0.3, 'row', steps=3, step_size=0.2)
    method = build(backbone, toy, alpha=math.inf, perturbation=perturbation, l2=0.)
    loss = method(batch)

    def ranking_loss(x):
        return method.criterion(*method.similarity(method.backbone(x=x), batch))

    delta = perturbation.delta(method.backbone.x, ranking_loss)
    expected = ranking_loss(Embeddings(*(t + d for t, d in zip(method.backbone.x, delta))))
    assert torch.allclose(loss, expected, atol=1e-12)


@pytest.mark.parametrize('backbone', ['mf', 'lightgcn'])
def test_the_step_is_that_of_sam(toy, backbone):
    # All parameters, one global norm, no L2 term: bit for bit where the map is the identity. The
    # linear backbone adds f(E) and f(shift), which rounds differently from f(E + shift).
    batches = list(InteractionLoader(toy, 64, seed=1))
    ends = []
    for kind in ('apr', 'sam'):
        torch.manual_seed(3)
        model = BACKBONES[backbone](toy)
        if kind == 'apr':
            method = methods.APR(model, alpha=math.inf, epsilon=0.1, norm='global',
                                 warmup_epochs=0, l2=0.).double()
            step = Step(method, lr=0.05)
        else:
            step = SAMStep(methods.bpr(model, l2=0.).double(), lr=0.05, rho=0.1)
        for batch in batches:
            step(batch)
        ends.append(list(step.recommender.parameters()))
    for a, b in zip(*ends):
        assert torch.equal(a, b) if backbone == 'mf' else torch.allclose(a, b, atol=1e-12)


def test_restricted_to_the_batch(toy):
    batch = next(iter(InteractionLoader(toy, 2)))
    # To first order, more rows that move are more that the loss rises.
    free = build('lightgcn', toy, alpha=math.inf, epsilon=1e-3, l2=0.)
    bound = build('lightgcn', toy, alpha=math.inf, epsilon=1e-3, l2=0., restrict_to_batch=True)
    with torch.no_grad():
        clean = build('lightgcn', toy, alpha=0., l2=0.)(batch)
        assert float(clean) < float(bound(batch)) < float(free(batch))
    # Over matrix factorisation nothing else has a gradient, so the restriction changes nothing.
    few = build('mf', toy, alpha=math.inf, l2=0., restrict_to_batch=True)
    assert torch.equal(few(batch), build('mf', toy, alpha=math.inf, l2=0.)(batch))


def test_no_gradient_is_touched_and_evaluation_works(toy, batch):
    method = build('lightgcn', toy)
    for p in method.parameters():
        p.grad = torch.full_like(p, 7.)
    with torch.no_grad():
        assert not method(batch).requires_grad
    loss = method(batch)
    assert all((p.grad == 7.).all() for p in method.parameters()) and loss.requires_grad


def test_noise_is_spread_over_the_tables(toy):
    # Of one length over all rows, however few the batch reads.
    batch = next(iter(InteractionLoader(toy, 2)))
    method = build('mf', toy, alpha=math.inf, perturbation=RandomNoise(0.5, 'global'), l2=0.)
    torch.manual_seed(4)
    delta = RandomNoise(0.5, 'global').delta(method.backbone.x)
    torch.manual_seed(4)
    found = method(batch)
    moved = Embeddings(*(t + d for t, d in zip(method.backbone.x, delta)))
    expected = method.criterion(*method.similarity(moved, batch))
    assert torch.allclose(found, expected, atol=1e-12)


def test_the_warm_up_is_plain_bpr_and_the_last_epochs_are_not(toy):
    results = []
    for make in (lambda b: methods.bpr(b, l2=0.),
                 lambda b: methods.APR(b, epsilon=0.3, warmup_epochs=2, l2=0.)):
        torch.manual_seed(3)
        method = make(MF(toy, dim=4))
        history = fit(method, InteractionLoader(toy, 64), epochs=4, lr=0.05, evaluate_every=1,
                      patience=None, progress=False)
        results.append([record['loss'] for record in history.epochs])
    assert method.warmup_epochs == 2 and history.best_epoch >= 2
    assert results[0][:2] == results[1][:2] and results[0][2] < results[1][2]


def test_bad_arguments(toy):
    for alpha in (-1., math.nan):
        with pytest.raises(ValueError, match="'alpha' is"):
            methods.APR(MF(toy, dim=2), alpha=alpha)
    with pytest.raises(ValueError, match="'epsilon' is -0.1"):
        methods.APR(MF(toy, dim=2), epsilon=-0.1)
    with pytest.raises(ValueError, match="'warmup_epochs' is -1"):
        methods.APR(MF(toy, dim=2), warmup_epochs=-1)
