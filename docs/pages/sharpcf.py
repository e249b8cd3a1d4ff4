r"""SharpCF, APR and SAM on MovieLens-1M and a part of Gowalla."""
import json

import numpy as np
from matplotlib.figure import Figure

from pages.common import NAMES, PAGES, RESULTS, by_method, fill, load, plot_curves
from pyg_advcf.metrics import interval


def write() -> None:
    metrics = ['recall@10', 'ndcg@10', 'recall@20', 'ndcg@20']
    runs = by_method(load('ml-1m_mf_sharpcf.json'))
    search, paired = load('ml-1m_mf_sharpcf_search.json'), load('ml-1m_mf_sharpcf_paired.json')

    def mean(values: list[float]) -> str:
        return '{:.4f} ± {:.4f}'.format(*interval(values))

    table = ['| method | ' + ' | '.join(metrics) + ' | best epoch | sharpness |',
             '|' + '---|' * (len(metrics) + 3)]
    for method, records in runs.items():
        row = [mean([r['test']['test'][m] for r in records]) for m in metrics]
        best = [r['best_epoch'] + 1 for r in records]
        table.append(f"| {NAMES[method]} | {' | '.join(row)} | {min(best)} to {max(best)} "
                     f"| {mean([r['sharpness'] for r in records])} |")
    gains = ['| | against | seeds | ' + ' | '.join(metrics) + ' |',
             '|' + '---|' * (len(metrics) + 3)]
    for a, b, seeds in dict.fromkeys((r['method'], r['against'], tuple(r['seeds']))
                                     for r in sorted(paired, key=lambda r: (
                                         list(NAMES).index(r['method']), r['against']))):
        cells = []
        for metric in metrics:
            row, = (r for r in paired if (r['method'], r['against'], r['metric'],
                                          tuple(r['seeds'])) == (a, b, metric, seeds))
            base = np.mean([r['test']['test'][metric] for r in runs[b] if r['seed'] in seeds])
            cells.append(f"{row['difference'] / base:+.1%} (p {row['p']:.1g})")
        gains.append(f"| {NAMES[a]} | {NAMES[b]} | {', '.join(map(str, seeds))} "
                     f"| {' | '.join(cells)} |")
    tried = ['| method | setting | validation R@20 | best epoch | test R@20 |',
             '|---|---|---|---|---|']
    for r in search:
        mark = '**' if r['chosen'] else ''
        setting = ', '.join(f'{k} {v:g}' for k, v in r['setting'].items())
        tried.append(f"| {mark}{NAMES[r['method']]}{mark} | {setting} | {r['valid']:.4f} "
                     f"| {r['best_epoch'] + 1} | {r['test']['recall@20']:.4f} |")
    own = {'bpr': ['l2'], 'apr': ['epsilon', 'l2'], 'sharpcf': ['weight', 'l2'],
           'sam': ['rho', 'l2']}
    reduced = ['| method | setting | validation R@20 | ' + ' | '.join(metrics) + ' |',
               '|' + '---|' * (len(metrics) + 3)]
    part = load('gowalla_mf_sharpcf_reduced.json')
    for r in part:
        best = max(x['valid']['recall@20'] for x in part if x['method'] == r['method'])
        mark = '**' if r['valid']['recall@20'] == best else ''
        setting = ', '.join(f"{k} {r['settings'][k]:g}" for k in own[r['method']])
        cells = [f"{r['test']['test'][m]:.4f}" for m in metrics]
        reduced.append(f"| {mark}{NAMES[r['method']]}{mark} | {setting} "
                       f"| {r['valid']['recall@20']:.4f} | {' | '.join(cells)} |")
    groups = list(runs['bpr'][0]['degree']['test'])
    tail = ['| method | ' + ' | '.join(f'R@20, {g}' for g in groups) + ' |',
            '|' + '---|' * (len(groups) + 1)]
    for method, records in runs.items():
        row = [mean([r['degree']['test'][g]['recall@20'] for r in records]) for g in groups]
        tail.append(f'| {NAMES[method]} | ' + ' | '.join(row) + ' |')
    report = json.loads((RESULTS / 'cost_ml-1m.json').read_text())
    cost = ['| backbone | method | ms per step | of BPR |', '|---|---|---|---|']
    for row in report['rows']:
        cost.append(f"| {row['backbone']} | {NAMES[row['method']]} | {row['step_ms']:.2f} "
                    f"| {row['ratio']:.2f} |")
    fig = Figure(figsize=(8.8, 3.4), layout='constrained')
    axes = fig.subplots(1, 2)
    for method, records in runs.items():
        first = records[0]['landscape']
        offset, loss = np.array(first['offset']), np.array(first['loss'])
        axes[0].plot(offset, loss, label=NAMES[method])
        axes[1].plot(offset, loss - loss[np.abs(offset).argmin()], label=NAMES[method])
    for ax, title in zip(axes, ('ranking loss', 'its rise over the centre')):
        ax.set_xlabel('distance, in lengths of the rows')
        ax.set_title(title, fontsize='medium')
    axes[0].legend(fontsize='small')
    fig.savefig(PAGES / 'sharpcf_landscape.png', dpi=110)
    keys = {'recall@20': 'validation R@20', 'test/recall@20': 'test R@20',
            'test/ndcg@20': 'test N@20'}
    plot_curves([r for records in runs.values() for r in records if 'curves' in r], keys,
                'sharpcf_curves.png')
    fill('sharpcf.md', seeds=str(len(runs['bpr'])), **{
        name: '\n'.join(lines) for name, lines in (
            ('table', table), ('gains', gains), ('search', tried), ('tail', tail),
            ('cost', cost), ('reduced', reduced))})
