r"""What a training step of each method costs, as a ratio to BPR with the same backbone.

    PYG_ADVCF_MIRROR=... python benchmarks/cost.py --dataset ml-1m --dim 128 \
        --json benchmarks/results/cost_ml-1m.json

Drawing the batches is part of it, passes of an adversary between epochs are not. The methods are
interleaved in blocks of steps past their warm-up, and the median block counts.

    PYG_ADVCF_MIRROR=... python benchmarks/cost.py --dataset yahoo_r3 --num-layers 2 \
        --batch-size 1024 --epochs 3 --against infonce --json benchmarks/results/cost_yahoo_r3.json

adds up whole epochs, with all that happens between them, such as adversarial passes.
"""
import argparse
import inspect
import itertools
import os
import time
from pathlib import Path

import pandas as pd
import torch
from memory import apart, peak_of, write_report
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
    r"""Trains a method past its warm-up, a block of steps at a time."""
    def __init__(self, args, label, name, data):
        name, _, variant = name.partition('-')
        # Methods with a backbone of their own run over that beside those over LightGCN.
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
        self.batches = self._epochs()

    def _epochs(self):
        for epoch in itertools.count():
            self.step.on_epoch_start(epoch, self.loader)
            yield from self.loader

    def block(self, steps):
        for batch in itertools.islice(self.batches, steps):
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
                        help='accf and accf-no-contrast are without the outer update, that '
                        'accf-unrolled, accf-unrolled/4 (every fourth step) and other modes have')
    parser.add_argument('--backbone', nargs='+', default=['mf', 'lightgcn'])
    parser.add_argument('--json', type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads or torch.get_num_threads())
    keep_freed_memory()
    data, tables = load(args), []
    for label in args.backbone:
        runs = {name: warm(args, label, name, data)
                for name in dict.fromkeys([args.against, *args.method])}
        times = pd.DataFrame(columns=[name for name, run in runs.items() if run is not None])
        for turn in tqdm(range(args.epochs or args.blocks), desc=label):
            for name in times:
                start = time.perf_counter()
                runs[name].block(len(runs[name].loader) if args.epochs else args.steps)
                times.loc[turn, name] = time.perf_counter() - start
        if args.epochs:  # Some epochs do more than others.
            found = {'ratio': times.sum() / times[args.against].sum(), 'epoch_s': times.mean()}
        else:  # Ratios within each turn: what slows the machine for a while slows both.
            found = {'ratio': times.div(times[args.against], axis=0).median(),
                     'step_ms': times.median() * 1e3 / args.steps}
        table = pd.DataFrame(found).rename_axis('method').reset_index()
        table.insert(0, 'backbone', label)
        if args.memory:
            table['peak_mib'] = [apart(peak_memory, args, label, name) / 2**20 for name in times]
        tables.append(table)
        print(table.to_string(index=False, float_format='{:.2f}'.format), flush=True)
    write_report(args.json, {
        'machine': {'backends': backends()},
        'settings': {key: getattr(args, key) for key in (
            'dataset', 'dim', 'num_layers', 'batch_size', 'num_neg', 'against', 'epochs')},
        'rows': pd.concat(tables).to_dict('records')})


if __name__ == '__main__':
    main()
