r"""Every method on Coat and Yahoo!R3 under one search, beside what was published."""
import json
from itertools import combinations

import numpy as np
import torch
from scipy.stats import kendalltau

from pages.common import NAMES, RESULTS, cell, difference, fill, grouped, load
from pyg_advcf.metrics import paired_test
from pyg_advcf.registry import METHODS

# Recall@20 and NDCG@20 of the paper of AdvInfoNCE (arXiv 2310.18700), one seed each.
PUBLISHED = {
    ('coat', 'lightgcn'): {
        'bpr': (.2737, .1707), 'infonce': (.2689, .1882), 'sgl': (.2737, .1716),
        'ncl': (.2778, .1739), 'xsimgcl': (.2729, .1655), 'ccl': (.2732, .1941),
        'bc': (.2719, .1921), 'adaptau': (.2700, .1957), 'advinfonce': (.2846, .2026)},
    ('coat', 'mf'): {
        'bpr': (.2782, .1748), 'infonce': (.2683, .1961), 'ccl': (.2682, .1712),
        'bc': (.2698, .1959), 'adaptau': (.2712, .1986), 'advinfonce': (.2905, .1999)},
    ('yahoo_r3', 'lightgcn'): {
        'bpr': (.1487, .0697), 'infonce': (.1475, .0698), 'sgl': (.1474, .0692),
        'ncl': (.1407, .0669), 'xsimgcl': (.1503, .0708), 'ccl': (.1453, .0676),
        'bc': (.1498, .0703), 'adaptau': (.1516, .0704), 'advinfonce': (.1527, .0718)},
    ('yahoo_r3', 'mf'): {
        'bpr': (.1189, .0546), 'infonce': (.1478, .0694), 'ccl': (.1458, .0689),
        'bc': (.1492, .0698), 'adaptau': (.1512, .0694), 'advinfonce': (.1523, .0710)},
}
# Seconds per epoch over LightGCN on Tencent, on a GPU, as a ratio to InfoNCE (its table 9).
PUBLISHED_COST = {'sgl': 2.0, 'ncl': 1.3, 'xsimgcl': 1.02, 'ccl': 1.02, 'bc': 1.06, 'adaptau': 1.35,
                  'advinfonce': 1.08}
METRICS = ('recall@20', 'ndcg@20')


def label(method: str) -> str:
    return NAMES[method] if method in NAMES else METHODS[method].__name__


def values(runs: list[dict], split: str, metric: str) -> list[float]:
    return [r['test'][split][metric] for r in sorted(runs, key=lambda r: r['seed'])]


def differ(records: list[dict]) -> bool:
    r"""Whether the protocols do: not where no test pair is in training or validation."""
    return any(r['test']['test_ood'] != r['test']['test_ood_official'] for r in records)


def table(records: list[dict], published: dict) -> list[str]:
    r"""A row per method, by the unbiased Recall@20 of the clean protocol."""
    splits = ['test_ood', *(['test_ood_official'] if differ(records) else [])]
    head = ['method', 'backbone', 'validation R@20', 'best epoch (median)']
    head += [f'{name} {m}' for name in ('clean', 'official')[:len(splits)]
             for m in ('R@20', 'N@20')] + ['published R / N']
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    groups = grouped(records, 'method')
    for method, runs in sorted(groups.items(), reverse=True,
                               key=lambda g: np.mean(values(g[1], 'test_ood', 'recall@20'))):
        row = [label(method), f"`{runs[0]['backbone']}`",
               cell([r['valid']['recall@20'] for r in runs]),
               f"{np.median([r['best_epoch'] + 1 for r in runs]):.0f}"]
        row += [cell(values(runs, split, m)) for split in splits for m in METRICS]
        row.append(' / '.join(f'{v:.4f}' for v in published[method])
                   if method in published else '')
        lines.append('| ' + ' | '.join(row) + ' |')
    return lines


def ranking(records: list[dict], published: dict, split: str) -> list[str]:
    r"""How many of the published orders hold, and Kendall's rank correlation with them."""
    groups = grouped(records, 'method')
    known = [m for m in published if m in groups]
    lines = []
    for place, metric in enumerate(METRICS):
        ours = {m: values(groups[m], split, metric) for m in known}
        tau, p = kendalltau([np.mean(ours[m]) for m in known],
                            [published[m][place] for m in known])
        several = all(len(v) > 1 for v in ours.values())
        held = beyond = against = 0
        for a, b in combinations(known, 2):
            if published[a][place] < published[b][place]:
                a, b = b, a
            held += np.mean(ours[a]) > np.mean(ours[b])
            if not several:
                continue
            mean, chance = paired_test(torch.tensor(ours[a]), torch.tensor(ours[b]))
            beyond += mean > 0 and chance < 0.05
            against += mean < 0 and chance < 0.05
        pairs = len(known) * (len(known) - 1) // 2
        lines.append(f'| {metric} | {tau:+.2f} (p {p:.2f}) | {held} of {pairs} | '
                     + (f'{beyond} | {against} |' if several else '- | - |'))
    return lines


def differences(records: list[dict], method: str) -> list[str]:
    r"""What ``method`` is ahead of each other, over the same seeds."""
    groups = grouped(records, 'method')
    lines = ['| clean test set | ' + ' | '.join(f'{m} | p' for m in METRICS) + ' |',
             '|' + '---|' * (1 + 2 * len(METRICS))]
    for other in (m for m in groups if m != method):
        row = [f'{label(method)} minus {label(other)}']
        for metric in METRICS:
            row.append(difference(*(torch.tensor(values(groups[m], 'test_ood', metric))
                                    for m in (method, other))))
        lines.append('| ' + ' | '.join(row) + ' |')
    return lines


def chosen(search: list[dict]) -> list[str]:
    lines = ['| method | chosen setting | validation R@20 | worst, median of the search |',
             '|---|---|---|---|']
    for method, tried in grouped(search, 'method').items():
        best, = (r for r in tried if r['chosen'])
        setting = ', '.join(f'{k} {v:g}' for k, v in best['setting'].items())
        found = [r['valid'] for r in tried]
        lines.append(f"| {label(method)} | {setting} | {best['valid']:.4f} "
                     f"| {min(found):.4f}, {np.median(found):.4f} |")
    return lines


def cost() -> list[str]:
    rows = json.loads((RESULTS / 'cost_yahoo_r3.json').read_text())['rows']
    by_backbone = {name: {r['method']: r for r in found}
                   for name, found in grouped(rows, 'backbone').items()}
    lines = ['| method | LightGCN, s per epoch | of InfoNCE | published | MF, s per epoch '
             '| of InfoNCE |', '|' + '---|' * 6]
    for method, row in sorted(by_backbone['lightgcn'].items(), key=lambda r: r[1]['ratio']):
        cells = [f"{row['epoch_s']:.2f}", f"{row['ratio']:.2f}",
                 f"{PUBLISHED_COST[method]:.2f}" if method in PUBLISHED_COST else '']
        mf = by_backbone['mf'].get(method)
        cells += [f"{mf['epoch_s']:.2f}", f"{mf['ratio']:.2f}"] if mf else ['', '']
        lines.append(f"| {label(method)} | {' | '.join(cells)} |")
    return lines


def backbones() -> list[str]:
    r"""What was run on Yahoo!R3 over further backbones, with published settings."""
    lines = ['| backbone | method | best epoch of | validation R@20 | R@20 | N@20 |',
             '|' + '---|' * 6]
    for path in sorted(RESULTS.glob('yahoo_r3_*_published.json')):
        for method, runs in grouped(load(path.name), 'method').items():
            epochs = ', '.join(f"{r['best_epoch'] + 1} of {r['epochs']}" for r in runs)
            cells = [cell([r['valid']['recall@20'] for r in runs]),
                     *(cell(values(runs, 'test_ood', m)) for m in METRICS)]
            lines.append(f"| `{runs[0]['backbone']}` | {label(method)} | {epochs} "
                         f"| {' | '.join(cells)} |")
    return lines


def write() -> None:
    parts = {'cost': cost(), 'yahoo_r3_backbones': backbones()}
    seeds = load('yahoo_r3_lightgcn_seeds.json')
    parts['yahoo_r3_lightgcn_seeds'] = table(seeds, PUBLISHED['yahoo_r3', 'lightgcn'])
    parts['yahoo_r3_lightgcn_differences'] = differences(seeds, 'advinfonce')
    ranks = ['| data | backbone | methods, settings of each | protocol | metric | Kendall tau '
             '| orders that hold | beyond doubt (p < 0.05) | against, beyond doubt |',
             '|' + '---|' * 9]
    for (dataset, backbone), published in PUBLISHED.items():
        for kind in ('all', 'refined'):
            name = f'{dataset}_{backbone}_{kind}'
            if not (RESULTS / f'{name}.json').exists():
                continue
            records, search = load(f'{name}.json'), load(f'{name}_search.json')
            parts[name] = table(records, published)
            parts[f'{name}_chosen'] = chosen(search)
            tried = grouped(search, 'method')
            known = sum(m in tried for m in published)
            size = f"{known}, {max(len(found) for found in tried.values())}"
            for split, protocol in (('test_ood_official', 'official'), ('test_ood', 'clean')):
                if protocol == 'clean' or differ(records):
                    ranks += [f'| {dataset} | {backbone} | {size} | {protocol} {line}'
                              for line in ranking(records, published, split)]
    fill('unbiased.md', ranks='\n'.join(ranks),
         **{name: '\n'.join(lines) for name, lines in parts.items()})
