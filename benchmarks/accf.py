r"""ACCF, random-noise views and LightGCN on Amazon Pet and a part of Yelp2018.

    PYG_ADVCF_MIRROR=... python benchmarks/accf.py --out benchmarks/results

Each method chooses from sixteen settings by validation NDCG@10 and one seed: eight of its own, each
with the readout over all layers and over those after the first propagation. LightGCN's choice of
the L2 weight and of the learning rate is kept for the others. With what was chosen follow seeds,
injected noise, users with little history, parts of ACCF taken away (`--ablation` of the example),
and a reduced run: a tenth of the users of Yelp2018, with the settings of Amazon Pet. Every run is
one call of `examples/lightgcn_accf.py` with one thread, as many at once as there are jobs; runs
that are done are not repeated.
"""
import argparse
import os
from pathlib import Path

from runs import Runs, write_json

READOUTS = ('all', 'propagated')
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
# Without weights several seeds too: those parts are the defaults and their control.
SEVERAL = ('no-weights', 'no-weights-random')
ABLATIONS = (*SEVERAL, 'no-views', 'random', 'joint', 'alternating-easy', 'alternating-hard')
STAGES = ('search', 'seeds', 'noise', 'cold', 'ablation', 'yelp')


def command(method, setting, *more, seed=0, dataset='amazon_pet'):
    r"""One call of the example."""
    words = ['--dataset', dataset, '--method', method, '--first-seed', seed, '--patience', 4,
             '--epochs', 300 if method == 'lightgcn' else 120, '--curves', *more]
    for key, value in setting.items():
        words += [f'--{key}', value if isinstance(value, str) else f'{value:g}']
    return words


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=Path('benchmarks/results'))
    parser.add_argument('--work', type=Path, default=Path('outputs/accf'))
    parser.add_argument('--data-dir', default='data')
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--stages', nargs='+', default=STAGES, choices=STAGES)
    parser.add_argument('--noise', type=float, nargs='+', default=[0.05, 0.1, 0.15, 0.2])
    parser.add_argument('--jobs', type=int, default=os.cpu_count())
    args = parser.parse_args()

    with Runs(args.work, args.data_dir, args.jobs) as runs:
        def records(label, commands):
            return runs(label, 'lightgcn_accf', commands)

        def search(spaces):
            tasks = [(m, s) for m, space in spaces.items() for s in space]
            return [(m, s, r) for (m, s), r in zip(
                tasks, records('search', [command(m, s) for m, s in tasks]))]

        def chosen(tried, method):
            return max((t for t in tried if t[0] == method),
                       key=lambda t: t[2]['valid']['ndcg@10'])[1]

        def wide(space, base=None):
            return [{**(base or {}), **s, 'readout': r} for r in READOUTS for s in space]

        tried = search({'lightgcn': wide(SPACES['lightgcn'])})
        base = {k: v for k, v in chosen(tried, 'lightgcn').items() if k != 'readout'}
        tried += search({m: wide(SPACES[m], base) for m in ('accf', 'xsimgcl')})
        best = {m: chosen(tried, m) for m in SPACES}
        write_json(args.out / 'amazon_pet_accf_search.json', [
            {'method': m, 'chosen': s == best[m], 'setting': s, 'valid': r['valid']['ndcg@10'],
             'best_epoch': r['best_epoch'], 'test': r['test']['test'],
             'seconds_per_epoch': r['train_seconds_per_epoch']} for m, s, r in tried])
        seeds = range(args.seeds)
        tasks = {
            'seeds': [command(m, s, seed=seed) for seed in seeds for m, s in best.items()],
            'noise': [command(m, s, '--noise', ratio) for ratio in args.noise
                      for m, s in best.items()],
            'cold': [command(m, s, '--cold-start') for m, s in best.items()],
            'ablation': [command('accf', best['accf'], '--ablation', v, seed=seed)
                         for v in ABLATIONS for seed in (seeds if v in SEVERAL else [0])],
            'yelp': [command(m, s, '--users', 0.1, dataset='yelp2018') for m, s in best.items()],
        }
        names = {'yelp': 'yelp2018_accf_reduced', 'seeds': 'amazon_pet_accf'}
        for stage, commands in tasks.items():
            if stage in args.stages:
                write_json(args.out / f"{names.get(stage, f'amazon_pet_accf_{stage}')}.json",
                      records(stage, commands))


if __name__ == '__main__':
    main()
