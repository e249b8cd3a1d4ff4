r"""Intervals over seeds and paired tests over users."""
import numpy as np
from scipy import stats
from torch import Tensor

from pyg_advcf._checks import check_numbers, check_ratio, shown


def interval(values: list[float], confidence: float = 0.95) -> tuple[float, float]:
    r"""Mean and half-width of Student's confidence interval of the mean, over seeds.

    The half-width of a single value is ``nan``: one seed proves nothing.

    Example:
        >>> mean, half = interval([0.1, 0.2, 0.3])
        >>> round(mean, 3), round(half, 3)
        (0.2, 0.248)
    """
    try:
        values = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"'values' is {shown(values)}, but needs to be a list of numbers"
                         ) from error
    if values.ndim != 1:
        raise ValueError(f"'values' has {values.ndim} dimensions, but needs to be a list of "
                         f"numbers")
    check_ratio('confidence', confidence, zero=False, one=False)
    if values.size == 0:
        raise ValueError("'values' is empty: there is nothing to average")
    if values.size == 1:
        return float(values[0]), float('nan')
    half = stats.sem(values) * stats.t.ppf((1 + confidence) / 2, values.size - 1)
    return float(values.mean()), float(half)


def paired_test(a: Tensor, b: Tensor) -> tuple[float, float]:
    r"""Mean difference ``a - b`` of paired values and the p-value of the paired t-test.

    For the per-user values of two models on the same users (``evaluate(..., per_user=True)``), or
    for the figures of two methods over the same seeds.

    Raises:
        ValueError: If the two are not of the same length of at least 2.
    """
    check_numbers('a', a)
    check_numbers('b', b)
    if a.shape != b.shape or a.dim() != 1 or a.numel() < 2:
        raise ValueError(f"'a' and 'b' have shapes {list(a.shape)} and {list(b.shape)}, but need "
                         f"to be paired vectors of at least two values")
    a, b = (t.detach().cpu().double() for t in (a, b))
    difference = a - b
    if bool((difference == difference[0]).all()):
        return float(difference[0]), 1. if float(difference[0]) == 0. else 0.
    return float(difference.mean()), float(stats.ttest_rel(a.numpy(), b.numpy()).pvalue)
