r"""What a training step of each method costs, as a ratio to BPR with the same backbone.

    PYG_ADVCF_MIRROR=... python benchmarks/cost.py --dataset ml-1m --dim 128 \
        --json benchmarks/results/cost_ml-1m.json

Drawing the batches is part of it, passes of an adversary between epochs are not. The methods are
interleaved in blocks of steps past their warm-up, and the median block counts.

    PYG_ADVCF_MIRROR=... python benchmarks/cost.py --dataset yahoo_r3 --num-layers 2 \
        --batch-size 1024 --epochs 3 --against infonce --json benchmarks/results/cost_yahoo_r3.json

adds up whole epochs, with all that happens between them (views drawn, clusters found, adversarial
passes). Methods with a backbone of their own run over that beside those over LightGCN.
"""
import argparse
import inspect
import json
import os
import statistics
import time
from pathlib import Path

import torch
from memory import apart, facts, peak_of
from tqdm import tqdm

from pyg_advcf import InteractionLoader, methods
from pyg_advcf.ops import backends
from pyg_advcf.registry import BACKBONES, DATASETS, METHODS
from pyg_advcf.training import SAMStep, keep_freed_memory, step_for
from pyg_advcf.transforms import RandomSplit


def _taken(target, **arguments):
    takes = inspect.signature(target).parameters
    return {name: value for name, value in arguments.items() if name in takes}


class Training:
    r"""Trains a method past its warm-up, a block of steps or a whole epoch at a time."""
    def __init__(self, args, label, name, data):
        name, _, variant = name.partition('-')
        cls = BACKBONES[name if name in BACKBONES and label == 'lightgcn' else label]
        method = METHODS['bpr' if name == 'sam' else name]
        backbone = cls(data, args.dim, **_taken(cls, num_layers=args.num_layers))
        options = _taken(method, warmup_epochs=0)
        if name == 'accf':  # Held-out pairs only where they are used.
            options['weighting'] = 'joint' if variant in ('', 'no-contrast') else 'bilevel'
            options.update({'contrast_weight': 0.} if variant == 'no-contrast' else {})
        recommender = method(backbone, **options)
        num_neg = args.num_neg if recommender.negatives == 'many' else 1
        self.loader = InteractionLoader(data, args.batch_size, num_neg)
        mode, _, every = variant.partition('/')
        bilevel = {'mode': mode, 'every': int(every or 1)} if recommender.outer_parameters() else {}
        self.step = (SAMStep(recommender) if name == 'sam'
                     else step_for(recommender, self.loader, **bilevel))
        self.epoch, self.batches = -1, iter(())

    def next_epoch(self):
        self.epoch += 1
        self.step.on_epoch_start(self.epoch, self.loader)
        self.batches = iter(self.loader)

    def block(self, steps):
        for _ in range(steps):
            batch = next(self.batches, None)
            if batch is None:
                self.next_epoch()
                batch = next(self.batches)
            self.step(batch)

    def whole_epoch(self):
        self.next_epoch()
        for batch in self.batches:
            self.step(batch)


def load(args):
    r"""The data; all train on the same graph, without the pairs of the upper level."""
    root = [] if args.dataset == 'synthetic' else [os.path.join(args.data_dir, args.dataset)]
    return RandomSplit(val=0., outer=0.05, per_user=False)(DATASETS[args.dataset](*root)[0])


def warm(args, label, name, data):
    r"""The training of a method over a backbone, with everything warm; nothing if it cannot be."""
    torch.manual_seed(0)
    try:
        training = Training(args, label, name, data)
    except methods.UnsupportedBackbone:
        return None
    # SharpCF reads scores of some epochs ago; the table is as full after one of recording.
    training.block(args.steps)
    return training


def peak_memory(args, label, name):
    r"""Peak bytes of three steps; in a process of its own, with the system's allocator."""
    training = warm(args, label, name, load(args))
    training.step.updater.optimizer.zero_grad(set_to_none=True)
    return peak_of(lambda: training.block(3))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--dataset', default='synthetic', choices=sorted(DATASETS))
    parser.add_argument('--data-dir', default='data')
    for name, default in (('dim', 64), ('num-layers', 3), ('batch-size', 2048), ('num-neg', 64),
                          ('steps', 10), ('blocks', 25), ('epochs', None), ('threads', None)):
        parser.add_argument(f'--{name}', type=int, default=default)
    parser.add_argument('--memory', action='store_true')
    parser.add_argument('--against', default='bpr', choices=sorted(METHODS))
    parser.add_argument('--method', nargs='+', default=[*METHODS, 'sam'],
                        help='accf is without the outer update, accf-no-contrast without the '
                        'contrast too; accf-unrolled, accf-unrolled/4 '
                        '(every fourth step), accf-finite_difference, accf-alternating with it')
    parser.add_argument('--backbone', nargs='+', default=['mf', 'lightgcn'])
    parser.add_argument('--json', type=Path)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    keep_freed_memory()
    data, rows = load(args), []
    for label in args.backbone:
        runs = {name: warm(args, label, name, data)
                for name in dict.fromkeys([args.against, *args.method])}
        times = {name: [] for name, run in runs.items() if run is not None}
        for _ in tqdm(range(args.epochs or args.blocks), desc=label):
            for name in times:
                start = time.perf_counter()
                runs[name].whole_epoch() if args.epochs else runs[name].block(args.steps)
                times[name].append(time.perf_counter() - start)
        for name in times:
            if args.epochs:  # Some epochs do more than others.
                ratio = sum(times[name]) / sum(times[args.against])
                row = {'epoch_s': statistics.mean(times[name])}
            else:
                # Ratios within each turn: what slows the machine for a while slows both.
                ratio = statistics.median(a / b for a, b in zip(times[name], times[args.against]))
                row = {'step_ms': statistics.median(times[name]) * 1e3 / args.steps}
            if args.memory:
                row['peak_mib'] = apart(peak_memory, args, label, name) / 2**20
            rows.append({'backbone': label, 'method': name, 'ratio': ratio, **row})
            print(f'{label:<10}{name:<22}{ratio:6.2f}  '
                  + ', '.join(f'{k} {v:.2f}' for k, v in row.items()), flush=True)
    if args.json:
        args.json.write_text(json.dumps({
            'machine': {**facts(), 'backends': backends()},
            'settings': {key: getattr(args, key) for key in (
                'dataset', 'dim', 'num_layers', 'batch_size', 'num_neg', 'against', 'epochs')},
            'rows': rows}, indent=1) + '\n')


if __name__ == '__main__':
    main()
