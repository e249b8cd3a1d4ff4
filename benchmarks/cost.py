r"""What a training step of each method costs, as a ratio to BPR with the same backbone.

    PYG_ADVCF_MIRROR=... python benchmarks/cost.py --dataset ml-1m --dim 128 \
        --json benchmarks/results/cost_ml-1m.json

Drawing the batches is part of it. The methods are interleaved in blocks of steps, and the median
block counts. Methods that have epochs of plain BPR before are measured after these. The passes of
an adversary between epochs are not part of it.
"""
import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import torch

from pyg_advcf import MF, BilevelStep, InteractionLoader, LightGCN, MinMaxStep, Step, methods
from pyg_advcf.datasets import SyntheticExposure
from pyg_advcf.methods import AdversarialRecommender
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
    kwargs = {'adaptau': {'warmup': 0}, 'bc': {'warmup': 0}, 'sharpcf': {'start': 0}}.get(name, {})
    method = METHODS[name](backbone, data, **kwargs)
    return MinMaxStep(method) if isinstance(method, AdversarialRecommender) else Step(method)


class Epochs:
    r"""Trains on, a block of steps at a time."""
    def __init__(self, step, loader):
        self.step, self.loader, self.epoch = step, loader, -1
        self.batches = iter(())

    def block(self, steps):
        for _ in range(steps):
            batch = next(self.batches, None)
            if batch is None:
                self.epoch += 1
                self.step.method.on_epoch_start(self.epoch)
                self.batches = iter(self.loader)
                batch = next(self.batches)
            self.step(batch)


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
    parser.add_argument('--method', nargs='+', default=[*METHODS, 'sam'],
                        help='accf is without the outer update, accf-no-contrast without the '
                        'contrast too; accf-unrolled, accf-unrolled/4 '
                        '(every fourth step), accf-finite_difference, accf-alternating with it')
    parser.add_argument('--backbone', nargs='+', default=['mf', 'lightgcn'])
    parser.add_argument('--threads', type=int)
    parser.add_argument('--json', type=Path)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    keep_freed_memory()
    cls = DATASETS[args.dataset]
    data = (SyntheticExposure() if args.dataset == 'synthetic'
            else cls(os.path.join(args.data_dir, args.dataset)))[0]
    # All train on the same graph, without the pairs of the upper level.
    data = RandomSplit(val=0., outer=0.05, per_user=False)(data)
    rows = []
    for label, backbone in (
            ('mf', lambda: MF(data, args.dim)),
            ('lightgcn', lambda: LightGCN(data, args.dim, args.num_layers))):
        if label not in args.backbone:
            continue
        runs = {}
        for name in dict.fromkeys(['bpr', *args.method]):
            if name in METHODS and not METHODS[name].supports(BACKBONES[label]):
                continue
            torch.manual_seed(0)
            step = build(name, backbone(), data, args.batch_size)
            num_neg = 1 if step.method.pairwise else args.num_neg
            runs[name] = Epochs(step, InteractionLoader(data, args.batch_size, num_neg))
            # SharpCF reads scores of some epochs ago; the table is as full after one of recording.
            runs[name].block(args.steps)
        times = {name: [] for name in runs}
        for _ in range(args.blocks):
            for name, run in runs.items():
                start = time.perf_counter()
                run.block(args.steps)
                times[name].append((time.perf_counter() - start) * 1e3 / args.steps)
        # Ratios within each turn: what slows the machine for a while slows both.
        for name in runs:
            ratio = statistics.median(a / b for a, b in zip(times[name], times['bpr']))
            rows.append({'backbone': label, 'method': name, 'ratio': ratio,
                         'step_ms': statistics.median(times[name])})
            print(f"{label:<10}{name:<12}{rows[-1]['step_ms']:8.2f} ms {ratio:6.2f}", flush=True)
    if args.json:
        args.json.write_text(json.dumps({
            'machine': {'processor': platform.machine(), 'cores': os.cpu_count(),
                        'threads': torch.get_num_threads(), 'torch': torch.__version__,
                        'backends': backends()},
            'settings': {key: getattr(args, key) for key in (
                'dataset', 'dim', 'num_layers', 'batch_size', 'num_neg')},
            'rows': rows}, indent=1) + '\n')


if __name__ == '__main__':
    main()
