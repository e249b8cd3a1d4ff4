r"""BPR, APR, SharpCF and SAM on MovieLens-1M: a search of equal size for each, then seeds.

    PYG_ADVCF_MIRROR=... python benchmarks/sharpcf.py --out benchmarks/results

BPR chooses its L2 weight from four; the others keep that weight and choose from four settings of
their own, APR with twice the weight, since its ranking loss counts twice. One seed and validation
Recall@20 choose; the test set is only recorded. The run that was chosen is the first seed. All but
BPR begin with 60 epochs of BPR, about two thirds of what BPR takes to its best, and only later
epochs may be chosen. Every run is one call of `examples/mf_sharpcf.py` with one thread, as many at
once as there are cores; runs that are done are not repeated.

    python benchmarks/sharpcf.py --search benchmarks/results/ml-1m_mf_sharpcf_search.json \
        --first-seed 3 --seeds 2

adds two seeds with the settings that an earlier search chose, and paired tests over these.

    python benchmarks/sharpcf.py --reduced

is a reduced run on a fifth of Gowalla's users: 64 dimensions, two settings a method, one seed.
"""
import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch
from runs import Runs, write_json

from pyg_advcf.metrics import paired_test

METRICS = ('recall@10', 'ndcg@10', 'recall@20', 'ndcg@20')
SPACES = {
    'bpr': [{'l2': v} for v in (3e-3, 1e-2, 2e-2, 4e-2)],
    'apr': [{'epsilon': e, 'l2': 2e-2} for e in (0.05, 0.1, 0.2, 0.5)],
    'sharpcf': [{'weight': w, 'lag': e} for w, e in ((0.01, 3), (0.1, 3), (1., 3), (0.1, 1))],
    'sam': [{'rho': r} for r in (0.05, 0.2, 0.5, 1.)],
}
REDUCED = {
    'bpr': [{'l2': v} for v in (1e-3, 1e-2)],
    'apr': [{'epsilon': e, 'l2': 2e-3} for e in (0.05, 0.2)],
    'sharpcf': [{'weight': w, 'l2': 1e-3} for w in (1., 0.1)],
    'sam': [{'rho': r, 'l2': 1e-3} for r in (0.5, 0.05)],
}


def command(work, method, setting, seed=0, data=('--dataset', 'ml-1m')):
    r"""One call of the example."""
    words = [*data, '--method', method, '--first-seed', seed, '--patience', 4,
             '--plot', work / f'{method}_{data[1]}_{seed}.png']
    if seed > 0:
        words += ['--curves', '--per-user', work / 'per_user']
    for key, value in setting.items():
        words += [f'--{key}', value]
    return words


def paired(folder, a, b, metric, seeds):
    r"""Difference of two methods over users, each user's value averaged over ``seeds``."""
    values = [torch.from_numpy(np.mean([np.load(folder / f'{name}_{seed}_test.npz')[metric]
                                        for seed in seeds], axis=0)) for name in (a, b)]
    difference, p = paired_test(*values)
    return {'difference': difference, 'p': p, 'seeds': list(seeds)}


def search_all(work, out, records_of):
    r"""All settings with the first seed: the chosen setting of each method, and its record."""
    def search(tasks):
        found = records_of('search', [command(work, m, s) for m, s in tasks])
        return [(m, s, r) for (m, s), r in zip(tasks, found)]

    def value(record):
        return record['valid']['recall@20']

    base = search([('bpr', s) for s in SPACES['bpr']])
    l2 = max(base, key=lambda t: value(t[2]))[1]
    tried = base + search([(m, {**l2, **s}) for m in ('apr', 'sharpcf', 'sam')
                           for s in SPACES[m]])
    best = {m: max((t for t in tried if t[0] == m), key=lambda t: value(t[2]))[1] for m in SPACES}
    write_json(out / 'ml-1m_mf_sharpcf_search.json', [
        {'method': m, 'chosen': s == best[m], 'setting': s, 'valid': value(r),
         'best_epoch': r['best_epoch'], 'test': r['test']['test']} for m, s, r in tried])
    return best, [r for m, s, r in tried if s == best[m]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=Path('benchmarks/results'))
    parser.add_argument('--work', type=Path, default=Path('outputs/sharpcf'))
    parser.add_argument('--data-dir', default='data')
    parser.add_argument('--seeds', type=int, default=5)
    parser.add_argument('--search', type=Path, help='a search that is done: run seeds alone')
    parser.add_argument('--first-seed', type=int, default=3, help='with --search')
    parser.add_argument('--reduced', action='store_true', help='the reduced run on Gowalla alone')
    parser.add_argument('--jobs', type=int, default=os.cpu_count())
    args = parser.parse_args()
    results, tests = (args.out / f'ml-1m_mf_sharpcf{name}.json' for name in ('', '_paired'))

    with Runs(args.work, args.data_dir, args.jobs) as runs:
        def records_of(label, commands):
            return runs(label, 'mf_sharpcf', commands)

        if args.reduced:
            part = ('--dataset', 'gowalla', '--users', '0.2', '--dim', '64', '--lr', '0.002',
                    '--epochs', '200', '--start', '60')
            write_json(args.out / 'gowalla_mf_sharpcf_reduced.json', records_of(
                'reduced', [command(args.work, m, s, data=part)
                            for m, space in REDUCED.items() for s in space]))
            return
        if args.search:
            best = {row['method']: row['setting'] for row in json.loads(args.search.read_text())
                    if row['chosen']}
            seeds = range(args.first_seed, args.first_seed + args.seeds)
            records = [r for r in json.loads(results.read_text()) if r['seed'] not in seeds]
            tested = [r for r in json.loads(tests.read_text()) if r['seeds'] != list(seeds)]
        else:
            best, records = search_all(args.work, args.out, records_of)
            seeds, tested = range(1, args.seeds), []
        records += records_of('seeds', [command(args.work, m, best[m], seed)
                                        for seed in seeds for m in SPACES])
    names = list(SPACES)
    records.sort(key=lambda r: (names.index(r['method']), r['seed']))
    pairs = [(a, b) for i, b in enumerate(names) for a in names[i + 1:]]
    tested += [{'method': a, 'against': b, 'metric': metric,
                **paired(args.work / 'per_user', a, b, metric, seeds)}
               for a, b in pairs for metric in METRICS]
    write_json(tests, tested)
    write_json(results, records)


if __name__ == '__main__':
    main()
