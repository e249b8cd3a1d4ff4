import math

import pytest
import torch
from scipy import stats

from pyg_advcf.metrics import interval, paired_test


def test_interval_equals_scipy():
    values = [0.1, 0.4, 0.2, 0.35]
    mean, half = interval(values)
    low, high = stats.t.interval(0.95, 3, loc=mean, scale=stats.sem(values))
    assert mean == pytest.approx(sum(values) / 4)
    assert (mean - half, mean + half) == pytest.approx((low, high))
    assert math.isnan(interval([0.3])[1])
    with pytest.raises(ValueError, match="'values' is empty"):
        interval([])


def test_paired_test():
    a = torch.randn(50, dtype=torch.float64)
    b = a - 0.1 + 0.05 * torch.randn(50, dtype=torch.float64)
    difference, p = paired_test(a, b)
    assert difference == pytest.approx(float((a - b).mean()))
    assert p == pytest.approx(stats.ttest_rel(a, b).pvalue) and p < 1e-6
    assert paired_test(a, a) == (0., 1.)
    assert paired_test(torch.ones(3), torch.zeros(3)) == (1., 0.)
    with pytest.raises(ValueError, match='paired vectors'):
        paired_test(a, b[:3])
