r"""Pages of results, generated from the JSON files under ``benchmarks/results`` at every build."""
import json
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from pyg_advcf.metrics import interval, paired_test  # noqa: E402

HERE = Path(__file__).parent
RESULTS = HERE.parent / 'benchmarks' / 'results'
PAGES = HERE / 'results'
NAMES = {'bpr': 'BPR', 'infonce': 'InfoNCE', 'advinfonce': 'AdvInfoNCE', 'uniform': 'control',
         'apr': 'APR', 'sharpcf': 'SharpCF', 'sam': 'SAM', 'lightgcn': 'LightGCN',
         'simgcl': 'SimGCL', 'xsimgcl': 'XSimGCL', 'accf': 'ACCF'}
PARTS = {
    'no-views': 'no adversarial view (BPR+G+W)', 'no-weights': 'no weights (BPR+G+C)',
    'no-weights-random': 'no weights, random shift',
    'no-contrast': 'no contrast', 'no-adversarial-loss': 'no loss on the perturbed view',
    'random': 'random shift of the same length', 'joint': 'weights learned jointly',
    'finite-difference': 'hypergradient by finite differences',
    'alternating-easy': 'alternating, easy triplets preferred',
    'alternating-hard': 'alternating, hard triplets preferred',
    'global': 'one norm over both tables', 'pgd': 'three projected steps'}
# Independent figures: the official code's protocol restated with independent negatives (means over
# 10 seeds on Coat, one run on Yahoo!R3), and what was published (one seed each).
REFERENCE = {
    ('coat', 'lightgcn', 'advinfonce'): ('.2679 / .1985', '.2846 / .2026'),
    ('coat', 'lightgcn', 'infonce'): ('.2698 / .1845', '.2689 / .1882'),
    ('coat', 'lightgcn', 'uniform'): ('.2653 / .1793', '-'),
    ('coat', 'lightgcn', 'bpr'): ('-', '.2737 / .1707'),
    ('coat', 'mf', 'advinfonce'): ('.2702 / .1895', '.2905 / .1999'),
    ('coat', 'mf', 'infonce'): ('.2666 / .1821', '.2683 / .1961'),
    ('coat', 'mf', 'bpr'): ('-', '.2782 / .1748'),
    ('yahoo_r3', 'lightgcn', 'advinfonce'): ('.1510 / .0706', '.1527 / .0718'),
    ('yahoo_r3', 'lightgcn', 'infonce'): ('.1498 / .0703', '.1475 / .0698'),
    ('yahoo_r3', 'lightgcn', 'uniform'): ('.1522 / .0705', '-'),
    ('yahoo_r3', 'lightgcn', 'bpr'): ('.1471 / .0684', '.1487 / .0697'),
}


def load(file: str) -> list[dict]:
    return json.loads((RESULTS / file).read_text())


def by_method(results: list[dict]) -> dict[str, list[dict]]:
    groups = defaultdict(list)
    for result in results:
        groups[result['method']].append(result)
    return {m: sorted(groups[m], key=lambda r: r['seed']) for m in NAMES if m in groups}


def cell(values: list[float]) -> str:
    mean, half = interval(values)
    return f'{mean:.4f}' if half != half else f'{mean:.4f} ± {half:.4f}'


def selected_table(results: list[dict], splits: list[str], reference: bool) -> str:
    r"""Selected by validation: mean over seeds with the 95 % interval."""
    first = results[0]
    head = ['method', 'seeds', 'best epoch (median)', 'validation R@20']
    head += [f'{s} {m}' for s in splits for m in ('R@20', 'N@20')]
    head += ['independent R / N', 'published R / N'] if reference else []
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    for method, runs in by_method(results).items():
        row = [NAMES[method], str(len(runs)), f"{np.median([r['best_epoch'] for r in runs]):.0f}",
               cell([r['valid']['recall@20'] for r in runs])]
        row += [cell([r['test'][s][m] for r in runs]) for s in splits
                for m in ('recall@20', 'ndcg@20')]
        if reference:
            row += REFERENCE.get((first['dataset'], first['backbone'], method), ('-', '-'))
        lines.append('| ' + ' | '.join(row) + ' |')
    return '\n'.join(lines)


def difference(a: torch.Tensor, b: torch.Tensor) -> str:
    mean, p = paired_test(a, b)
    return f'{mean:+.4f} | ' + (f'{p:.3f}' if p >= 0.001 else '< 0.001')


def paired_table(results: list[dict], splits: list[str]) -> str:
    r"""Differences over the same seeds, at the selected epoch and averaged over equal epochs."""
    groups = by_method(results)
    lines = ['| difference | test set | metric | at the selected epochs | p '
             '| at equal epochs | p |', '|---|---|---|---|---|---|---|']
    for one, other in (('advinfonce', 'infonce'), ('advinfonce', 'uniform'),
                       ('uniform', 'infonce')):
        for split in splits:
            for metric in ('recall@20', 'ndcg@20'):
                row = [f'{NAMES[one]} minus {NAMES[other]}', split, metric]
                chosen = [torch.tensor([r['test'][split][metric] for r in groups[m]])
                          for m in (one, other)]
                row += [difference(*chosen)]
                means = [[], []]
                for a, b in zip(groups[one], groups[other]):
                    key = f'{split}/{metric}'
                    shared = equal_epochs(a, b)
                    for mean, run in zip(means, (a, b)):
                        mean.append(np.mean([v for e, v in zip(run['curves']['epoch'],
                                                               run['curves'][key])
                                             if e in shared]))
                row += [difference(*map(torch.tensor, means))]
                lines.append('| ' + ' | '.join(row) + ' |')
    return '\n'.join(lines)


def window_table(results: list[dict]) -> str:
    r"""Means over the epochs 120 to 179, beside the independent ones."""
    independent = {'bpr': '.1477 / .0692', 'infonce': '.1504 / .0706',
                   'advinfonce': '.1495 / .0705', 'uniform': '.1479 / .0696'}
    lines = ['| method | unbiased R@20 | unbiased N@20 | validation R@20 |', '|---|---|---|---|']
    for method, runs in by_method(results).items():
        cells = []
        for key in ('test_ood/recall@20', 'test_ood/ndcg@20', 'recall@20'):
            cells.append(cell([np.mean([v for e, v in zip(r['curves']['epoch'], r['curves'][key])
                                        if 120 <= e <= 179]) for r in runs]))
        theirs = independent[method].split(' / ')
        lines.append(f'| {NAMES[method]} | {cells[0]} ({theirs[0]}) | {cells[1]} ({theirs[1]}) '
                     f'| {cells[2]} |')
    return '\n'.join(lines)


def tuning_table(results: list[dict]) -> str:
    r"""What validation said of the settings that were tried on the synthetic data."""
    lines = ['| method | temperature | lr | adversary lr | validation R@20 |',
             '|---|---|---|---|---|']
    for r in results:
        s = r['settings']
        row = [NAMES[r['method']], '-' if r['method'] == 'bpr' else f"{s['temperature']:g}",
               f"{s['lr']:g}", f"{s['adversary_lr']:g}" if r['method'] == 'advinfonce' else '-',
               f"{r['valid']['recall@20']:.4f}"]
        lines.append('| ' + ' | '.join(row) + ' |')
    return '\n'.join(lines)


def equal_epochs(a: dict, b: dict) -> set[int]:
    r"""Epochs that both runs evaluated, without the first half, where nothing has converged."""
    shared = sorted(set(a['curves']['epoch']) & set(b['curves']['epoch']))
    return set(shared[len(shared) // 2:])


def plot_curves(results: list[dict], keys: dict[str, str], file: str) -> None:
    r"""Learning curves at equal epochs: mean over seeds and its 95 % interval."""
    fig, axes = plt.subplots(1, len(keys), figsize=(4.2 * len(keys), 3.4), layout='constrained')
    for method, runs in by_method(results).items():
        length = min(len(r['curves']['epoch']) for r in runs)
        epoch = np.array(runs[0]['curves']['epoch'][:length]) + 1
        for ax, (key, title) in zip(axes, keys.items()):
            values = np.array([r['curves'][key][:length] for r in runs])
            stats = np.array([interval(column) for column in values.T])
            line, = ax.plot(epoch, stats[:, 0], label=NAMES[method])
            ax.fill_between(epoch, stats[:, 0] - stats[:, 1], stats[:, 0] + stats[:, 1],
                            alpha=0.2, color=line.get_color())
            best = [r['best_epoch'] + 1 for r in runs]
            ax.axvline(np.median(best), color=line.get_color(), linestyle=':', linewidth=1)
            ax.set_title(title, fontsize='medium')
            ax.set_xlabel('epoch')
    axes[0].legend(fontsize='small')
    fig.savefig(PAGES / file, dpi=110)
    plt.close(fig)


def fill(template: str, **parts: str) -> None:
    text = (HERE / 'results_templates' / template).read_text(encoding='utf-8')
    for name, part in parts.items():
        text = text.replace('{{' + name + '}}', part)
    assert '{{' not in text, 'a part of the page is missing'
    (PAGES / template).write_text(text, encoding='utf-8')


def write_advinfonce() -> None:
    parts = {}
    sets = {
        'coat_lightgcn': ('coat_lightgcn.json', ['test_ood_official', 'test_ood']),
        'coat_mf': ('coat_mf.json', ['test_ood_official', 'test_ood']),
        'yahoo': ('yahoo_r3_lightgcn.json', ['test_ood']),
        'synthetic': ('synthetic_lightgcn.json', ['test_iid', 'test_ood']),
        'strong': ('synthetic_lightgcn_strong.json', ['test_iid', 'test_ood']),
    }
    titles = {'recall@20': 'validation R@20', 'test_iid/recall@20': 'in-distribution test R@20',
              'test_ood/recall@20': 'unbiased test R@20 (clean)',
              'test_ood/ndcg@20': 'unbiased test N@20 (clean)',
              'test_ood_official/ndcg@20': 'unbiased test N@20 (official)'}
    for name, (file, splits) in sets.items():
        results = load(file)
        parts[f'{name}_selected'] = selected_table(results, splits, 'test_iid' not in splits)
        parts[f'{name}_paired'] = paired_table(results, splits)
        keys = {k: v for k, v in titles.items() if all(k in r['curves'] for r in results)
                and (k != 'test_ood_official/ndcg@20' or name.startswith('coat'))}
        plot_curves(results, keys, f'{name}.png')
    assert all(len(runs) == 40 for runs in by_method(load('coat_lightgcn_40_seeds.json')).values())
    seconds = {r['method']: r['train_seconds_per_epoch'] for r in load('yahoo_r3_one_thread.json')}
    parts['yahoo_seconds'] = f"{seconds['advinfonce']:.2f}"
    parts['tuning'] = tuning_table(load('synthetic_tuning.json'))
    parts['coat_40'] = selected_table(load('coat_lightgcn_40_seeds.json'),
                                      ['test_ood_official', 'test_ood'], True)
    parts['yahoo_window'] = window_table(load('yahoo_r3_lightgcn.json'))
    fill('advinfonce.md', **parts)


def write_gowalla() -> None:
    run = load('gowalla_lightgcn_bpr.json')[0]
    curves = run['curves']
    lines = ['| epoch | validation R@20 | test R@20 | test N@20 |', '|---|---|---|---|']
    for row in zip(*(curves[k] for k in ('epoch', 'recall@20', 'test/recall@20', 'test/ndcg@20'))):
        lines.append('| {} | {:.4f} | {:.4f} | {:.4f} |'.format(row[0] + 1, *row[1:]))
    fill('gowalla.md', table='\n'.join(lines), epochs=str(run['epochs']),
         seconds=f"{run['train_seconds_per_epoch']:.1f}")


def write_sharpcf() -> None:
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
    fig, axes = plt.subplots(1, 2, figsize=(8.8, 3.4), layout='constrained')
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
    plt.close(fig)
    keys = {'recall@20': 'validation R@20', 'test/recall@20': 'test R@20',
            'test/ndcg@20': 'test N@20'}
    plot_curves([r for records in runs.values() for r in records if 'curves' in r], keys,
                'sharpcf_curves.png')
    fill('sharpcf.md', seeds=str(len(runs['bpr'])), **{
        name: '\n'.join(lines) for name, lines in (
            ('table', table), ('gains', gains), ('search', tried), ('tail', tail),
            ('cost', cost), ('reduced', reduced))})


def percent(values: list[float]) -> str:
    mean, half = interval([100 * v for v in values])
    return f'{mean:.3f}' if half != half else f'{mean:.3f} ± {half:.3f}'


def write_accf() -> None:
    metrics = ['precision@10', 'recall@10', 'map@10', 'ndcg@10']
    head = '| ' + ' | '.join(metrics)

    def rows(records: list[dict], first: str) -> list[str]:
        lines = [f'| {first} {head} | validation ndcg@10 | best epoch |',
                 '|' + '---|' * (len(metrics) + 3)]
        for method in dict.fromkeys(r['method'] for r in records):
            runs = [r for r in records if r['method'] == method]
            name = NAMES.get(method) or PARTS[method.partition(':')[2]]
            best = sorted(r['best_epoch'] + 1 for r in runs)
            cells = [percent([r['test']['test'][m] for r in runs]) for m in metrics]
            cells.append(percent([r['valid']['ndcg@10'] for r in runs]))
            lines.append(f"| {name} | {' | '.join(cells)} | {', '.join(map(str, best))} |")
        return lines

    pet, search = load('amazon_pet_accf.json'), load('amazon_pet_accf_search.json')
    ablation, noise = load('amazon_pet_accf_ablation.json'), load('amazon_pet_accf_noise.json')
    cold, yelp = load('amazon_pet_accf_cold.json'), load('yelp2018_accf_reduced.json')
    extra = load('amazon_pet_accf_diagnosis.json')
    first = [r for r in pet if r['seed'] == 0]
    full = next(r for r in first if r['method'] == 'accf')

    levels = sorted({r['noise'] for r in noise})
    noisy = ['| method | ' + ' | '.join(f'{level:.0%}' for level in (0, *levels)) + ' |',
             '|' + '---|' * (len(levels) + 2)]
    fig, ax = plt.subplots(figsize=(5, 3.4), layout='constrained')
    for method in dict.fromkeys(r['method'] for r in first):
        values = [next(r for r in records if r['method'] == method and r['noise'] == level)
                  ['test']['test']['ndcg@10'] for level, records in (
                      (0., first), *((level, noise) for level in levels))]
        cells = [f'{100 * v:.3f} ({v / values[0] - 1:+.1%})' for v in values]
        noisy.append(f"| {NAMES[method]} | {' | '.join(cells)} |")
        ax.plot([0, *(100 * level for level in levels)], [100 * v for v in values], marker='o',
                label=NAMES[method])
    ax.set_xlabel('injected interactions (% of training)')
    ax.set_ylabel('NDCG@10 (%)')
    ax.legend(fontsize='small')
    fig.savefig(PAGES / 'accf_noise.png', dpi=110)
    plt.close(fig)

    groups = [f'| users | method {head} |', '|' + '---|' * (len(metrics) + 2)]
    for group in ('cold', 'warm'):
        for r in cold:
            cells = [f"{100 * r['groups'][group][m]:.3f}" for m in metrics]
            groups.append(f"| {group} | {NAMES[r['method']]} | {' | '.join(cells)} |")

    readout = ['| method | readout | contrast | epsilon | adversarial loss | seeds '
               '| validation ndcg@10 | test ndcg@10 |', '|' + '---|' * 8]
    same = defaultdict(list)
    for r in extra:
        keys = ('contrast', 'epsilon', 'adversarial')
        same[(r['method'], r['readout'], *(r['settings'].get(k) for k in keys))].append(r)
    for (method, layers, *values), runs in same.items():
        part = method.partition(':')[2]
        name = f'ACCF, {PARTS[part]}' if part else NAMES[method]
        cells = ['' if v is None else f'{v:g}' for v in values]
        readout.append(f"| {name} | {layers} | {' | '.join(cells)} | {len(runs)} "
                       f"| {percent([r['valid']['ndcg@10'] for r in runs])} "
                       f"| {percent([r['test']['test']['ndcg@10'] for r in runs])} |")
    tried = ['| method | setting | validation ndcg@10 | best epoch | test ndcg@10 |',
             '|---|---|---|---|---|']
    for r in search:
        mark = '**' if r['chosen'] else ''
        setting = ', '.join(f'{k} {v:g}' for k, v in r['setting'].items())
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
    fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout='constrained')
    for name, curves in drifts.items():
        for ax, key, place in zip(axes, ('by_loss', 'by_popularity'), (-1, 0)):
            ax.plot(np.array(curves['epoch']) + 1, [v[place] for v in curves[key]], label=name)
    for ax, title in zip(axes, ('hardest quarter of triplets', 'rarest quarter of items')):
        ax.set_title(f'mean weight, {title}', fontsize='medium')
        ax.set_xlabel('epoch')
        ax.axhline(1, color='gray', linewidth=1)
    axes[0].legend(fontsize='small')
    fig.savefig(PAGES / 'accf_weights.png', dpi=110)
    plt.close(fig)

    report = json.loads((RESULTS / 'cost_gowalla_accf.json').read_text())
    cost = ['| method | ms per step | of LightGCN-BPR |', '|---|---|---|']
    for r in report['rows']:
        if r['backbone'] == 'lightgcn':
            cost.append(f"| {NAMES.get(r['method'], r['method'])} | {r['step_ms']:.1f} "
                        f"| {r['ratio']:.2f} |")
    fill('accf.md', seeds=str(1 + max(r['seed'] for r in pet)), **{
        name: '\n'.join(lines) for name, lines in (
            ('main', rows(pet, 'method')), ('ablation', rows([full, *ablation], 'ACCF with')),
            ('noise', noisy), ('cold', groups), ('yelp', rows(yelp, 'method')),
            ('search', tried), ('weights', learned), ('cost', cost),
            ('diagnosis', readout))})


def speed_table(report: dict) -> str:
    lines = ['| work | against | ours (ms) | theirs (ms) | ratio | least / gathered, of a copy |',
             '|---|---|---|---|---|---|']
    for row in report['rows']:
        moved = (f"{row['least_of_copy']:.0%} / {row['gathered_of_copy']:.0%}"
                 if 'least_of_copy' in row else '')
        lines.append(f"| {row['work']} | {row['against']} | {row['ours_ms']:.2f} "
                     f"| {row['theirs_ms']:.2f} | {row['ratio']:.2f} | {moved} |")
    peak = report['peak_memory']
    lines.append(f"| peak memory, {peak['work']} | {peak['against']} "
                 f"| {peak['ours_bytes'] / 2**20:.0f} MiB | {peak['theirs_bytes'] / 2**20:.0f} MiB "
                 f"| {peak['ratio']:.2f} | |")
    return '\n'.join(lines)


def machine(report: dict) -> str:
    facts = dict(report['machine'])
    backends = '; '.join(f'{k}: {v}' for k, v in facts.pop('backends').items())
    copy = facts.pop('copy_bytes_per_second') / 2**30
    return (', '.join(f'{k} {v}' for k, v in facts.items())
            + f', a large copy moves {copy:.0f} GiB/s. {backends}')


def plot_growth(reports: dict[str, list[dict]]) -> None:
    fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.4), layout='constrained')
    for label, rows in reports.items():
        edges = [row['edges'] for row in rows]
        for ax, key in zip(axes, ('step_ms', 'peak_gib')):
            ax.plot(edges, [row[key] for row in rows], marker='o', label=label)
    for ax, label in zip(axes, ('ms per step', 'peak memory (GiB)')):
        ax.set_xscale('log', base=2)
        ax.set_yscale('log', base=2)
        ax.set_aspect('equal')
        ax.set_xlabel('edges')
        ax.set_ylabel(label)
        ax.grid(alpha=0.3)
    axes[0].legend(fontsize='small')
    fig.savefig(PAGES / 'growth.png', dpi=110)
    plt.close(fig)


def write_speed() -> None:
    reports = {name: json.loads((RESULTS / f'speed_cpu{suffix}.json').read_text())
               for name, suffix in (('kept', ''), ('default', '_returned'),
                                    ('yelp', '_yelp2018'))}
    growth = {label: load(f'growth_cpu{suffix}.json')['rows']
              for label, suffix in (('memory kept', ''), ('default allocator', '_returned'),
                                    ('huge pages', '_huge'))}
    lines = ['| edges | users | items | step (ms) | ns per edge | peak memory (GiB) '
             '| step, default allocator (ms) | step, huge pages (ms) |',
             '|---|---|---|---|---|---|---|---|']
    for row, default, huge in zip(*growth.values(), strict=True):
        assert row['edges'] == default['edges'] == huge['edges']
        lines.append(f"| {row['edges']:,} | {row['users']:,} | {row['items']:,} "
                     f"| {row['step_ms']:.0f} | {1e6 * row['step_ms'] / row['edges']:.0f} "
                     f"| {row['peak_gib']:.1f} | {default['step_ms']:.0f} "
                     f"| {huge['step_ms']:.0f} |")
    plot_growth(growth)
    fill('speed.md', growth='\n'.join(lines), machine=machine(reports['kept']),
         **{name: speed_table(report) for name, report in reports.items()})


def write_all() -> None:
    PAGES.mkdir(exist_ok=True)
    write_advinfonce()
    write_gowalla()
    write_sharpcf()
    write_accf()
    write_speed()
