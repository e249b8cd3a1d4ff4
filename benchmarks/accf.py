r"""ACCF, random-noise views and LightGCN on Amazon Pet and a part of Yelp2018.

    PYG_ADVCF_MIRROR=... python benchmarks/accf.py --out benchmarks/results

Each method chooses from eight settings of its own by validation NDCG@10 and one seed; LightGCN's
choice of the L2 weight and of the learning rate is kept for the others. With what was chosen follow
seeds, injected noise, users with little history, parts of ACCF taken away (`--ablation` of the
example), and a reduced run: a tenth of the users of Yelp2018, with the settings of Amazon Pet.
Every run is one call of `examples/lightgcn_accf.py` with one thread, as many at once as there are
jobs; runs that are done are not repeated.
"""
import argparse
import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

EXAMPLE = Path(__file__).parents[1] / 'examples' / 'lightgcn_accf.py'
SPACES = {
    'lightgcn': [dict(lr=lr, l2=l2) for lr, l2 in (
        (2e-3, 1e-4), (2e-3, 1e-3), (2e-3, 1e-2), (1e-3, 1e-3), (5e-3, 1e-3),
        (2e-3, 3e-4), (2e-3, 3e-3), (3e-3, 1e-3))],
    'xsimgcl': [dict(contrast=c, temperature=t, epsilon=e) for c, t, e in (
        (0.2, 0.2, 0.2), (0.1, 0.2, 0.2), (0.5, 0.2, 0.2), (0.2, 0.1, 0.2), (0.2, 0.2, 0.1),
        (0.05, 0.2, 0.2), (0.02, 0.2, 0.2), (0.1, 0.2, 0.1))],
    'accf': [dict(contrast=c, temperature=t, epsilon=e) for c, t, e in (
        (0.2, 0.2, 0.1), (0.2, 0.2, 0.5), (0.5, 0.2, 0.1), (0.2, 0.1, 0.1), (0.05, 0.5, 0.5),
        (0.05, 0.2, 0.1), (0.02, 0.2, 0.1), (0.05, 0.5, 0.1))],
}
ABLATIONS = ('no-weights', 'no-views', 'joint', 'random', 'alternating-easy')
STAGES = ('search', 'seeds', 'diagnosis', 'yelp', 'noise', 'cold', 'ablation')
# After the search: what separates ACCF from random-noise views? Method, settings, part, readout,
# seed.
VIEW = dict(contrast=0.05, temperature=0.2, epsilon=0.1, adversarial=0.1)
DIAGNOSIS = [
    ('lightgcn', {}, 'full', 'propagated', 0),
    ('xsimgcl', dict(contrast=0.1, temperature=0.2, epsilon=0.1), 'full', 'all', 0),
    ('accf', VIEW, 'full', 'propagated', 0),
    ('accf', {**VIEW, 'adversarial': 0.}, 'no-weights', 'propagated', 0),
    *(('accf', VIEW, part, 'propagated', 0) for part in ('no-weights', 'no-weights-random')),
]


def run(args, method, setting, *more, seed=0, dataset='amazon_pet'):
    r"""The record of one call of the example."""
    if method == 'accf' and '--readout' not in more:
        more = (*more, '--readout', 'all')  # LightGCN's, as published.
    command = ['--dataset', dataset, '--method', method, '--first-seed', str(seed), '--threads',
               '1', '--patience', '4', '--epochs', '300' if method == 'lightgcn' else '120',
               *map(str, more)]
    for key, value in setting.items():
        command += [f'--{key}', f'{value:g}']
    digest = hashlib.sha256(' '.join(command).encode()).hexdigest()[:12]
    path = args.work / f'{method}_{digest}.json'
    if not path.exists():
        partial = path.with_suffix('.running')
        subprocess.run([sys.executable, '-W', 'ignore', str(EXAMPLE), *command, '--data-dir',
                        args.data_dir, '--curves', '--json', str(partial)],
                       check=True, capture_output=True, env={**os.environ, 'OMP_NUM_THREADS': '1'})
        os.replace(partial, path)
    record, = json.loads(path.read_text())
    return record


def write(path, records):
    path.write_text('[\n' + ',\n'.join(map(json.dumps, records)) + '\n]\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=Path('benchmarks/results'))
    parser.add_argument('--work', type=Path, default=Path('outputs/accf'))
    parser.add_argument('--data-dir', default='data')
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--stages', nargs='+', default=STAGES, choices=STAGES)
    parser.add_argument('--noise', type=float, nargs='+', default=[0.2])
    parser.add_argument('--jobs', type=int, default=os.cpu_count())
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)

    with ThreadPoolExecutor(args.jobs) as pool:
        def all_of(label, tasks):
            r"""The records of the tasks, `(method, setting, further arguments, seed, dataset)`."""
            futures = [pool.submit(run, args, m, s, *more, seed=seed, dataset=dataset)
                       for m, s, more, seed, dataset in tasks]
            return [f.result() for f in tqdm(futures, desc=label)]

        def search(spaces):
            tasks = [(m, s, (), 0, 'amazon_pet') for m, space in spaces.items() for s in space]
            return [(m, s, r) for (m, s, *_), r in zip(tasks, all_of('search', tasks))]

        def chosen(tried, method):
            return max((t for t in tried if t[0] == method),
                       key=lambda t: t[2]['valid']['ndcg@10'])[1]

        tried = search({'lightgcn': SPACES['lightgcn']})
        base = chosen(tried, 'lightgcn')
        tried += search({m: [{**base, **s} for s in SPACES[m]] for m in ('xsimgcl', 'accf')})
        best = {m: chosen(tried, m) for m in SPACES}
        write(args.out / 'amazon_pet_accf_search.json', [
            {'method': m, 'chosen': s == best[m], 'setting': s, 'valid': r['valid']['ndcg@10'],
             'best_epoch': r['best_epoch'], 'test': r['test']['test'],
             'seconds_per_epoch': r['train_seconds_per_epoch']} for m, s, r in tried])
        tasks = {
            'seeds': [(m, s, (), seed, 'amazon_pet') for seed in range(args.seeds)
                      for m, s in best.items()],
            'ablation': [('accf', best['accf'], ('--ablation', v), 0, 'amazon_pet')
                         for v in ABLATIONS],
            'noise': [(m, s, ('--noise', ratio), 0, 'amazon_pet') for ratio in args.noise
                      for m, s in best.items()],
            'diagnosis': [(m, {**base, **s}, ('--ablation', v, '--readout', readout), seed,
                           'amazon_pet') for m, s, v, readout, seed in DIAGNOSIS],
            'cold': [(m, s, ('--cold-start', ), 0, 'amazon_pet') for m, s in best.items()],
            'yelp': [(m, s, ('--users', 0.1), 0, 'yelp2018') for m, s in best.items()],
        }
        names = {'yelp': 'yelp2018_accf_reduced', 'seeds': 'amazon_pet_accf'}
        for stage in args.stages:
            if stage in tasks:
                write(args.out / f"{names.get(stage, f'amazon_pet_accf_{stage}')}.json",
                      all_of(stage, tasks[stage]))


if __name__ == '__main__':
    main()
