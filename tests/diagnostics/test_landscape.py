import matplotlib.pyplot as plt
import pytest
import torch

from pyg_advcf import MF, Embeddings, InteractionLoader, LightGCN, methods
from pyg_advcf.diagnostics import Landscape, loss_landscape, plot_landscape, sharpness


@pytest.fixture
def trained(toy):
    method = methods.BPR(LightGCN(toy, dim=4), toy).double()
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
    method, batch = methods.BPR(MF(toy, dim=4), toy).double(), trained[1]
    generator, x = torch.Generator().manual_seed(7), method.backbone.x
    moved = []
    for table in x[:2]:
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
    x = [t.detach().requires_grad_() for t in method.backbone.x[:2]]
    grads = torch.autograd.grad(loss_at(method, batch, Embeddings(*x)), x)
    assert values[1] / 1e-4 == pytest.approx(float(torch.cat(grads).norm()), rel=1e-2)


def test_criteria_that_read_the_batch(toy):
    method = methods.AdvInfoNCE(MF(toy, dim=4), toy)
    batch = next(iter(InteractionLoader(toy, 64, 8)))
    assert sharpness(method, batch, 0.1) > 0
    assert loss_landscape(method, batch, steps=3, progress=False).loss.isfinite().all()


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
