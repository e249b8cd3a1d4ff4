import math

import pytest
import torch

from pyg_advcf import LightGCN, degrees, methods
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
    with pytest.raises(ValueError, match='Recommender learns no hardness'):
        hardness_report(methods.bpr(LightGCN(toy, dim=8)), toy)
    method = methods.advinfonce(LightGCN(toy, dim=8))
    with pytest.raises(ValueError, match=r"needs to be \[30, 40\]"):
        hardness_report(method, toy, torch.zeros(2, 2, dtype=torch.bool))
