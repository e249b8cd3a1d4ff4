r"""ACCF against random-noise views and LightGCN, on Amazon Pet and a part of Yelp2018."""
import json

import numpy as np
import torch
from matplotlib.figure import Figure

from pages.common import NAMES, PAGES, RESULTS, fill, grouped, load
from pyg_advcf.metrics import interval, paired_test

METRICS = ('precision@10', 'recall@10', 'map@10', 'ndcg@10')
HEAD = '| ' + ' | '.join(METRICS)
SEVERAL = ('no-weights', 'no-weights-random')
PARTS = {
    'no-views': 'no adversarial view (BPR+G+W)', 'no-weights': 'no weights (BPR+G+C)',
    'no-weights-random': 'no weights, random shift',
    'no-contrast': 'no contrast', 'no-adversarial-loss': 'no loss on the perturbed view',
    'random': 'random shift of the same length', 'joint': 'weights learned jointly',
    'finite-difference': 'hypergradient by finite differences',
    'alternating-easy': 'alternating, easy triplets preferred',
    'alternating-hard': 'alternating, hard triplets preferred',
    'global': 'one norm over both tables', 'pgd': 'three projected steps'}


def percent(values: list[float]) -> str:
    mean, half = interval([100 * v for v in values])
    return f'{mean:.3f}' if half != half else f'{mean:.3f} ± {half:.3f}'


def name_of(method: str) -> str:
    part = method.partition(':')[2]
    return PARTS[part] if part else NAMES[method]


def test_ndcg(record: dict) -> float:
    return record['test']['test']['ndcg@10']


def rows(records: list[dict], first: str) -> list[str]:
    r"""A row per method: mean over its seeds with the 95 % interval."""
    lines = [f'| {first} {HEAD} | validation ndcg@10 | best epoch |',
             '|' + '---|' * (len(METRICS) + 3)]
    for method, runs in grouped(records, 'method').items():
        best = sorted(r['best_epoch'] + 1 for r in runs)
        cells = [percent([r['test']['test'][m] for r in runs]) for m in METRICS]
        cells.append(percent([r['valid']['ndcg@10'] for r in runs]))
        lines.append(f"| {name_of(method)} | {' | '.join(cells)} | {', '.join(map(str, best))} |")
    return lines


def paired_rows(records: list[dict], pairs: list[tuple[str, str]]) -> list[str]:
    r"""Differences of test NDCG@10 over the same seeds."""
    runs = {m: torch.tensor([100 * test_ndcg(r) for r in sorted(found, key=lambda r: r['seed'])])
            for m, found in grouped(records, 'method').items()}
    lines = ['| difference of test ndcg@10 | mean | p |', '|---|---|---|']
    for a, b in pairs:
        mean, p = paired_test(runs[a], runs[b])
        lines.append(f'| {name_of(a)} minus {name_of(b)} | {mean:+.3f} | {p:.2f} |')
    return lines


def noise_rows(clean: list[dict], noisy: list[dict]) -> list[str]:
    r"""Test NDCG@10 by injected share, and the plot; differences to the same seeds without."""
    levels = sorted({r['noise'] for r in noisy})
    lines = ['| method | 0% | ' + ' | '.join(
        f'{level:.0%}' for level in levels) + ' |', '|' + '---|' * (len(levels) + 2)]
    fig = Figure(figsize=(5, 3.4), layout='constrained')
    ax = fig.subplots()
    for method, runs in grouped(clean, 'method').items():
        without = {r['seed']: test_ndcg(r) for r in runs}
        cells, shares = [f'{100 * without[0]:.3f}'], [1.]
        for level in levels:
            found = [r for r in noisy if (r['method'], r['noise']) == (method, level)]
            change = [test_ndcg(r) / without[r['seed']] for r in found]
            cells.append(f'{100 * np.mean([test_ndcg(r) for r in found]):.3f} '
                         f'({np.mean(change) - 1:+.1%})')
            shares.append(np.mean(change))
        lines.append(f"| {NAMES[method]} | {' | '.join(cells)} |")
        ax.plot([0, *(100 * level for level in levels)], [100 * v for v in shares], marker='o',
                label=NAMES[method])
    ax.set_xlabel('injected interactions (% of training)')
    ax.set_ylabel('test NDCG@10 left (%)')
    ax.legend(fontsize='small')
    fig.savefig(PAGES / 'accf_noise.png', dpi=110)
    return lines


def write() -> None:
    pet, search = load('amazon_pet_accf.json'), load('amazon_pet_accf_search.json')
    ablation, noise = load('amazon_pet_accf_ablation.json'), load('amazon_pet_accf_noise.json')
    cold, yelp = load('amazon_pet_accf_cold.json'), load('yelp2018_accf_reduced.json')
    full = next(r for r in pet if r['seed'] == 0 and r['method'] == 'accf')
    several = [r for r in ablation if r['method'].partition(':')[2] in SEVERAL]

    groups = [f'| users | method {HEAD} |', '|' + '---|' * (len(METRICS) + 2)]
    for group in ('cold', 'warm'):
        for method, runs in grouped(cold, 'method').items():
            cells = [percent([r['groups'][group][m] for r in runs]) for m in METRICS]
            groups.append(f"| {group} | {NAMES[method]} | {' | '.join(cells)} |")

    tried = ['| method | setting | validation ndcg@10 | best epoch | test ndcg@10 |',
             '|---|---|---|---|---|']
    for r in search:
        mark = '**' if r['chosen'] else ''
        setting = ', '.join(f'{k} {v}' for k, v in r['setting'].items())
        tried.append(f"| {mark}{NAMES[r['method']]}{mark} | {setting} | {100 * r['valid']:.3f} "
                     f"| {r['best_epoch'] + 1} | {100 * r['test']['ndcg@10']:.3f} |")

    learned = ['| weights | spread | rank correlation with the loss | with popularity '
               '| mean, hardest quarter | mean, rarest quarter |', '|---|---|---|---|---|---|']
    drifts = {}
    for r in [full, *ablation]:
        if 'weights' not in r:
            continue
        name = PARTS.get(r['method'].partition(':')[2], 'bi-level (ACCF)')
        w = r['weights']
        learned.append(f"| {name} | {w['weight_std']:.3f} | {w['weight_loss']:+.2f} "
                       f"| {w['weight_popularity']:+.2f} | {w['by_loss'][-1]:.3f} "
                       f"| {w['by_popularity'][0]:.3f} |")
        if r is full or r['method'].partition(':')[2].startswith('alternating'):
            drifts[name] = r['curves']
    fig = Figure(figsize=(9, 3.4), layout='constrained')
    axes = fig.subplots(1, 2)
    for name, curves in drifts.items():
        for ax, key, place in zip(axes, ('by_loss', 'by_popularity'), (-1, 0)):
            ax.plot(np.array(curves['epoch']) + 1, [v[place] for v in curves[key]], label=name)
    for ax, title in zip(axes, ('hardest quarter of triplets', 'rarest quarter of items')):
        ax.set_title(f'mean weight, {title}', fontsize='medium')
        ax.set_xlabel('epoch')
        ax.axhline(1, color='gray', linewidth=1)
    axes[0].legend(fontsize='small')
    fig.savefig(PAGES / 'accf_weights.png', dpi=110)

    report = json.loads((RESULTS / 'cost_gowalla_accf.json').read_text())
    rows_of = [r for r in report['rows'] if r['backbone'] == 'lightgcn']
    base = rows_of[0]['peak_mib']
    cost = ['| method | ms per step | of LightGCN-BPR | peak memory (MiB) | of LightGCN-BPR |',
            '|' + '---|' * 5]
    cost += [f"| {NAMES.get(r['method'], r['method'])} | {r['step_ms']:.1f} | {r['ratio']:.2f} "
             f"| {r['peak_mib']:.0f} | {r['peak_mib'] / base:.2f} |" for r in rows_of]
    fill('accf.md', seeds=str(1 + max(r['seed'] for r in pet)), **{
        name: '\n'.join(lines) for name, lines in (
            ('main', rows([*pet, *several], 'method')),
            ('paired', paired_rows([*pet, *several], [
                ('xsimgcl', 'lightgcn'), ('accf', 'lightgcn'), ('xsimgcl', 'accf'),
                ('accf:no-weights', 'lightgcn'), ('accf:no-weights', 'accf'),
                ('xsimgcl', 'accf:no-weights'), ('accf:no-weights', 'accf:no-weights-random')])),
            ('ablation', rows([r for r in [full, *ablation] if r['seed'] == 0], 'ACCF with')),
            ('noise', noise_rows(pet, noise)), ('cold', groups), ('yelp', rows(yelp, 'method')),
            ('search', tried), ('weights', learned), ('cost', cost))})
