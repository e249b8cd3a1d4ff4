import pytest
import torch
import torch.nn.functional as F

from pyg_advcf.criteria import PrototypeInfoNCE


def blobs(sizes, dim=4, spread=0.01):
    r"""Points around distinct corners, and the corner of each."""
    corner = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    centre = 5 * F.one_hot(torch.arange(len(sizes)), dim).float()
    return centre[corner] + spread * torch.randn(corner.numel(), dim), corner


def same(cluster, corner):
    return torch.equal(cluster.view(-1, 1) == cluster, corner.view(-1, 1) == corner)


def test_clusters_and_their_means():
    x, corner = blobs([5, 9, 6], spread=0.01)
    # From points drawn at random a corner may stay without a centroid; some seed finds all.
    for seed in range(50):
        criterion = PrototypeInfoNCE(20, 4, 3).double()
        criterion.update(x, seed)
        if same(criterion.cluster, corner):
            break
    assert same(criterion.cluster, corner)
    for k in range(3):
        mean = x[criterion.cluster == k].mean(0)
        assert torch.allclose(criterion.centroid[k].float(), mean, atol=1e-6)
    # The next update starts there.
    before = criterion.cluster.clone()
    criterion.update(x + 0.01, seed + 1)
    assert torch.equal(criterion.cluster, before)


def test_equals_cross_entropy_over_all_centroids():
    x = torch.randn(40, 4, dtype=torch.float64, requires_grad=True)
    criterion = PrototypeInfoNCE(40, 4, 6, temperature=0.3, chunk_size=4).double()
    criterion.update(x)
    assert (criterion.size > 0).all()  # So every centroid counts.
    ids = torch.tensor([3, 3, 9, 20, 9, 3, 39])
    once = ids.unique()
    scores = F.normalize(x[once], dim=1) @ F.normalize(criterion.centroid, dim=1).t() / 0.3
    expected = F.cross_entropy(scores, criterion.cluster[once])
    loss = criterion(x, ids)
    assert torch.allclose(loss, expected, atol=1e-12)
    for a, b in zip(*(torch.autograd.grad(t, x) for t in (loss, expected))):
        assert torch.allclose(a, b, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x: criterion(x, ids), x)


def test_fewer_distinct_points_than_clusters():
    x = torch.tensor([[1., 0.], [0., 1.], [1., 0.], [1., 0.]])
    criterion = PrototypeInfoNCE(4, 2, 3, temperature=1.)
    criterion.update(x)
    assert same(criterion.cluster, torch.tensor([0, 1, 0, 0]))
    assert sorted(criterion.size.tolist()) == [0, 1, 3]
    # Two prototypes, not three: equal points are no negatives of each other.
    expected = torch.log1p(torch.tensor(-1.).exp())
    assert torch.allclose(criterion(x, torch.arange(4)), expected)
    criterion.update(torch.ones(4, 2))
    assert float(criterion(torch.ones(4, 2), torch.arange(4))) == pytest.approx(0, abs=1e-6)


def test_repeated_points_share_a_cluster():
    x = torch.randn(30, 4).repeat(3, 1)
    criterion = PrototypeInfoNCE(90, 4, 8)
    criterion.update(x)
    first = criterion.cluster[:30]
    assert torch.equal(criterion.cluster, first.repeat(3)) and first.unique().numel() > 4
    criterion.update(x + torch.randn(90, 4))  # From known centroids on, with distinct points.
    assert criterion.size.sum() == 90


def test_before_the_first_update_there_is_nothing_to_tell_apart():
    criterion = PrototypeInfoNCE(5, 2, 3)
    x = torch.randn(5, 2, requires_grad=True)
    loss = criterion(x, torch.arange(5))
    assert loss == 0 and criterion(x, torch.empty(0, dtype=torch.long)) == 0
    assert not torch.autograd.grad(loss, x)[0].any()


def test_state_and_seed():
    x = torch.randn(50, 4)
    first, second, third = (PrototypeInfoNCE(50, 4, 5) for _ in range(3))
    state = torch.get_rng_state()
    first.update(x, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    second.update(x, seed=3)
    assert torch.equal(first.centroid, second.centroid)
    third.load_state_dict(first.state_dict())
    assert torch.equal(third(x, torch.arange(50)), first(x, torch.arange(50)))
    for criterion in (first, third):
        criterion.update(2 * x, seed=4)
    assert torch.equal(first.centroid, third.centroid)


def test_bad_arguments():
    with pytest.raises(ValueError, match="'num_clusters' is 6, but there are only 5 nodes"):
        PrototypeInfoNCE(5, 2, 6)
    for temperature in (0, -1):
        with pytest.raises(ValueError, match="'temperature' is"):
            PrototypeInfoNCE(5, 2, 2, temperature)
    with pytest.raises(ValueError, match="'num_clusters' is 0"):
        PrototypeInfoNCE(5, 2, 0)
