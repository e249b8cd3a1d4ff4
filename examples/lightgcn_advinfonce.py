r"""BPR, InfoNCE and AdvInfoNCE side by side: training, early stopping on validation, test tables.

Without arguments, on built-in synthetic data in under two minutes on two CPU cores::

    python examples/lightgcn_advinfonce.py

The published comparison on Coat, ten seeds, with the constant ln k as a control::

    python examples/lightgcn_advinfonce.py --dataset coat --seeds 10 --json coat.json

Any other method over any backbone that it runs over, with arguments of its own::

    python examples/lightgcn_advinfonce.py --method infonce sgl --set view=node_drop weight=0.05
    python examples/lightgcn_advinfonce.py --backbone vgae --method infonce advinfonce
"""
import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

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
from torch_geometric import seed_everything

from pyg_advcf import InteractionLoader
from pyg_advcf.diagnostics import hardness_report, plot_hardness
from pyg_advcf.registry import BACKBONES, METHODS

# As tuned by the authors of AdvInfoNCE (their table 12), by data and backbone.
SETTINGS = {
    'coat': dict(temperature=0.75, lr=1e-3, batch_size=1024, num_neg=64, adversary_lr=1e-2,
                 interval=15, max_passes={'lightgcn': 20, 'mf': 18}, sampler='user', epochs=2000),
    'yahoo_r3': dict(temperature=0.28, lr=5e-4, batch_size=1024, num_neg=64, adversary_lr=1e-4,
                     interval=5, max_passes={'lightgcn': 13, 'mf': 12}, sampler='user',
                     epochs=2000),
    'kuairec': dict(temperature=2., lr=3e-5, batch_size=2048, num_neg=128, adversary_lr=5e-5,
                    interval=5, max_passes={'lightgcn': 12, 'mf': 12}, sampler='user',
                    epochs=2000),
    # The built-in data: chosen by validation Recall@20 (results/advinfonce in the documentation).
    'synthetic': dict(temperature=0.4, lr=1e-3, batch_size=1024, num_neg=64, adversary_lr=1e-4,
                      interval=5, max_passes={}, sampler='interaction', epochs=200),
}
DEFAULT = dict(temperature=0.1, lr=1e-3, batch_size=2048, num_neg=64, adversary_lr=1e-4,
               interval=5, max_passes={}, sampler='interaction', epochs=1000)
NUM_LAYERS = {'coat': 2, 'yahoo_r3': 2, 'kuairec': 2, 'synthetic': 2}


def settings(args) -> dict:
    r"""The settings of the dataset, with what the command line overrides."""
    chosen = dict(SETTINGS.get(args.dataset, DEFAULT))
    for key in ('temperature', 'lr', 'adversary_lr', 'epochs'):
        if getattr(args, key) is not None:
            chosen[key] = getattr(args, key)
    return chosen


def build(args, name: str, data, s: dict):
    r"""The method ``name`` with the settings ``s``."""
    cls = METHODS[name]
    backbone = build_backbone(args, data, NUM_LAYERS.get(args.dataset, 3), cls.skip_input)
    shared = {}
    if cls.pairwise and name not in BACKBONES:  # A recipe with a backbone of its own has its own.
        # Plain LightGCN (64 dimensions, batch 2048) was published with 1e-4, the comparison of
        # AdvInfoNCE, on other data, with 1e-5 for all.
        shared['l2'] = 1e-5 if args.dataset in NUM_LAYERS else 1e-4
    if not cls.pairwise:  # The others have the temperature of a contrast, another scale.
        shared['temperature'] = s['temperature']
    return build_method(args, name, backbone, data, **shared)


def run(args, name: str, seed: int, data):
    r"""Trains one method with one seed; returns its record and the method."""
    seed_everything(seed)
    s = settings(args)
    method = build(args, name, data, s).to(args.device)
    num_neg = s['num_neg'] if method.needs_negatives and not method.pairwise else 1
    loader = InteractionLoader(data, s['batch_size'], num_neg, sampler=s['sampler'], seed=seed)
    step = build_step(method, s['lr'], adversary_lr=s['adversary_lr'], interval=s['interval'],
                      max_passes=s['max_passes'].get(args.backbone, 10))
    # A method with a warm start is judged by what it does itself, if it comes to that.
    start = min(getattr(method, 'start', 0), s['epochs'] - 1)
    record = train(args, name, seed, data, step, loader, s['epochs'], select_from=start)
    record['settings'] = {key: s[key] for key in ('temperature', 'lr', 'adversary_lr', 'sampler')}
    record['options'] = args.options
    return record, method


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    add_options(parser)
    parser.add_argument('--temperature', type=float, help='of InfoNCE and AdvInfoNCE')
    parser.add_argument('--lr', type=float, help='learning rate')
    parser.add_argument('--adversary-lr', type=float, help='learning rate of the adversary')
    parser.add_argument('--plot', type=Path, default=Path('outputs/hardness.png'),
                        help='hardness against popularity, for AdvInfoNCE')
    args = parser.parse_args(argv)
    if args.method is None:  # On real data with the control: what is left without the adversary.
        control = [] if args.dataset == 'synthetic' else ['uniform']
        args.method = ['bpr', 'infonce', 'advinfonce', *control]
    check_arguments(parser, args)
    check_methods(args, args.method)
    data = load(args.dataset, args.data_dir, args.users).to(args.device)

    reports = {}
    start = time.perf_counter()

    def after(record, method):
        if record['seed'] == 0 and record['method'] == 'advinfonce':
            reports['AdvInfoNCE'] = hardness_report(method, data, data.get('relevant'))

    results = run_all(args, data, run, after)
    print_table(results)
    for label, report in reports.items():
        args.plot.parent.mkdir(parents=True, exist_ok=True)
        plot_hardness(reports, args.plot)
        loose = '' if math.isnan(report.false_negative_rate) else (
            f'false negatives held loose {report.false_negative_rate:.3f} '
            f'(chance {report.chance_rate:.3f}); ')  # They are known on built-in data alone.
        print(f'\n{label}: KL(P0||P) {report.kl_uniform_p:.4f}; {loose}'
              f'hardness against popularity in {args.plot}')
    print(f'{time.perf_counter() - start:.0f} s')


if __name__ == '__main__':
    main()
