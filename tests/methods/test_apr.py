import math

import pytest
import torch
from method_tools import BACKBONES, assert_equal, loss_and_grads

from pyg_advcf import MF, Embeddings, InteractionLoader, Step, methods
from pyg_advcf.methods.apr import shifted
from pyg_advcf.training import SAMStep
from pyg_advcf.transforms import FastGradient, ProjectedGradient, RandomNoise


def build(backbone, data, **kwargs):
    torch.manual_seed(3)
    return methods.APR(BACKBONES[backbone](data), data, **kwargs).double()


@pytest.fixture(params=[4, 64], ids=['few rows', 'all rows'])
def batch(toy, request):
    return next(iter(InteractionLoader(toy, request.param)))


@pytest.mark.parametrize('backbone', BACKBONES)
def test_without_weight_or_size_it_is_bpr(toy, batch, backbone):
    torch.manual_seed(3)
    bpr = loss_and_grads(methods.BPR(BACKBONES[backbone](toy), toy, l2=0.).double(), batch)
    assert_equal(loss_and_grads(build(backbone, toy, alpha=0., l2=0.), batch), bpr)
    assert_equal(loss_and_grads(build(backbone, toy, alpha=2., epsilon=0., l2=0.), batch),
                 [3 * t for t in bpr])
    assert_equal(loss_and_grads(build(backbone, toy, start=1, l2=0.), batch), bpr)


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize('norm', ['row', 'global', 'sign'])
def test_adversarial_term_is_the_loss_at_the_shifted_tables(toy, batch, backbone, norm):
    method = build(backbone, toy, alpha=math.inf, epsilon=0.2, norm=norm, l2=0.)
    adversarial = loss_and_grads(method, batch)

    def ranking_loss(x):
        return method.criterion(*method.similarity(method.backbone(x=x), batch))

    delta = FastGradient(0.2, norm).delta(method.backbone.x, ranking_loss)
    point = [(t.detach() + d).requires_grad_() for t, d in zip(method.backbone.x[:2], delta)]
    loss = ranking_loss(Embeddings(*point))
    assert_equal(adversarial, (loss, *torch.autograd.grad(loss, point)))
    both = loss_and_grads(build(backbone, toy, alpha=0.5, epsilon=0.2, norm=norm, l2=0.), batch)
    torch.manual_seed(3)
    bpr = loss_and_grads(methods.BPR(BACKBONES[backbone](toy), toy, l2=0.).double(), batch)
    assert_equal(both, [b + 0.5 * a for a, b in zip(adversarial, bpr)])


@pytest.mark.parametrize('backbone', BACKBONES)
def test_several_steps_of_the_linear_path_equal_the_general_one(toy, batch, backbone):
    perturbation = ProjectedGradient(0.3, 'row', steps=3, step_size=0.2)
    method = build(backbone, toy, alpha=math.inf, perturbation=perturbation, l2=0.)
    loss = method(batch)

    def ranking_loss(x):
        return method.criterion(*method.similarity(method.backbone(x=x), batch))

    delta = perturbation.delta(method.backbone.x, ranking_loss)
    expected = ranking_loss(Embeddings(*(t + d for t, d in zip(method.backbone.x[:2], delta))))
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
            method = methods.APR(model, toy, alpha=math.inf, epsilon=0.1, norm='global',
                                 l2=0.).double()
            step = Step(method, lr=0.05)
        else:
            step = SAMStep(methods.BPR(model, toy, l2=0.).double(), lr=0.05, rho=0.1)
        for batch in batches:
            step(batch)
        ends.append(list(step.method.parameters()))
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


def test_noise_is_spread_over_the_tables(toy):
    for size in (2, 64):  # Whether few rows are read or all.
        batch = next(iter(InteractionLoader(toy, size)))
        method = build('mf', toy, alpha=math.inf, perturbation=RandomNoise(0.5, 'global'))
        z, moved, local, *_ = shifted(method.backbone, batch, method._ranking_loss,
                                      method.perturbation)
        assert z.user.size(0) == 30 and z.item.size(0) == 40 and local is batch
        shift = torch.cat([b - a for a, b in zip(z[:2], moved[:2])])
        assert float(shift.detach().norm()) == pytest.approx(0.5)


def test_no_gradient_is_touched_and_evaluation_works(toy, batch):
    method = build('lightgcn', toy)
    for p in method.parameters():
        p.grad = torch.full_like(p, 7.)
    with torch.no_grad():
        assert not method(batch).requires_grad
    loss = method(batch)
    assert all((p.grad == 7.).all() for p in method.parameters()) and loss.requires_grad
    z, moved, local, *_ = shifted(method.backbone, batch, method._ranking_loss,
                                  FastGradient(0.1))
    with torch.no_grad():
        assert float(method._ranking_loss(moved, local)) > float(method._ranking_loss(z, local))


def test_bad_arguments(toy):
    for alpha in (-1., math.nan):
        with pytest.raises(ValueError, match="'alpha' is"):
            methods.APR(MF(toy, dim=2), toy, alpha=alpha)
    with pytest.raises(ValueError, match="'epsilon' is -0.1"):
        methods.APR(MF(toy, dim=2), toy, epsilon=-0.1)
