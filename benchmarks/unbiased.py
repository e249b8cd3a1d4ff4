r"""Every method on Coat and Yahoo!R3: a search of equal size for each, then seeds.

    PYG_ADVCF_MIRROR=... python benchmarks/unbiased.py --dataset coat --out benchmarks/results
    PYG_ADVCF_MIRROR=... python benchmarks/unbiased.py --dataset coat --backbone mf
    PYG_ADVCF_MIRROR=... python benchmarks/unbiased.py --dataset yahoo_r3 --budget 1 --seeds 1

Batch size, negatives, layers and schedule are those of the comparison of AdvInfoNCE
(`examples/lightgcn_advinfonce.py`). The first setting of each method is the published one, or its
own default; the others are drawn without replacement from its space, by a generator seeded with
its name. `--refine` adds that many neighbours of the best of them, one step along one argument each
and the method's own arguments first: with a small budget, luck in the drawing weighs less.
Validation Recall@20 with the first seed chooses; the test set is only recorded. Methods with a
backbone of their own run over that in place of LightGCN. A budget of 1 is the published settings
without a search. Runs that are done are not repeated.

Files are named `<dataset>_<backbone>_` and `all`, `refined` (with `--refine`) or `published` (a
budget of 1), those of the search with `_search` after that.
"""
import argparse
import bisect
import itertools
import os
import zlib
from pathlib import Path

import numpy as np
from runs import Runs, write_json

RATES = {'coat': [5e-4, 1e-3], 'yahoo_r3': [3e-4, 5e-4, 1e-3]}
# The best that its authors found for AdvInfoNCE, which stands for all softmax losses.
TUNED = {'coat': dict(temperature=0.75, lr=1e-3, adversary_lr=1e-2),
         'yahoo_r3': dict(temperature=0.28, lr=5e-4, adversary_lr=1e-4)}
TEMPERATURE = [0.05, 0.1, 0.15, 0.2, 0.28, 0.4, 0.5, 0.75, 1., 1.5, 2., 3.]
WEIGHT = [0.005, 0.01, 0.05, 0.1, 0.5, 1.]
# The paper searched none of LightGCL, DCCF, DirectAU and UltraGCN. Their spaces were widened where
# validation chose an edge of those published for larger data.
LOW_WEIGHT = [1e-4, 5e-4, 1e-3, *WEIGHT]
EPSILON = [0.01, 0.05, 0.1, 0.2, 0.5, 1.]
L2 = [1e-5, 1e-4, 1e-3, 1e-2]
DOT_L2 = [*L2, 0.1, 0.3]  # Dot products over MF chose the largest of the others.
MARGIN = [0.1, 0.2, 0.5, 1., 2., 4.]
SOFTMAX = {'temperature': TEMPERATURE}
# What each method searches, besides the learning rate.
SPACES = {
    'bpr': {'l2': DOT_L2},
    'hinge': {'margin': MARGIN, 'l2': DOT_L2},
    'warp': {'margin': MARGIN, 'l2': DOT_L2},
    'infonce': SOFTMAX,
    'dcl': SOFTMAX,
    'infol1o': SOFTMAX,
    'supcon': SOFTMAX,
    'ccl': {'weight': [1, 2, 5, 10, 50, 100, 200], 'margin': [0.2, 0.4, 0.6, 0.8, 1.]},
    'bsl': {'temperature': TEMPERATURE, 'pos_temperature': TEMPERATURE},
    'directau': {'gamma': [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1., 2., 5., 10.]},
    'bc': {'temperature': TEMPERATURE, 'branch_temperature': TEMPERATURE},
    'adaptau': {'warmup': [10, 20, 50, 100], 'beta': [0.5, 1., 2.]},
    'sdro': {'temperature': TEMPERATURE, 'step': [0.001, 0.01, 0.1]},
    'bir': {'l2': L2},
    'xir': {'weight': [0.2, 0.5, 0.8], 'l2': L2},
    'invcf': {'temperature': TEMPERATURE, 'popularity': [1e-5, 1e-3, 1e-1],
              'invariance': [1e-4, 1e-2, 1e-1]},
    'uniform': SOFTMAX,
    'advinfonce': {'temperature': TEMPERATURE, 'adversary_lr': [5e-5, 1e-4, 1e-3, 1e-2]},
    'sgl': {'temperature': TEMPERATURE, 'weight': WEIGHT, 'ratio': [0., 0.1, 0.2, 0.3, 0.4, 0.5]},
    # Published for sums over a batch of 1024, and from 1e-10 to 1e-6.
    'ncl': {'temperature': TEMPERATURE, 'structure_weight': [1e-7, 1e-6, 1e-5, 1e-4, 1e-3],
            'prototype_weight': [1e-7, 1e-6, 1e-5, 1e-4, 1e-3],
            'num_clusters': [5, 10, 25, 50, 100]},
    'simgcl': {'temperature': TEMPERATURE, 'weight': WEIGHT, 'epsilon': EPSILON},
    'xsimgcl': {'temperature': TEMPERATURE, 'weight': WEIGHT, 'epsilon': EPSILON},
    'lightgcl': {'temperature': TEMPERATURE, 'weight': LOW_WEIGHT,
                 'backbone.rank': [3, 5, 10, 20], 'l2': L2},
    'dccf': {'temperature': TEMPERATURE, 'weight': LOW_WEIGHT, 'l2': [0.1, *L2]},
    'ultragcn': {'neg_weight': [0.3, 1., 3., 10., 50., 100., 300.], 'l2': L2,
                 'backbone.weight': [5e-5, 5e-4, 5e-3]},
}
# What it tries first: published, or its default, where that is not of TUNED.
FIRST = {
    'bpr': {'l2': 1e-5}, 'hinge': {'margin': 1., 'l2': 1e-5}, 'warp': {'margin': 1., 'l2': 1e-5},
    'ccl': {'weight': 1, 'margin': 0.4}, 'directau': {'gamma': 1.},
    'bc': {'temperature': 0.1, 'branch_temperature': 0.1}, 'adaptau': {'warmup': 20, 'beta': 1.},
    'bir': {'l2': 1e-4}, 'xir': {'weight': 0.5, 'l2': 1e-4},
    'sgl': {'temperature': 0.15, 'weight': 0.2, 'ratio': 0.1},
    'ncl': {'temperature': 0.1, 'structure_weight': 1e-3, 'prototype_weight': 1e-4,
            'num_clusters': 25},
    'simgcl': {'temperature': 0.2, 'weight': 0.5, 'epsilon': 0.1},
    'xsimgcl': {'temperature': 0.15, 'weight': 0.2, 'epsilon': 0.2},
    'lightgcl': {'temperature': 0.2, 'weight': 0.2, 'backbone.rank': 5, 'l2': 1e-4},
    'dccf': {'temperature': 1., 'weight': 0.1, 'l2': 0.1},
    'ultragcn': {'neg_weight': 300., 'l2': 1e-4, 'backbone.weight': 5e-4},
    'sdro': {'step': 0.01}, 'invcf': {'popularity': 1e-5, 'invariance': 1e-4},
}
OWN_BACKBONE = ('lightgcl', 'dccf', 'ultragcn')
NEEDS_LAYERS = ('sgl', 'ncl', 'simgcl', 'xsimgcl')
SLOW = ('bir', 'xir')  # Run over LightGCN alone, unless asked for.


def space_of(method, dataset):
    r"""Its arguments and what each of them may be, the learning rate last."""
    return {**SPACES[method], 'lr': RATES[dataset]}


def neighbours(method, dataset, best, tried):
    r"""Settings a step away from ``best`` along one argument each, down before up, none tried.

    Published values need not lie on the grid: from there a step is to the next value of it.
    """
    for key, values in space_of(method, dataset).items():
        grid = sorted(values)
        below, above = bisect.bisect_left(grid, best[key]) - 1, bisect.bisect(grid, best[key])
        for place in (below, above):
            if 0 <= place < len(grid) and {**best, key: grid[place]} not in tried:
                yield {**best, key: grid[place]}


def settings(method, dataset, budget):
    r"""The settings that a method tries, ``budget`` of them or as many as its space has."""
    space = space_of(method, dataset)
    tuned = {'pos_temperature': TUNED[dataset]['temperature'],
             'branch_temperature': TUNED[dataset]['temperature'], **TUNED[dataset]}
    first = {key: FIRST.get(method, {}).get(key, tuned.get(key)) for key in space}
    rest = [s for s in (dict(zip(space, values)) for values in itertools.product(*space.values()))
            if s != first]
    rng = np.random.default_rng(zlib.crc32(method.encode()))
    return [first, *(rest[i] for i in rng.permutation(len(rest))[:budget - 1])]


def command(args, method, setting, seed):
    r"""One call of the example."""
    backbone = method if method in OWN_BACKBONE else args.backbone
    words = ['--dataset', args.dataset, '--backbone', backbone, '--method', method,
             '--first-seed', seed, '--patience', args.patience]
    for key in ('lr', 'adversary_lr'):
        if key in setting:
            words += [f'--{key.replace("_", "-")}', f'{setting[key]:g}']
    own = [f'{key}={value:g}' for key, value in setting.items()
           if key not in ('lr', 'adversary_lr')]
    return [*words, '--plot', args.work / 'hardness.png', *(['--set', *own] if own else [])]


def best_of(found, method):
    r"""The setting of the method with the best validation, the first of equal ones."""
    return max(((s, r) for m, s, r in found if m == method),
               key=lambda pair: pair[1]['valid']['recall@20'])[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--dataset', default='coat', choices=sorted(TUNED))
    parser.add_argument('--backbone', default='lightgcn', choices=['lightgcn', 'mf', 'vgae',
                                                                   'ultragcn'])
    parser.add_argument('--method', nargs='+', choices=sorted(SPACES),
                        help='by default all that run over the backbone')
    parser.add_argument('--budget', type=int, default=8, help='settings of each method')
    parser.add_argument('--refine', type=int, default=0, help='further ones, next to the best')
    parser.add_argument('--seeds', type=int, default=5)
    parser.add_argument('--patience', type=int, default=20, help='evaluations, of every 5th epoch')
    parser.add_argument('--out', type=Path, default=Path('benchmarks/results'))
    parser.add_argument('--name', help='of the files; data, backbone and kind of search if absent')
    parser.add_argument('--work', type=Path, default=Path('outputs/unbiased'))
    parser.add_argument('--data-dir', default='data')
    parser.add_argument('--jobs', type=int, default=os.cpu_count())
    args = parser.parse_args()
    methods = args.method or [
        m for m in SPACES
        if args.backbone == 'lightgcn' or m not in OWN_BACKBONE + NEEDS_LAYERS + SLOW]
    tried = [(m, s) for m in methods for s in settings(m, args.dataset, args.budget)]
    with Runs(args.work, args.data_dir, args.jobs) as runs:
        def search(label, some):
            found = runs(label, 'lightgcn_advinfonce', [command(args, m, s, 0) for m, s in some])
            return [(m, s, r) for (m, s), r in zip(some, found)]

        found = search('search', tried)
        if args.refine:
            found += search('refine', [
                (m, s) for m in methods for s in itertools.islice(
                    neighbours(m, args.dataset, best_of(found, m), [s for n, s in tried if n == m]),
                    args.refine)])
        best = {m: best_of(found, m) for m in methods}
        records = runs('seeds', 'lightgcn_advinfonce', [
            command(args, m, best[m], seed) for seed in range(args.seeds) for m in methods])
    kind = 'refined' if args.refine else 'published' if args.budget == 1 else 'all'
    name = args.name or f'{args.dataset}_{args.backbone}_{kind}'
    write_json(args.out / f'{name}.json', records)
    if kind != 'published':
        write_json(args.out / f'{name}_search.json', [
            {'method': m, 'chosen': s == best[m], 'setting': s, 'valid': r['valid']['recall@20'],
             'best_epoch': r['best_epoch'], 'test': r['test']} for m, s, r in found])


if __name__ == '__main__':
    main()
