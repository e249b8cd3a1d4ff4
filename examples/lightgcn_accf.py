r"""ACCF beside LightGCN and random-noise views, on data with false interactions.

Without arguments, on built-in synthetic data with 0, 10 and 20 % injected noise, in under three
minutes on two CPU cores::

    python examples/lightgcn_accf.py

Amazon Pet with the settings of the documentation, users with little history, parts of ACCF::

    python examples/lightgcn_accf.py --dataset amazon_pet --seeds 3 --json pet.json
    python examples/lightgcn_accf.py --dataset amazon_pet --cold-start
    python examples/lightgcn_accf.py --dataset amazon_pet --method accf --ablation full joint random
"""
import argparse
import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import torch
from common import (
    add_arguments,
    add_options,
    build_backbone,
    build_method,
    build_step,
    check_arguments,
    check_methods,
    load,
    print_table,
    run_all,
    train,
)
from matplotlib.figure import Figure
from torch_geometric import seed_everything
from torch_geometric.utils import coalesce

from pyg_advcf import (
    EDGE_TYPE,
    InteractionLoader,
    Step,
    interaction_data,
    methods,
    split_names,
)
from pyg_advcf._checks import check_name
from pyg_advcf.diagnostics import weight_report
from pyg_advcf.metrics import evaluate_by_user
from pyg_advcf.registry import METHODS
from pyg_advcf.training import BilevelStep
from pyg_advcf.transforms import (
    AddInteractionNoise,
    ColdStartSplit,
    ProjectedGradient,
    RandomNoise,
    RandomSplit,
)

# By data, what all share, and what each method has of its own; on Amazon Pet chosen by validation
# NDCG@10 (results/accf in the documentation).
SETTINGS = {
    'synthetic': dict(lr=5e-3, epochs=25, batch_size=1024, l2=1e-3),
    'amazon_pet': dict(lr=2e-3, epochs=300, batch_size=1024, l2=1e-3),
}
DEFAULT = dict(lr=1e-3, epochs=200, batch_size=2048, l2=1e-4)
OWN = {
    'synthetic': {
        'xsimgcl': dict(contrast=0.02, temperature=0.5, epsilon=0.2),
        'accf': dict(contrast=0.02, temperature=0.5, epsilon=0.2, adversarial=0.1),
    },
}
OWN_DEFAULT = {
    'xsimgcl': dict(contrast=0.1, temperature=0.2, epsilon=0.1),
    'accf': dict(contrast=0.05, temperature=0.2, epsilon=0.1, adversarial=0.1),
}
# Parts of ACCF taken away or replaced.
ABLATIONS = ('full', 'no-views', 'no-weights', 'no-weights-random', 'no-contrast',
             'no-adversarial-loss', 'random', 'joint', 'finite-difference', 'alternating-easy',
             'alternating-hard', 'global', 'pgd')
UNWEIGHTED = ('no-weights', 'no-weights-random')
METRICS = ('precision', 'recall', 'map', 'ndcg')


def settings(args, name: str) -> dict:
    r"""The settings of the dataset and the method, with what the command line overrides."""
    own, name = OWN.get(args.dataset, OWN_DEFAULT), name.partition(':')[0]
    chosen = {**SETTINGS.get(args.dataset, DEFAULT),
              **own.get('xsimgcl' if name == 'simgcl' else name, {})}
    chosen.update({key: getattr(args, key) for key in (
        'lr', 'epochs', 'l2', 'contrast', 'temperature', 'epsilon', 'adversarial')
        if getattr(args, key) is not None and (key in chosen)})
    return chosen


def accf_step(args, variant: str, backbone, data, s: dict, seed: int) -> Step:
    r"""The step of ACCF or of one of its ablations."""
    kwargs = dict(adversarial_weight=s['adversarial'], contrast_weight=s['contrast'],
                  temperature=s['temperature'], epsilon=s['epsilon'], l2=s['l2'],
                  weighting='bilevel')
    if variant == 'no-views':
        kwargs.update(adversarial_weight=0., contrast_weight=0.)
    elif variant in UNWEIGHTED:
        kwargs['weighting'] = 'none'
        if variant.endswith('random'):
            kwargs['perturbation'] = RandomNoise(s['epsilon'])
    elif variant == 'no-contrast':
        kwargs['contrast_weight'] = 0.
    elif variant == 'no-adversarial-loss':
        kwargs['adversarial_weight'] = 0.
    elif variant == 'random':
        kwargs['perturbation'] = RandomNoise(s['epsilon'])
    elif variant == 'joint':
        kwargs['weighting'] = 'joint'
    elif variant == 'global':  # As long altogether as rows of length epsilon.
        rows = data['user'].num_nodes + data['item'].num_nodes
        kwargs.update(norm='global', epsilon=s['epsilon'] * rows**0.5)
    elif variant == 'pgd':
        kwargs['perturbation'] = ProjectedGradient(s['epsilon'], steps=3)
    weighted = kwargs['weighting'] == 'bilevel'
    method = build_method(args, 'accf', backbone, data, **kwargs)
    if not weighted:
        return Step(method, lr=s['lr'])
    mode, _, prefer = variant.partition('-')
    outer = InteractionLoader(data, s['batch_size'], seed=seed, split='outer')
    if mode == 'alternating':
        return BilevelStep(method, outer, mode=mode, prefer=prefer, lr=s['lr'])
    mode = 'finite_difference' if variant == 'finite-difference' else 'unrolled'
    return BilevelStep(method, outer, mode=mode, lr=s['lr'])


def build(args, name: str, data, s: dict, seed: int) -> Step:
    r"""The step of the method ``name`` with the settings ``s``."""
    name, _, variant = name.partition(':')
    published = name != 'lightgcn' and METHODS[name].skip_input
    backbone = build_backbone(args, data, args.num_layers, published if args.readout is None
                              else args.readout == 'propagated')
    if name == 'lightgcn':
        return Step(methods.BPR(backbone, data, l2=s['l2']), lr=s['lr'])
    if name == 'accf':
        return accf_step(args, variant or 'full', backbone, data, s, seed)
    shared = {'l2': s['l2']}
    if name in ('simgcl', 'xsimgcl'):
        shared.update(weight=s['contrast'], temperature=s['temperature'], epsilon=s['epsilon'])
    return build_step(build_method(args, name, backbone, data, **shared), s['lr'])


def run(args, name: str, seed: int, data):
    r"""Trains one method with one seed; returns its record and the method."""
    seed_everything(seed)
    s = settings(args, name)
    base, _, variant = name.partition(':')
    if base == 'accf' and variant not in (*UNWEIGHTED, 'joint'):
        # The pairs of the upper level leave the training set of those alone that have one.
        data = RandomSplit(val=0., outer=0.05, per_user=False, seed=seed)(data)
    step = build(args, name, data, s, seed)
    step.method.to(args.device)
    method = step.method
    loader = InteractionLoader(data, s['batch_size'], 1 if method.pairwise else 64, seed=seed)
    track = None
    if hasattr(method.criterion, 'network'):
        def track():
            return weight_report(method, data)
    record = train(args, name, seed, data, step, loader, s['epochs'], monitor='ndcg@10',
                   metrics=METRICS, track=track)
    record['settings'] = s
    record['readout'] = args.readout
    if track:
        record['weights'] = track()
    if args.cold_start:
        cold = data['user'].cold_mask
        record['groups'] = {
            name: splits['test'] for name, splits in evaluate_by_user(
                method, data, {'cold': cold, 'warm': ~cold}, splits='test', k=args.k,
                metrics=METRICS).items()}
    return record, method


def plot_noise(results: list[dict], path: Path) -> None:
    r"""What is left of each method's quality as false interactions are injected."""
    split = 'test_ood' if 'test_ood' in results[0]['test'] else 'test'
    fig = Figure(figsize=(5, 3.4), layout='constrained')
    ax = fig.subplots()
    for name in dict.fromkeys(r['method'] for r in results):
        ratios = sorted({r['noise'] for r in results if r['method'] == name})
        means = []
        for ratio in ratios:
            values = [r['test'][split]['ndcg@10'] for r in results
                      if (r['method'], r['noise']) == (name, ratio)]
            means.append(sum(values) / len(values))
        ax.plot([100 * r for r in ratios], means, marker='o', label=name)
    ax.set_xlabel('injected interactions (% of training)')
    ax.set_ylabel(f'NDCG@10, {split}')
    ax.legend(fontsize='small')
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=110)


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    add_options(parser)
    parser.set_defaults(patience=8)
    parser.add_argument('--k', type=int, nargs='+', default=[10], help='list lengths')
    parser.add_argument('--num-layers', type=int, default=3)
    parser.add_argument('--readout', choices=('all', 'propagated'),
                        help='mean over all layers or over those after the first propagation; '
                             'default: all for LightGCN, propagated for views')
    parser.add_argument('--noise', type=float, nargs='+',
                        help='false interactions to inject, as shares of training; '
                             'default: 0 0.1 0.2 on the built-in data, else 0')
    parser.add_argument('--cold-start', action='store_true',
                        help='60 %% of every history in training; cold users apart')
    parser.add_argument('--ablation', nargs='+', default=['full'],
                        help=f"of ACCF: {', '.join(ABLATIONS)}")
    for key, text in (('lr', 'learning rate'), ('l2', 'weight of the L2 term'),
                      ('contrast', 'weight of the contrast'), ('temperature', 'of the contrast'),
                      ('epsilon', 'size of the noise or of the shift'),
                      ('adversarial', 'weight of the ranking loss of the perturbed view')):
        parser.add_argument(f'--{key}', type=float, help=text)
    parser.add_argument('--plot', type=Path, default=Path('outputs/noise.png'))
    args = parser.parse_args(argv)
    args.method = args.method or ['lightgcn', 'xsimgcl', 'accf']
    args.noise = args.noise or ([0., 0.1, 0.2] if args.dataset == 'synthetic' else [0.])
    check_arguments(parser, args)
    for variant in args.ablation:
        check_name('ablation', variant, ABLATIONS)
    for name in args.method:
        check_name('method', name, ('lightgcn', *METHODS))
    check_methods(args, [name for name in args.method if name != 'lightgcn'])
    if 10 not in args.k:
        parser.error(f'--k is {args.k}, but needs to hold 10, which training stops by')
    args.method = [full for name in args.method for full in (
        [name if v == 'full' else f'accf:{v}' for v in args.ablation]
        if name == 'accf' else [name])]

    data = without_attributes(load(args.dataset, args.data_dir, args.users))
    if args.cold_start:
        # All that is published as training, validation and test is split anew.
        data = ColdStartSplit()(whole(data))
    results, start = [], time.perf_counter()
    for ratio in args.noise:
        noisy = AddInteractionNoise(ratio)(data).to(args.device)
        done = len(results)
        results = run_all(args, noisy, lambda args, name, seed, data, ratio=ratio: labelled(
            run(args, name, seed, data), ratio), earlier=results)
        print(f'{ratio:.0%} of the training interactions injected')
        print_table(results[done:], [f'{m}@10' for m in METRICS])
        print()
    if len(args.noise) > 1:
        plot_noise(results, args.plot)
        print(f'decline with noise in {args.plot}')
    print(f'{time.perf_counter() - start:.0f} s')


def labelled(found, ratio: float):
    r"""Adds to a record what was done to the data."""
    record, method = found
    record['noise'] = ratio
    return record, method


def without_attributes(data):
    r"""Pairs alone: an injected interaction has no rating and no time."""
    data = copy.copy(data)
    store = data[EDGE_TYPE]
    for key in list(store.keys()):
        if key != 'edge_index' and not key.endswith('_edge_label_index'):
            del store[key]
    return data


def whole(data):
    r"""All pairs of all splits as training pairs."""
    store = data[EDGE_TYPE]
    pairs = torch.cat([store.edge_index, *(store[f'{split}_edge_label_index']
                                           for split in split_names(data))], dim=1)
    return interaction_data(coalesce(pairs), data['user'].num_nodes, data['item'].num_nodes)


if __name__ == '__main__':
    main()
