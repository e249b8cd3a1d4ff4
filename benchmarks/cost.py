r"""What a training step of each method costs, as a ratio to BPR with the same backbone.

    PYG_ADVCF_MIRROR=... python benchmarks/cost.py --dataset ml-1m --dim 128 \
        --json benchmarks/results/cost_ml-1m.json

Drawing the batches is part of it. The methods are interleaved in blocks of steps, and the median
block counts. Methods that have epochs of plain BPR before are measured after these. The passes of
an adversary between epochs are not part of it.

    PYG_ADVCF_MIRROR=... python benchmarks/cost.py --dataset yahoo_r3 --num-layers 2 \
        --batch-size 1024 --epochs 3 --against infonce --json benchmarks/results/cost_yahoo_r3.json

measures whole epochs, with all that happens between them (views drawn, clusters found, adversarial
passes), and adds up what they take. Methods with a backbone of their own run over that beside those
over LightGCN. `--memory` adds the peak of a step beyond parameters and the optimizer's state.
"""
import argparse
import json
import multiprocessing
import os
import platform
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from memory import peak_of
from tqdm import tqdm

from pyg_advcf import BilevelStep, InteractionLoader, MinMaxStep, Step, methods
from pyg_advcf.datasets import SyntheticExposure
from pyg_advcf.ops import backends
from pyg_advcf.registry import BACKBONES, DATASETS, METHODS
from pyg_advcf.training import SAMStep, keep_freed_memory
from pyg_advcf.transforms import RandomSplit


def build(name, backbone, data, batch_size):
    r"""The step of a method, past its warm start."""
    if name == 'sam':
        return SAMStep(methods.BPR(backbone, data))
    if name.startswith('accf'):  # Held-out pairs only where they are used.
        if name == 'accf':
            return Step(methods.ACCF(backbone, data, weighting='joint'))
        if name == 'accf-no-contrast':
            return Step(methods.ACCF(backbone, data, weighting='joint', contrast_weight=0.))
        mode, _, every = name.removeprefix('accf-').partition('/')
        return BilevelStep(methods.ACCF(backbone, data, weighting='bilevel'),
                           InteractionLoader(data, batch_size, split='outer'), mode=mode,
                           every=int(every or 1))
    kwargs = {'adaptau': {'warmup': 0}, 'bc': {'warmup': 0}, 'sharpcf': {'start': 0},
              'ncl': {'start': 0}}.get(name, {})
    method = METHODS[name](backbone, data, **kwargs)
    return MinMaxStep(method) if method.trained_by == 'MinMaxStep' else Step(method)


class Training:
    r"""Trains on, a block of steps or a whole epoch at a time."""
    def __init__(self, step, loader):
        self.step, self.loader, self.epoch = step, loader, -1
        self.batches = iter(())

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
    cls = DATASETS[args.dataset]
    data = (SyntheticExposure() if args.dataset == 'synthetic'
            else cls(os.path.join(args.data_dir, args.dataset)))[0]
    # All train on the same graph, without the pairs of the upper level.
    return RandomSplit(val=0., outer=0.05, per_user=False)(data)


def warm(args, label, name, data):
    r"""The training of a method over a backbone, with everything warm; nothing if it cannot be."""
    if name in BACKBONES:  # A recipe with a backbone of its own.
        label = name if label == 'lightgcn' else label
    cls = BACKBONES[label]
    if name in METHODS and not METHODS[name].supports(cls):
        return None
    torch.manual_seed(0)
    layers = {'num_layers': args.num_layers} if cls.layered else {}
    step = build(name, cls(data, args.dim, **layers), data, args.batch_size)
    method = step.method
    num_neg = args.num_neg if method.needs_negatives and not method.pairwise else 1
    training = Training(step, InteractionLoader(data, args.batch_size, num_neg))
    # SharpCF reads scores of some epochs ago; the table is as full after one of recording.
    training.block(args.steps)
    return training


def peak_memory(args, label, name):
    r"""Peak bytes of three steps; in a process of its own, with the system's allocator."""
    training = warm(args, label, name, load(args))
    training.step.optimizer.zero_grad(set_to_none=True)
    return peak_of(lambda: training.block(3))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--dataset', default='synthetic', choices=sorted(DATASETS))
    parser.add_argument('--data-dir', default='data')
    parser.add_argument('--dim', type=int, default=64)
    parser.add_argument('--num-layers', type=int, default=3)
    parser.add_argument('--batch-size', type=int, default=2048)
    parser.add_argument('--num-neg', type=int, default=64, help='of methods that are not pairwise')
    parser.add_argument('--steps', type=int, default=10, help='in a block')
    parser.add_argument('--blocks', type=int, default=25)
    parser.add_argument('--epochs', type=int, help='whole epochs in place of blocks')
    parser.add_argument('--memory', action='store_true')
    parser.add_argument('--against', default='bpr', choices=sorted(METHODS))
    parser.add_argument('--method', nargs='+', default=[*METHODS, 'sam'],
                        help='accf is without the outer update, accf-no-contrast without the '
                        'contrast too; accf-unrolled, accf-unrolled/4 '
                        '(every fourth step), accf-finite_difference, accf-alternating with it')
    parser.add_argument('--backbone', nargs='+', default=['mf', 'lightgcn'],
                        choices=['mf', 'lightgcn'])
    parser.add_argument('--threads', type=int)
    parser.add_argument('--json', type=Path)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    keep_freed_memory()
    data, rows = load(args), []
    for label in args.backbone:
        runs = {name: warm(args, label, name, data)
                for name in dict.fromkeys([args.against, *args.method])}
        runs = {name: run for name, run in runs.items() if run is not None}
        times = {name: [] for name in runs}
        for _ in tqdm(range(args.epochs or args.blocks), desc=label):
            for name, run in runs.items():
                start = time.perf_counter()
                if args.epochs:
                    run.whole_epoch()
                else:
                    run.block(args.steps)
                times[name].append(time.perf_counter() - start)
        for name in runs:
            if args.epochs:  # Some epochs do more than others.
                ratio = sum(times[name]) / sum(times[args.against])
                row = {'epoch_s': statistics.mean(times[name])}
            else:
                # Ratios within each turn: what slows the machine for a while slows both.
                ratio = statistics.median(a / b for a, b in zip(times[name], times[args.against]))
                row = {'step_ms': statistics.median(times[name]) * 1e3 / args.steps}
            if args.memory:
                with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool:
                    row['peak_mib'] = pool.submit(peak_memory, args, label, name).result() / 2**20
            rows.append({'backbone': label, 'method': name, 'ratio': ratio, **row})
            print(f'{label:<10}{name:<22}{ratio:6.2f}  '
                  + ', '.join(f'{k} {v:.2f}' for k, v in row.items()), flush=True)
    if args.json:
        args.json.write_text(json.dumps({
            'machine': {'processor': platform.machine(), 'cores': os.cpu_count(),
                        'threads': torch.get_num_threads(), 'torch': torch.__version__,
                        'backends': backends()},
            'settings': {key: getattr(args, key) for key in (
                'dataset', 'dim', 'num_layers', 'batch_size', 'num_neg', 'against', 'epochs')},
            'rows': rows}, indent=1) + '\n')


if __name__ == '__main__':
    main()
