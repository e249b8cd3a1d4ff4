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
import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from pyg_advcf.metrics import paired_test

METRICS = ('recall@10', 'ndcg@10', 'recall@20', 'ndcg@20')
EXAMPLE = Path(__file__).parents[1] / 'examples' / 'mf_sharpcf.py'
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


def run(work, data_dir, method, setting, first=0, seeds=1,
        data=('--dataset', 'ml-1m')):
    r"""The records of one call of the example."""
    # What the example sets by default is part of the name: another setting is another run.
    digest = hashlib.sha256(EXAMPLE.read_bytes()).hexdigest()[:8]
    name = '_'.join([method, data[1], *(f'{k}{v:g}' for k, v in sorted(setting.items())),
                     f'seed{first}to{first + seeds - 1}', digest])
    path = work / f'{name}.json'
    if not path.exists():
        partial = path.with_suffix('.running')
        command = [sys.executable, '-W', 'ignore', str(EXAMPLE), *data,
                   '--data-dir', data_dir, '--method', method, '--seeds', str(seeds),
                   '--first-seed', str(first),
                   '--threads', '1', '--patience', '4', '--json', str(partial),
                   '--plot', str(work / f'{name}.png')]
        if first > 0:
            command += ['--curves', '--per-user', str(work / 'per_user')]
        for key, value in setting.items():
            command += [f'--{key}', str(value)]
        subprocess.run(command, check=True, capture_output=True,
                       env={**os.environ, 'OMP_NUM_THREADS': '1'})
        os.replace(partial, path)
    return json.loads(path.read_text())


def paired(folder, a, b, metric, seeds):
    r"""Difference of two methods over users, each user's value averaged over ``seeds``."""
    values = [torch.from_numpy(np.mean([np.load(folder / f'{name}_{seed}_test.npz')[metric]
                                        for seed in seeds], axis=0)) for name in (a, b)]
    difference, p = paired_test(*values)
    return {'difference': difference, 'p': p, 'seeds': list(seeds)}


def search_all(work, data_dir, out, pool):
    r"""All settings with the first seed: the chosen setting of each method, and its records."""
    def search(tasks):
        futures = [(m, s, pool.submit(run, work, data_dir, m, s)) for m, s in tasks]
        return [(m, s, f.result()) for m, s, f in tqdm(futures, desc='search')]

    def value(records):
        return records[0]['valid']['recall@20']

    base = search([('bpr', s) for s in SPACES['bpr']])
    l2 = max(base, key=lambda t: value(t[2]))[1]
    tried = base + search([(m, {**l2, **s}) for m in ('apr', 'sharpcf', 'sam')
                           for s in SPACES[m]])
    best = {m: max((t for t in tried if t[0] == m), key=lambda t: value(t[2]))[1] for m in SPACES}
    (out / 'ml-1m_mf_sharpcf_search.json').write_text('[\n' + ',\n'.join(
        json.dumps({'method': m, 'chosen': s == best[m], 'setting': s, 'valid': value(r),
                    'best_epoch': r[0]['best_epoch'], 'test': r[0]['test']['test']})
        for m, s, r in tried) + '\n]\n')
    return best, [record for m, s, r in tried if s == best[m] for record in r]


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
    args.work.mkdir(parents=True, exist_ok=True)
    results, tests = (args.out / f'ml-1m_mf_sharpcf{name}.json' for name in ('', '_paired'))

    with ThreadPoolExecutor(args.jobs) as pool:
        if args.reduced:
            part = ('--dataset', 'gowalla', '--users', '0.2', '--dim', '64', '--lr', '0.002',
                    '--epochs', '200', '--start', '60')
            futures = [pool.submit(run, args.work, args.data_dir, m, s, data=part)
                       for m, space in REDUCED.items() for s in space]
            records = [r for f in tqdm(futures, desc='reduced') for r in f.result()]
            (args.out / 'gowalla_mf_sharpcf_reduced.json').write_text(
                '[\n' + ',\n'.join(map(json.dumps, records)) + '\n]\n')
            return
        if args.search:
            best = {row['method']: row['setting'] for row in json.loads(args.search.read_text())
                    if row['chosen']}
            seeds = range(args.first_seed, args.first_seed + args.seeds)
            records = [r for r in json.loads(results.read_text()) if r['seed'] not in seeds]
            tested = [r for r in json.loads(tests.read_text()) if r['seeds'] != list(seeds)]
        else:
            best, records = search_all(args.work, args.data_dir, args.out, pool)
            seeds, tested = range(1, args.seeds), []
        futures = [pool.submit(run, args.work, args.data_dir, m, best[m], seed, 1)
                   for seed in seeds for m in SPACES]
        records += [r for f in tqdm(futures, desc='seeds') for r in f.result()]
    names = list(SPACES)
    records.sort(key=lambda r: (names.index(r['method']), r['seed']))
    pairs = [(a, b) for i, b in enumerate(names) for a in names[i + 1:]]
    tested += [{'method': a, 'against': b, 'metric': metric,
                **paired(args.work / 'per_user', a, b, metric, seeds)}
               for a, b in pairs for metric in METRICS]
    tests.write_text('[\n' + ',\n'.join(map(json.dumps, tested)) + '\n]\n')
    results.write_text('[\n' + ',\n'.join(map(json.dumps, records)) + '\n]\n')


if __name__ == '__main__':
    main()
