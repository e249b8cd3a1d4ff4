r"""AdvInfoNCE against InfoNCE and its control, on Coat, Yahoo!R3 and synthetic data."""
import numpy as np
import torch

from pages.common import NAMES, by_method, cell, difference, fill, load, plot_curves

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


def write() -> None:
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
