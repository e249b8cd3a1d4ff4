import pytest
import torch
from graphs import BACKENDS_HERE
from scipy.stats import chisquare, kstest

from pyg_advcf.ops import draw
from pyg_advcf.ops.draw import sorted_uniform, upper_edges


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_sorted_uniform_is_uniform_and_sorted(dtype):
    points = sorted_uniform(200, 50, torch.empty(0, dtype=dtype))
    assert points.dtype == dtype and points.shape == (200, 50)
    assert (points.diff(dim=1) >= 0).all() and points.min() > 0 and points.max() <= 1
    assert kstest(points.flatten(), 'uniform').pvalue > 0.01
    # Jointly too: of 50 sorted ones the k-th follows Beta(k, 51 - k).
    for k in (1, 25, 50):
        assert kstest(points[:, k - 1], 'beta', (k, 51 - k)).pvalue > 0.01


@pytest.mark.parametrize('backend', BACKENDS_HERE)
def test_draws_follow_the_weights(backend):
    weight = torch.tensor([[0., 1., 5., 0., 4., 0.], [1e-3, 0., 0., 0., 0., 2e-3]])
    found = torch.stack([torch.bincount(row, minlength=6)
                         for row in draw(weight, 30_000, backend)])
    assert found[weight == 0].eq(0).all()
    for count, share in zip(found, weight):
        share = share[share > 0].double()
        assert chisquare(count[count > 0], 30_000 * share / share.sum()).pvalue > 0.01


def cases():
    weight = torch.rand(300, 40).pow(8)
    return {'random': weight, 'float64': weight.double(), 'transposed': weight.t(),
            'one_row': weight[:1], 'one_column': weight[:, :1], 'no_rows': weight[:0],
            'rare': torch.tensor([[0., 1e-30, 1., 1e-30, 0.]]).expand(50, 5),
            'strided': weight[::3, ::2]}


@pytest.mark.parametrize('name', cases())
@pytest.mark.parametrize('num_draws', [1, 700])
def test_same_draws_with_every_backend(name, num_draws):
    weight = cases()[name]
    results = []
    for backend in BACKENDS_HERE:
        torch.manual_seed(4)
        results.append(draw(weight, num_draws, backend))
    assert results[0].shape == (weight.size(0), num_draws) and not results[0].requires_grad
    assert results[0].dtype == torch.long and (results[0].diff(dim=1) >= 0).all()
    assert weight.gather(1, results[0]).gt(0).all()
    assert all(torch.equal(results[0], other) for other in results[1:])


def test_sums_off_in_their_last_bits_give_no_column_without_weight():
    weight = torch.tensor([[0., 1., 0., 0., 1., 0.]])
    total = torch.tensor([[1e-7, 1., 1. + 2e-7, 1. - 1e-7, 2., 2. + 2e-7]])
    points = torch.tensor([[1e-8, 0.5, 1., 1. + 1e-7, 1.5, 2.]])
    assert torch.searchsorted(total, points).unique().numel() > 2  # The sums alone would.
    edges = upper_edges(weight, total)
    assert torch.searchsorted(edges, points).tolist() == [[1, 1, 1, 4, 4, 4]]
    exact = torch.rand(20, 30).pow(8).cumsum(1)
    assert torch.equal(upper_edges(torch.ones(20, 30), exact), exact)


def test_rows_are_independent():
    draws = draw(torch.ones(4000, 2), 1).view(2, -1).double()
    assert draws.mean(1).sub(0.5).abs().max() < 0.05
    assert torch.corrcoef(draws)[0, 1].abs() < 0.1


@pytest.mark.parametrize('backend', BACKENDS_HERE)
@pytest.mark.parametrize('bad', [0., float('nan'), float('inf')])
def test_weights_without_a_sum(backend, bad):
    with pytest.raises(ValueError, match="'weight' needs a positive, finite sum.*that of row 1 is"):
        draw(torch.tensor([[1., 2.], [bad, bad]]), 3, backend)
    compiled = torch.compile(lambda w: draw(w, 3, backend), backend='eager')
    with pytest.raises(RuntimeError, match="'weight' needs a positive, finite sum"):
        compiled(torch.tensor([[1., 2.], [bad, bad]]))
    assert torch.is_grad_enabled()


def test_wrong_weights():
    with pytest.raises(ValueError, match="'weight' has shape .* at least one column"):
        draw(torch.ones(3, 0), 1)
    with pytest.raises(ValueError, match="'weight' holds -0.5"):
        draw(torch.tensor([[1., -0.5]]), 1)
    for weight in (torch.ones(3), torch.ones(3, 2, dtype=torch.long), [[1., 2.]]):
        with pytest.raises(ValueError, match="'weight' (is|has) .* needs to be"):
            draw(weight, 1)
    for count in (-1, 1.5):
        with pytest.raises(ValueError, match="'num_draws' is"):
            draw(torch.ones(3, 2), count)


def test_compiles_without_graph_breaks():
    weight = torch.rand(5, 7)
    compiled = torch.compile(lambda w: draw(w, 20), backend='aot_eager', fullgraph=True)
    torch.manual_seed(1)
    expected = draw(weight, 20)
    torch.manual_seed(1)
    assert torch.equal(compiled(weight), expected)
