r"""AdvInfoNCE against InfoNCE and its control, on Coat, Yahoo!R3 and synthetic data."""
import numpy as np

from benchmarks.tables import cell, difference, frame
from pages.common import NAMES, fill, grouped, load, markdown, named, plot_curves, published

METRICS = {'recall@20': 'R@20', 'ndcg@20': 'N@20'}
COAT, SYNTHETIC = ['test_ood_official', 'test_ood'], ['test_iid', 'test_ood']


def short(value: float) -> str:
    return f'{value:.4f}'.lstrip('0')


def selected_table(records: list[dict], splits: list[str]) -> str:
    r"""Selected by validation: mean over seeds with the 95 % interval."""
    rows, runs = [], dict(iter(frame(records).groupby('method')))
    for method, own in named(runs).items():
        rows.append({
            'method': NAMES[method], 'seeds': len(own),
            'best epoch (median)': f"{own['best epoch'].median() - 1:.0f}",
            'validation R@20': cell(own['valid recall@20']),
            **{f'{s} {name}': cell(own[f'{s} {m}']) for s in splits for m, name in METRICS.items()}
        })
        for source in ('independent', 'published') if splits != SYNTHETIC else ():
            theirs = published(records[0]['dataset'], records[0]['backbone'], source)
            rows[-1][f'{source} R / N'] = (' / '.join(map(short, theirs.loc[method]))
                                           if method in theirs.index else '-')
    return markdown(rows)


def window(run: dict, key: str, epochs) -> float:
    r"""Mean of a curve over those of the epochs at which the run was evaluated."""
    return np.mean([v for e, v in zip(run['curves']['epoch'], run['curves'][key]) if e in epochs])


def equal_epochs(a: dict, b: dict) -> set[int]:
    r"""Epochs that both runs evaluated, without the first half, where nothing has converged."""
    shared = sorted(set(a['curves']['epoch']) & set(b['curves']['epoch']))
    return set(shared[len(shared) // 2:])


def paired_table(records: list[dict], splits: list[str]) -> str:
    r"""Differences over the same seeds, at the selected epoch and averaged over equal epochs."""
    runs, rows = grouped(sorted(records, key=lambda r: r['seed'])), []
    for pair in (('advinfonce', 'infonce'), ('advinfonce', 'uniform'), ('uniform', 'infonce')):
        shared = [equal_epochs(a, b) for a, b in zip(*(runs[m] for m in pair))]
        for split, metric in ((split, metric) for split in splits for metric in METRICS):
            selected = ([r['test'][split][metric] for r in runs[m]] for m in pair)
            equal = ([window(r, f'{split}/{metric}', e) for r, e in zip(runs[m], shared)]
                     for m in pair)
            rows.append({'difference': ' minus '.join(NAMES[m] for m in pair), 'test set': split,
                         'metric': metric,
                         'at the selected epochs | p': ' | '.join(difference(*selected)),
                         'at equal epochs | p': ' | '.join(difference(*equal))})
    return markdown(rows)


def window_table(records: list[dict]) -> str:
    r"""Means over the epochs 120 to 179, beside the independent ones."""
    theirs = published('yahoo_r3', 'lightgcn', 'independent, epochs 120 to 179')
    return markdown([{'method': NAMES[method], **{
        title: cell([window(r, key, range(120, 180)) for r in runs])
        + (f' ({short(theirs.loc[method, metric])})' if metric else '')
        for title, key, metric in (('unbiased R@20', 'test_ood/recall@20', 'recall@20'),
                                   ('unbiased N@20', 'test_ood/ndcg@20', 'ndcg@20'),
                                   ('validation R@20', 'recall@20', None))}}
        for method, runs in named(grouped(records)).items()])


def tuning_table(records: list[dict]) -> str:
    r"""What validation said of the settings that were tried on the synthetic data."""
    return markdown([{'method': NAMES[r['method']], **{
        key.replace('_', ' '): '-' if r['method'] in others else f"{r['settings'][key]:g}"
        for key, others in (('temperature', ['bpr']), ('lr', []),
                            ('adversary_lr', ['bpr', 'infonce', 'uniform']))},
        'validation R@20': f"{r['valid']['recall@20']:.4f}"} for r in records])


def write() -> None:
    parts = {}
    titles = {'recall@20': 'validation R@20', 'test_iid/recall@20': 'in-distribution test R@20',
              'test_ood/recall@20': 'unbiased test R@20 (clean)',
              'test_ood/ndcg@20': 'unbiased test N@20 (clean)',
              'test_ood_official/ndcg@20': 'unbiased test N@20 (official)'}
    for name, file, splits in (
            ('coat_lightgcn', 'coat_lightgcn', COAT), ('coat_mf', 'coat_mf', COAT),
            ('yahoo', 'yahoo_r3_lightgcn', ['test_ood']),
            ('synthetic', 'synthetic_lightgcn', SYNTHETIC),
            ('strong', 'synthetic_lightgcn_strong', SYNTHETIC)):
        records = load(f'{file}')
        parts[f'{name}_selected'] = selected_table(records, splits)
        parts[f'{name}_paired'] = paired_table(records, splits)
        plot_curves(records, {key: title for key, title in titles.items()
                              if all(key in r['curves'] for r in records)
                              and ('official' not in key or splits == COAT)}, f'{name}.png')
    seconds, = (r['train_seconds_per_epoch'] for r in load('yahoo_r3_one_thread')
                if r['method'] == 'advinfonce')
    fill('advinfonce.md', yahoo_seconds=f'{seconds:.2f}',
         tuning=tuning_table(load('synthetic_tuning')),
         coat_40=selected_table(load('coat_lightgcn_40_seeds'), COAT),
         yahoo_window=window_table(load('yahoo_r3_lightgcn')), **parts)
