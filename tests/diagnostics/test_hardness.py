import math

import pytest
import torch

from pyg_advcf import InteractionLoader, LightGCN, degrees, methods
from pyg_advcf.diagnostics import hardness_report, plot_hardness


def test_no_adversary_is_neutral(toy):
    method = methods.advinfonce(LightGCN(toy, dim=8), hardness='uniform')
    report = hardness_report(method, toy, num_neg=8, bins=5)
    assert torch.allclose(report.hardness, torch.ones(5).double(), atol=1e-6)
    assert report.std.abs().max() < 1e-3 and report.count.sum() == 200 * 8
    assert report.kl_uniform_p == pytest.approx(0, abs=1e-6)
    assert math.isnan(report.false_negative_rate)


def test_bins_follow_popularity(toy):
    method = methods.advinfonce(LightGCN(toy, dim=8), hardness='popularity')
    report = hardness_report(method, toy, num_neg=16, bins=4)
    assert (report.popularity.diff() > 0).all() and (report.hardness.diff() > 0).all()
    assert report.popularity[-1] <= degrees(toy)[1].max()
    assert report.kl_uniform_p > 0 and report.kl_p_uniform > 0


def test_divergences_have_their_direction(toy):
    method = methods.advinfonce(LightGCN(toy, dim=1))
    with torch.no_grad():  # The same for every user, and far from uniform.
        method.criterion.hardness.user.weight.fill_(1.)
        method.criterion.hardness.item.weight.copy_(torch.linspace(-2, 2, 40).view(-1, 1))
    raw = torch.linspace(-2, 2, 40).double()
    from_uniform, to_uniform, rows = 0., 0., 0
    for batch in InteractionLoader(toy, 64, 8, seed=3):
        for negatives in batch.neg_item:
            p = torch.softmax(raw[negatives], 0).tolist()
            from_uniform += sum(math.log(1 / 8 / q) / 8 for q in p)
            to_uniform += sum(q * math.log(q / (1 / 8)) for q in p)
            rows += 1
    report = hardness_report(method, toy, num_neg=8, batch_size=64, seed=3)
    assert report.kl_uniform_p == pytest.approx(from_uniform / rows, abs=1e-6)
    assert report.kl_p_uniform == pytest.approx(to_uniform / rows, abs=1e-6)
    assert abs(report.kl_uniform_p - report.kl_p_uniform) > 0.05


def test_bins_are_at_most_as_many_as_the_items(toy):
    method = methods.advinfonce(LightGCN(toy, dim=8))
    report = hardness_report(method, toy, num_neg=64, bins=40)
    assert not report.hardness.isnan().any() and report.count.min() > 0
    with pytest.raises(ValueError, match="'bins' is 41, but there are only 40 items"):
        hardness_report(method, toy, bins=41)


def test_known_false_negatives_held_loose(toy):
    method = methods.advinfonce(LightGCN(toy, dim=1))
    liked = torch.zeros(30, 40, dtype=torch.bool)
    liked[:, :10] = True
    with torch.no_grad():  # An oracle: every liked item gets a low hardness.
        method.criterion.hardness.user.weight.fill_(1.)
        method.criterion.hardness.item.weight.fill_(1.)
        method.criterion.hardness.item.weight[:10] = -3.
    report = hardness_report(method, toy, liked, num_neg=16)
    assert report.false_negative_rate == 1 and 0.1 < report.chance_rate < 0.5


def test_plot(toy, tmp_path):
    method = methods.advinfonce(LightGCN(toy, dim=8))
    fig = plot_hardness({'a': hardness_report(method, toy)}, tmp_path / 'h.png')
    assert (tmp_path / 'h.png').stat().st_size > 5000
    assert 'popularity' in fig.axes[0].get_xlabel()


def test_bad_arguments(toy):
    with pytest.raises(ValueError, match="'method' is Recommender, which learns no hardness"):
        hardness_report(methods.bpr(LightGCN(toy, dim=8)), toy)
    method = methods.advinfonce(LightGCN(toy, dim=8))
    with pytest.raises(ValueError, match=r"needs to be \[30, 40\]"):
        hardness_report(method, toy, torch.zeros(2, 2, dtype=torch.bool))
