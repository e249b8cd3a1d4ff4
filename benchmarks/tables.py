r"""Records as pandas tables: means with intervals over seeds, and paired differences."""
import itertools
from collections.abc import Iterable

import pandas as pd
import torch

from pyg_advcf.metrics import interval, paired_test


def frame(records: list[dict]) -> pd.DataFrame:
    r"""A row for each run, with columns such as ``test_ood recall@20``; also of old records."""
    return pd.DataFrame([{
        'method': r.get('label', r['method']), 'seed': r['seed'], 'best epoch': r['best_epoch'] + 1,
        **{f'{split} {name}': value
           for split, values in {'valid': r['valid'], **r['test']}.items()
           for name, value in values.items()}} for r in records])


def cell(values: Iterable[float], digits: int = 4) -> str:
    r"""Mean and 95 % interval, or the one value."""
    mean, half = interval(list(values))
    return f'{mean:.{digits}f}' if half != half else f'{mean:.{digits}f} ± {half:.{digits}f}'


def difference(a: Iterable[float], b: Iterable[float], digits=4, places=3) -> tuple[str, str]:
    r"""Mean difference ``a - b`` over the same seeds, and its p-value."""
    mean, p = paired_test(*(torch.tensor(list(values)) for values in (a, b)))
    small = f'< {10**-places:g}'
    return f'{mean:+.{digits}f}', small if p < 10**-places else f'{p:.{places}f}'


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    r"""A row for each method: the number of seeds, the median of the best epochs, and means."""
    groups = runs.drop(columns='seed').groupby('method', sort=False)
    table = groups.agg(cell)
    table['best epoch'] = groups['best epoch'].median().map('{:.0f}'.format)
    table.insert(0, 'seeds', groups.size())
    return table


def paired(runs: pd.DataFrame, pairs: list[tuple[str, str]], metrics: list[str]) -> pd.DataFrame:
    r"""Differences of pairs of methods over the seeds that both have."""
    seeds, rows = runs.pivot(index='seed', columns='method', values=metrics), []
    for (one, other), metric in itertools.product(pairs, metrics):
        both = seeds[metric][[one, other]].dropna()
        if len(both) > 1:
            rows.append((f'{one} minus {other}', metric, *difference(both[one], both[other])))
    return pd.DataFrame(rows, columns=['difference', 'metric', 'mean', 'p'])
