import copy
import math

import matplotlib.pyplot as plt
import pytest
import torch
from method_tools import PAIRS

from pyg_advcf import MF, Embeddings, InteractionLoader, LightGCN, methods
from pyg_advcf.diagnostics import Landscape, loss_landscape, plot_landscape, sharpness
from pyg_advcf.registry import BACKBONES, METHODS


@pytest.fixture
def trained(toy):
    method = methods.bpr(LightGCN(toy, dim=4)).double()
    return method, next(iter(InteractionLoader(toy, 64)))


def loss_at(method, batch, x):
    return method.criterion(*method.similarity(method.backbone(x=x), batch))


@pytest.mark.parametrize('directions', [1, 2])
def test_centre_is_the_loss_and_parameters_stay(trained, directions):
    method, batch = trained
    before = {k: v.clone() for k, v in method.state_dict().items()}
    found = loss_landscape(method, batch, span=0.5, steps=5, directions=directions, progress=False)
    assert found.loss.shape == torch.Size([5] * directions)
    assert found.offset.tolist() == [-0.5, -0.25, 0., 0.25, 0.5]
    centre = found.loss[(2, ) * directions]
    assert float(centre) == pytest.approx(float(loss_at(method, batch, method.backbone.x)))
    assert all(torch.equal(v, before[k]) for k, v in method.state_dict().items())
    again = loss_landscape(method, batch, span=0.5, steps=5, directions=directions, progress=False)
    assert torch.equal(found.loss, again.loss)


def test_rows_move_by_their_length(toy, trained):
    # Over MF and one triplet the direction can be read off: the seed is that of the function.
    method, batch = methods.bpr(MF(toy, dim=4)).double(), trained[1]
    generator, x = torch.Generator().manual_seed(7), method.backbone.x
    moved = []
    for table in x:
        noise = torch.randn(table.shape, generator=generator).double()
        unit = noise / noise.norm(dim=1, keepdim=True)
        moved.append(table + 0.5 * unit * table.norm(dim=1, keepdim=True))
    found = loss_landscape(method, batch, span=0.5, steps=3, seed=7, progress=False)
    assert float(found.loss[2]) == pytest.approx(
        float(loss_at(method, batch, Embeddings(*moved))), abs=1e-6)


def test_sharpness(trained):
    method, batch = trained
    values = [sharpness(method, batch, rho) for rho in (0., 1e-4, 0.1, 0.5)]
    assert values[0] == 0 and sorted(values) == values
    x = [t.detach().requires_grad_() for t in method.backbone.x]
    grads = torch.autograd.grad(loss_at(method, batch, Embeddings(*x)), x)
    assert values[1] / 1e-4 == pytest.approx(float(torch.cat(grads).norm()), rel=1e-2)


CASES = {name: (BACKBONES[next(b for b, m in PAIRS if m == name)], METHODS[name])
         for name in METHODS} | {
    'accf joint': (LightGCN, lambda b: methods.ACCF(b, weighting='joint')),
    'accf bilevel': (LightGCN, lambda b: methods.ACCF(b, weighting='bilevel')),
    'advinfonce mlp': (LightGCN, lambda b: methods.advinfonce(b, hardness='mlp')),
    'invcf, all parts': (LightGCN, lambda b: methods.InvCF(b, 0.1, 0.5, 0.5, 0.5)),
    'bpr over vgae': (BACKBONES['vgae'], methods.bpr),
    'own module': (MF, lambda b: methods.Recommender(b, Squared())),
}


class Squared(torch.nn.Module):
    def forward(self, pos, neg, batch):
        return (1 - pos).square().mean() + neg.square().mean()


@pytest.mark.parametrize('negatives', ['uniform', 'in_batch'])
@pytest.mark.parametrize('case', CASES)
def test_every_method_has_a_landscape(toy, case, negatives):
    backbone, build = CASES[case]
    method = build(backbone(toy, dim=4))
    batch = next(iter(InteractionLoader(toy, 64, 8, negatives=negatives)))
    if case == 'own module' and negatives == 'in_batch':
        # It does not know what excluded scores are.
        batch = batch._replace(neg_mask=torch.ones_like(batch.neg_mask))
    before = copy.deepcopy(method.state_dict())
    found = loss_landscape(method, batch, steps=3, progress=False)
    assert found.loss.isfinite().all() and found.loss.unique().numel() > 1
    assert math.isfinite(sharpness(method, batch, 0.1)) and sharpness(method, batch, 0.1) > 0
    # What a criterion records in training is left as it is, and the mode too.
    for key, value in method.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert method.training and method.backbone.training
    assert all(p.grad is None for p in method.parameters())


@pytest.mark.parametrize('name', ['bpr', 'adaptau', 'sdro', 'advinfonce', 'directau', 'bc',
                                  'accf', 'apr', 'ncl', 'sgl', 'sharpcf', 'ultragcn'])
def test_centre_is_the_ranking_loss_of_evaluation(toy, name):
    method = METHODS[name](BACKBONES[next(b for b, m in PAIRS if m == name)](toy, dim=4))
    batch = next(iter(InteractionLoader(toy, 64, 8)))
    found = loss_landscape(method, batch, steps=3, progress=False)
    method.eval()
    expected = method.ranking_loss(method.backbone(), batch)
    assert float(found.loss[1]) == pytest.approx(float(expected.detach()), abs=1e-6)


def test_the_negatives_of_xir_are_its_own(toy):
    method = methods.xir(MF(toy, dim=4), cache_size=16)
    batch = next(iter(InteractionLoader(toy, 64, 8)))
    torch.manual_seed(1)
    found = loss_landscape(method, batch, steps=3, progress=False).loss[1]
    method.eval()
    losses = []
    for _ in range(20):  # It draws: the centre is one of the values that it takes.
        losses.append(float(method.ranking_loss(
            method.backbone(), method.with_own_negatives(batch)).detach()))
    assert min(losses) - 0.05 < float(found) < max(losses) + 0.05


def test_plot(trained, tmp_path):
    method, batch = trained
    landscapes = {d: loss_landscape(method, batch, steps=5, directions=d, progress=False)
                  for d in (1, 2)}
    plot_landscape(landscapes, tmp_path / 'landscape.png')
    assert (tmp_path / 'landscape.png').stat().st_size > 1000
    offset = torch.linspace(-1, 1, 5)
    bowl = Landscape(offset, offset.view(-1, 1).square() + offset.square())
    ax = plot_landscape({'bowl': bowl})
    line = ax.lines[0].get_xydata()
    assert line[-1, 0] > 0.75
    assert line[0].tolist() == [0, 0] and all(line[1:, 1] > line[:-1, 1])
    plt.close(ax.figure)


def test_bad_arguments(trained):
    method, batch = trained
    with pytest.raises(ValueError, match="'directions' is 3"):
        loss_landscape(method, batch, directions=3)
    with pytest.raises(ValueError, match="'steps' is 4, but needs to be odd"):
        loss_landscape(method, batch, steps=4)
    with pytest.raises(ValueError, match="'span' is 0"):
        loss_landscape(method, batch, span=0)
    with pytest.raises(ValueError, match="'rho' is -1"):
        sharpness(method, batch, rho=-1)
    with pytest.raises(ValueError, match="'landscapes' is empty"):
        plot_landscape({})


@pytest.mark.parametrize('name', ['bir', 'xir', 'invcf'])
def test_a_criterion_that_samples_has_no_rise_at_radius_zero(toy, name):
    method = METHODS[name](MF(toy, dim=4))
    batch = next(iter(InteractionLoader(toy, 32, 4)))
    state = torch.get_rng_state()
    assert sharpness(method, batch, rho=0.) == 0.
    assert torch.equal(torch.get_rng_state(), state)
