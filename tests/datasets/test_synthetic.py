import numpy as np
import pytest
import torch

from pyg_advcf import EDGE_TYPE, degrees, held_out, split_names
from pyg_advcf.datasets import SyntheticExposure


def gini(x):
    x = np.sort(np.asarray(x, dtype=float))
    rank = np.arange(1, x.size + 1)
    return 2 * (rank * x).sum() / (x.size * x.sum()) - (x.size + 1) / x.size


def test_defaults_look_like_real_data():
    data = SyntheticExposure()[0]
    user, item = degrees(data)
    assert 0.006 < item.sum() / (2000 * 800) < 0.016  # Yahoo!R3 and Coat.
    assert 0.45 < gini(item) < 0.63
    assert 0.36 < gini(user) < 0.46
    shown = torch.bincount(held_out(data, 'test_ood')[1], minlength=800)
    assert 0.40 < gini(shown) < 0.44
    assert 0.41 < np.corrcoef(shown, item)[0, 1] < 0.57


def test_everything_observed_is_relevant_and_splits_are_disjoint():
    data = SyntheticExposure(num_users=200, num_items=100, density=0.03)[0]
    assert split_names(data) == ['val', 'test_iid', 'test_ood']
    pairs = [data[EDGE_TYPE].edge_index] + [held_out(data, s) for s in split_names(data)]
    together = torch.cat(pairs, dim=1)
    assert torch.unique(together, dim=1).size(1) == together.size(1)
    assert data.relevant[tuple(together)].all()
    assert data.relevant.float().mean().item() == pytest.approx(0.1, abs=1e-3)
    assert sum(p.size(1) for p in pairs[:3]) / 20_000 == pytest.approx(0.03, rel=0.1)


def test_seeded():
    one, two, other = (SyntheticExposure(100, 50, seed=s)[0][EDGE_TYPE].edge_index
                       for s in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)


@pytest.mark.parametrize('kwargs, message', [
    (dict(density=0.2), "'density' < 'relevance'"), (dict(val_ratio=0.9), "'val_ratio'"),
    (dict(num_users=1), "'num_users' is 1"), (dict(ood_exposure=0), "'ood_exposure' is 0"),
    (dict(num_users=4, num_items=4), 'leave an empty split; raise'),
])
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        SyntheticExposure(**kwargs)
