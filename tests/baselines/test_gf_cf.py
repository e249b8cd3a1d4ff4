import pytest
import torch

from pyg_advcf import EDGE_TYPE
from pyg_advcf.baselines import GFCF


@pytest.fixture(autouse=True)
def in_double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def published(data, rank, weight):
    r = torch.zeros(data['user'].num_nodes, data['item'].num_nodes)
    r[tuple(data[EDGE_TYPE].edge_index)] = 1
    scale = [d.clamp(min=1)**-0.5 for d in (r.sum(1), r.sum(0))]
    normalised = scale[0].view(-1, 1) * r * scale[1]
    v = torch.linalg.svd(normalised, full_matrices=False)[2][:rank].t()
    linear = normalised.t() @ normalised
    ideal = torch.diag(scale[1]) @ v @ v.t() @ torch.diag(1 / scale[1])
    return r @ (linear + weight * ideal)


@pytest.mark.parametrize('weight', [0., 0.3, 2.])
@pytest.mark.parametrize('rank', [1, 5, 20, 29])
def test_equals_the_published_formula(toy, rank, weight):
    found = GFCF(toy, rank=rank, weight=weight).scores(torch.arange(30))
    assert torch.allclose(found, published(toy, rank, weight), atol=1e-9)


def test_of_full_rank_the_ideal_filter_returns_what_it_is_given(toy):
    rows = torch.arange(30)
    r = torch.zeros(30, 40)
    r[tuple(toy[EDGE_TYPE].edge_index)] = 1
    for rank in (30, 256):
        both = GFCF(toy, rank=rank, weight=1.).scores(rows)
        assert torch.allclose(both - GFCF(toy, weight=0.).scores(rows), r, atol=1e-9)


def test_the_seed_changes_nothing_but_rounding(toy):
    rows = torch.arange(30)
    one, other = (GFCF(toy, rank=5, seed=seed).scores(rows) for seed in (0, 1))
    assert torch.allclose(one, other, atol=1e-9)


@pytest.mark.parametrize('kwargs, message', [
    (dict(rank=0), "'rank' is 0"), (dict(weight=-1.), "'weight' is -1"),
    (dict(seed=-1), "'seed' is -1")])
def test_errors(toy, kwargs, message):
    with pytest.raises(ValueError, match=message):
        GFCF(toy, **kwargs)
