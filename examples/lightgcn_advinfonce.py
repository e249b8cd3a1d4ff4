r"""BPR, InfoNCE and AdvInfoNCE side by side: training, early stopping on validation, test tables.

Without arguments, on built-in synthetic data in under two minutes on two CPU cores::

    python examples/lightgcn_advinfonce.py

The published comparison on Coat, ten seeds, with the constant ln k as a control::

    python examples/lightgcn_advinfonce.py --dataset coat --seeds 10 --json coat.json
"""
import argparse
import inspect
import time
from pathlib import Path

from common import add_arguments, check_arguments, load, print_table, run_all, train
from torch_geometric import seed_everything

from pyg_advcf import InteractionLoader, MinMaxStep, Step
from pyg_advcf.diagnostics import hardness_report, plot_hardness
from pyg_advcf.methods import AdversarialRecommender
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
    # The built-in data: chosen by validation Recall@20 (docs/results/advinfonce.md).
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


def build(name: str, backbone_name: str, dataset: str, data, s: dict):
    r"""The method ``name`` with the settings ``s``."""
    layers = {} if backbone_name == 'mf' else {'num_layers': NUM_LAYERS.get(dataset, 3)}
    backbone = BACKBONES[backbone_name](data, dim=64, **layers)
    cls = METHODS[name]
    if cls.pairwise:
        # Plain LightGCN (64 dimensions, batch 2048) was published with 1e-4, the comparison of
        # AdvInfoNCE with 1e-5.
        return cls(backbone, data, l2=1e-5 if dataset in NUM_LAYERS else 1e-4)
    if 'temperature' not in inspect.signature(cls).parameters:
        return cls(backbone, data)
    return cls(backbone, data, temperature=s['temperature'])


def run(args, name: str, seed: int, data):
    r"""Trains one method with one seed; returns its record and the method."""
    seed_everything(seed)
    s = settings(args)
    method = build(name, args.backbone, args.dataset, data, s).to(args.device)
    num_neg = 1 if method.pairwise else s['num_neg']
    loader = InteractionLoader(data, s['batch_size'], num_neg, sampler=s['sampler'], seed=seed)
    if isinstance(method, AdversarialRecommender):
        step = MinMaxStep(method, lr=s['lr'], adversary_lr=s['adversary_lr'],
                          interval=s['interval'], max_passes=s['max_passes'].get(args.backbone, 10))
    else:
        step = Step(method, lr=s['lr'])

    record = train(args, name, seed, data, step, loader, s['epochs'])
    record['settings'] = {key: s[key] for key in ('temperature', 'lr', 'adversary_lr', 'sampler')}
    return record, method


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument('--temperature', type=float, help='of InfoNCE and AdvInfoNCE')
    parser.add_argument('--lr', type=float, help='learning rate')
    parser.add_argument('--adversary-lr', type=float, help='learning rate of the adversary')
    parser.add_argument('--plot', type=Path, default=Path('outputs/hardness.png'),
                        help='hardness against popularity, for AdvInfoNCE')
    args = parser.parse_args()
    if args.method is None:  # On real data with the control: what is left without the adversary.
        control = [] if args.dataset == 'synthetic' else ['uniform']
        args.method = ['bpr', 'infonce', 'advinfonce', *control]
    check_arguments(parser, args)
    for name in args.method:
        METHODS[name]  # An unknown name is an error before anything is trained.
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
        print(f'\n{label}: KL(P0||P) {report.kl_uniform_p:.4f}, false negatives held loose '
              f'{report.false_negative_rate:.3f} (chance {report.chance_rate:.3f}); '
              f'hardness against popularity in {args.plot}')
    print(f'{time.perf_counter() - start:.0f} s')


if __name__ == '__main__':
    main()
