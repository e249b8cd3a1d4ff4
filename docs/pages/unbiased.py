r"""Every method on Coat and Yahoo!R3 under one search, beside what was published."""
from itertools import combinations

import pandas as pd
import torch
from scipy.stats import kendalltau

from benchmarks.tables import cell, difference, frame
from pages.common import NAMES, RESULTS, fill, grouped, load, markdown, published, setting
from pyg_advcf.metrics import paired_test

# Seconds per epoch over LightGCN on Tencent, on a GPU, as a ratio to InfoNCE (its table 9).
PUBLISHED_COST = {'sgl': 2.0, 'ncl': 1.3, 'xsimgcl': 1.02, 'ccl': 1.02, 'bc': 1.06, 'adaptau': 1.35,
                  'advinfonce': 1.08}
METRICS = {'recall@20': 'R@20', 'ndcg@20': 'N@20'}
PROTOCOLS = {'official': 'test_ood_official', 'clean': 'test_ood'}


def protocols(records: list[dict]) -> list[str]:
    r"""Those that differ: one is the other where no test pair is in training or validation."""
    differ = any(r['test']['test_ood'] != r['test']['test_ood_official'] for r in records)
    return ['clean', 'official'] if differ else ['clean']


def backbone_of(records: list[dict]) -> str:
    r"""That of the comparison: some methods have their own."""
    return next(r['backbone'] for r in records if r['method'] == 'infonce')


def table(records: list[dict]) -> str:
    r"""A row per method, by the unbiased Recall@20 of the clean protocol."""
    groups, theirs = grouped(records), published(records[0]['dataset'], backbone_of(records))
    runs = dict(iter(frame(records).groupby('method', sort=False)))
    order = sorted(runs, key=lambda method: -runs[method]['test_ood recall@20'].mean())
    return markdown([{
        'method': NAMES[method], 'backbone': f"`{groups[method][0]['backbone']}`",
        'validation R@20': cell((own := runs[method])['valid recall@20']),
        'best epoch (median)': f"{own['best epoch'].median():.0f}",
        **{f'{name} {short}': cell(own[f'{PROTOCOLS[name]} {m}'])
           for name in protocols(records) for m, short in METRICS.items()},
        'published R / N': ' / '.join(f'{v:.4f}' for v in theirs[theirs.index == method].stack())}
        for method in order])


def ranking(records: list[dict], split: str) -> list[dict]:
    r"""How many of the published orders hold, and Kendall's rank correlation with them."""
    rows = []
    for metric in METRICS:
        ours = frame(records).pivot(index='seed', columns='method', values=f'{split} {metric}')
        theirs = published(records[0]['dataset'], backbone_of(records))[metric]
        theirs = theirs[theirs.index.isin(ours.columns)]
        average = ours.mean()[theirs.index]
        tau, p = kendalltau(average, theirs)
        # The one that is ahead in the paper comes first.
        pairs = list(combinations(theirs.sort_values(ascending=False, kind='stable').index, 2))
        found = [paired_test(*(torch.tensor(ours[m].to_numpy()) for m in pair))
                 for pair in pairs if len(ours) > 1]
        rows.append({
            'metric': metric, 'Kendall tau': f'{tau:+.2f} (p {p:.2f})',
            'orders that hold': f'{sum(average[a] > average[b] for a, b in pairs)} of {len(pairs)}',
            'beyond doubt (p < 0.05)': sum(m > 0 and p < 0.05 for m, p in found) if found else '-',
            'against, beyond doubt': sum(m < 0 and p < 0.05 for m, p in found) if found else '-'})
    return rows


def differences(records: list[dict], method: str) -> str:
    r"""What ``method`` is ahead of each other, over the same seeds."""
    runs = frame(records).pivot(index='seed', columns='method')
    return markdown([{
        'clean test set': f'{NAMES[method]} minus {NAMES[other]}',
        **{f'{m} | p': ' | '.join(difference(*(runs[f'test_ood {m}'][name]
                                               for name in (method, other)))) for m in METRICS}}
        for other in grouped(records) if other != method])


def chosen(search: list[dict]) -> str:
    best = {r['method']: r for r in search if r['chosen']}
    return markdown([{
        'method': NAMES[method], 'chosen setting': setting(best[method]['setting']),
        'validation R@20': f"{best[method]['valid']:.4f}",
        'worst, median of the search': f'{valid.min():.4f}, {valid.median():.4f}'}
        for method, valid in pd.DataFrame(search).groupby('method', sort=False)['valid']])


def cost() -> str:
    rows = pd.DataFrame(load('cost_yahoo_r3')['rows']).set_index('method')
    mf = rows[rows['backbone'] == 'mf']
    return markdown([{
        'method': NAMES[method], 'LightGCN, s per epoch': f'{row.epoch_s:.2f}',
        'of InfoNCE': f'{row.ratio:.2f}',
        'published': f'{PUBLISHED_COST[method]:.2f}' if method in PUBLISHED_COST else '',
        'MF, s per epoch': f'{mf.epoch_s[method]:.2f}' if method in mf.index else '',
        'of InfoNCE ': f'{mf.ratio[method]:.2f}' if method in mf.index else ''}
        for method, row in rows[rows['backbone'] == 'lightgcn'].sort_values('ratio').iterrows()])


def backbones() -> str:
    r"""What was run on Yahoo!R3 over further backbones, with published settings."""
    return markdown([{
        'backbone': f"`{runs[0]['backbone']}`", 'method': NAMES[method],
        'best epoch of': ', '.join(f"{r['best_epoch'] + 1} of {r['epochs']}" for r in runs),
        'validation R@20': cell([r['valid']['recall@20'] for r in runs]),
        **{short: cell([r['test']['test_ood'][m] for r in runs]) for m, short in METRICS.items()}}
        for path in sorted(RESULTS.glob('yahoo_r3_*_published.json'))
        for method, runs in grouped(load(path.stem)).items()])


def write() -> None:
    seeds, ranks = load('yahoo_r3_lightgcn_seeds'), []
    parts = {'cost': cost(), 'yahoo_r3_backbones': backbones(),
             'yahoo_r3_lightgcn_seeds': table(seeds),
             'yahoo_r3_lightgcn_differences': differences(seeds, 'advinfonce')}
    for name in ('coat_lightgcn_all', 'coat_mf_all', 'yahoo_r3_lightgcn_all',
                 'yahoo_r3_lightgcn_refined', 'yahoo_r3_mf_refined'):
        records, search = load(name), load(f'{name}_search')
        parts[name], parts[f'{name}_chosen'] = table(records), chosen(search)
        dataset, backbone, tried = records[0]['dataset'], backbone_of(records), grouped(search)
        size = (f'{sum(m in tried for m in published(dataset, backbone).index)}, '
                f'{max(map(len, tried.values()))}')
        ranks += [{'data': dataset, 'backbone': backbone, 'methods, settings of each': size,
                   'protocol': protocol, **row} for protocol in reversed(protocols(records))
                  for row in ranking(records, PROTOCOLS[protocol])]
    fill('unbiased.md', ranks=markdown(ranks), **parts)
