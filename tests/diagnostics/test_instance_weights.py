import math

import pytest
import torch
from scipy.stats import spearmanr

from pyg_advcf import EDGE_TYPE, MF, InteractionLoader, degrees, methods
from pyg_advcf.diagnostics import weight_report
from pyg_advcf.transforms import AddInteractionNoise


def test_equals_the_same_by_hand(toy):
    noisy = AddInteractionNoise(0.5)(toy)
    method = methods.ACCF(MF(noisy, dim=4), adversarial_weight=0., contrast_weight=0.,
                          weighting='bilevel')
    with torch.no_grad():
        for table in method.backbone.x:
            table.normal_()
    report = weight_report(method, noisy, size=64, bins=2, seed=7)
    batch = next(iter(InteractionLoader(noisy, 64, seed=7)))
    delta = method.criterion.network(method.backbone(), batch).double()
    weight = delta / delta.mean()
    loss = torch.stack([
        method.criterion.criterion(p.view(1), n.view(1, -1))[0]
        for p, n in zip(*method.similarity(method.backbone(), batch))]).detach()
    assert report['weight_std'] == pytest.approx(float(weight.std()), abs=1e-6)
    assert report['weight_loss'] == pytest.approx(
        spearmanr(weight.detach(), loss).statistic, abs=1e-3)
    order = loss.argsort(stable=True)
    assert report['by_loss'] == pytest.approx(
        [float(weight[part].mean()) for part in order.split(32)], abs=1e-5)
    order = degrees(noisy)[1][batch.item].argsort(stable=True)
    assert report['by_popularity'] == pytest.approx(
        [float(weight[part].mean()) for part in order.split(32)], abs=1e-5)
    injected = noisy[EDGE_TYPE].injected[batch.id]
    assert report['of_injected'] == pytest.approx(float(weight[injected].mean()), abs=1e-6)
    assert all(p.grad is None for p in method.parameters())


def test_equal_weights_and_bad_arguments(toy):
    method = methods.ACCF(MF(toy, dim=4), weighting='joint')
    with torch.no_grad():
        method.criterion.network.hidden.weight.zero_()
    report = weight_report(method, toy)
    assert report['weight_std'] < 1e-6 and math.isnan(report['weight_loss'])
    assert report['by_loss'] == pytest.approx([1.] * 4) and 'of_injected' not in report
    with pytest.raises(ValueError, match="'method' is Recommender, which learns no weights"):
        weight_report(methods.bpr(MF(toy, dim=4)), toy)
    with pytest.raises(ValueError, match="'method' is ACCF, which learns no weights"):
        weight_report(methods.ACCF(MF(toy, dim=4), weighting='none'), toy)
    for key in ('bins', 'size'):
        with pytest.raises(ValueError, match=f"'{key}' is 0"):
            weight_report(method, toy, **{key: 0})
