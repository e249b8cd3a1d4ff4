r"""What the examples share: data by name, seeded runs, tables and JSON."""
import argparse
import ast
import inspect
import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from pyg_advcf import MinMaxStep, Step, fit
from pyg_advcf._checks import check_name
from pyg_advcf.interactions import split_names
from pyg_advcf.metrics import evaluate, interval
from pyg_advcf.registry import BACKBONES, DATASETS, METHODS
from pyg_advcf.transforms import RandomSplit, SampleUsers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--dataset', default='synthetic',
                        help=f"one of {', '.join(sorted(DATASETS))}")
    parser.add_argument('--data-dir', default='data', help='holds a folder per dataset')
    parser.add_argument('--users', type=float, default=1., help='share of the users to keep')
    parser.add_argument('--backbone', default='lightgcn',
                        help=f"one of {', '.join(sorted(BACKBONES))}")
    parser.add_argument('--method', nargs='+', help=f"of {', '.join(sorted(METHODS))}")
    parser.add_argument('--epochs', type=int, help='most epochs to train')
    parser.add_argument('--seeds', type=int, default=1, help='number of seeds')
    parser.add_argument('--first-seed', type=int, default=0)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--json', type=Path, help='file for the results')
    parser.add_argument('--patience', type=int, default=20, help='evaluations without improvement')
    parser.add_argument('--curves', action='store_true', help='record test curves in the JSON')
    parser.add_argument('--threads', type=int, help='threads of PyTorch')
    parser.add_argument('--verbose', action='store_true', help='progress bars into files too')


def add_options(parser: argparse.ArgumentParser) -> None:
    r"""For examples that build methods and backbones by name."""
    parser.add_argument('--set', nargs='+', default=[], metavar='NAME=VALUE', dest='options',
                        help='arguments of the methods, to those that take them: weight=0.2 '
                             'view=node_drop; of the backbone: backbone.rank=3')


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    r"""What is wrong is an error before anything is trained; sets the threads."""
    if args.seeds < 1:
        parser.error(f'--seeds is {args.seeds}, but needs to be at least 1')
    args.method = list(dict.fromkeys(args.method))
    backbone = BACKBONES[args.backbone]
    args.options = getattr(args, 'options', [])
    for pair in args.options:
        if '=' not in pair:
            parser.error(f"--set has '{pair}', but needs the form name=value")
    args.options = dict(map(_option, args.options))
    for key in args.options:
        theirs = ([f'backbone.{name}' for name in _takes(backbone)] if key.startswith('backbone.')
                  else sorted({n for m in args.method if m in METHODS for n in _takes(METHODS[m])}))
        check_name('set', key, theirs)
    if args.threads:
        torch.set_num_threads(args.threads)


def check_methods(args: argparse.Namespace, names: Sequence[str]) -> None:
    r"""Unknown methods, and those that do not run over ``--backbone``, are errors."""
    for name in names:
        if not METHODS[name].supports(BACKBONES[args.backbone]):
            fitting = [b for b, cls in BACKBONES.items() if METHODS[name].supports(cls)]
            raise ValueError(f"'method' is '{name}', which does not run over the backbone "
                             f"'{args.backbone}'; it does over: {', '.join(fitting)}")


def _option(pair: str) -> tuple[str, object]:
    key, _, text = pair.partition('=')
    try:
        return key, ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return key, text  # A word, as in view=node_drop.


def _takes(cls: type) -> list[str]:
    return [name for name in inspect.signature(cls).parameters if name not in ('backbone', 'data')]


def build_backbone(args: argparse.Namespace, data, num_layers: int, skip_input: bool = False,
                   dim: int = 64):
    r"""The backbone ``--backbone``, with what of this it takes, and what ``--set`` overrides.

    ``skip_input`` is whether the readout leaves the tables themselves out.
    """
    cls = BACKBONES[args.backbone]
    wanted = {'dim': dim, 'num_layers': num_layers, 'skip_input': skip_input}
    own = {key.partition('.')[2]: value for key, value in args.options.items()
           if key.startswith('backbone.')}
    return cls(data, **{k: v for k, v in wanted.items() if k in _takes(cls)} | own)


def build_method(args: argparse.Namespace, name: str, backbone, data, **shared):
    r"""The method ``name``, with what it takes of ``shared`` and of ``--set``."""
    cls = METHODS[name]
    return cls(backbone, data, **{k: v for k, v in (shared | args.options).items()
                                  if k in _takes(cls)})


def build_step(method, lr: float, **min_max):
    r"""What moves the method; ``min_max`` is for those with an adversary of their own."""
    if method.trained_by == 'MinMaxStep':
        return MinMaxStep(method, lr=lr, **min_max)
    return Step(method, lr=lr)


def load(name: str, data_dir: str, users: float = 1.):
    r"""The dataset ``name``, or a share of its users.

    A validation split is held out of train where there is none.
    """
    cls = DATASETS[name]
    data = cls()[0] if name == 'synthetic' else cls(os.path.join(data_dir, name))[0]
    data = data if users == 1 else SampleUsers(users)(data)
    return data if 'val' in split_names(data) else RandomSplit(val=0.1, seed=0)(data)


def both_protocols(method, data, **kwargs) -> dict[str, dict[str, float]]:
    r"""All test sets under the clean protocol and, as ``<set>_official``, the official one."""
    clean = evaluate(method, data, protocol='clean', **kwargs)
    official = evaluate(method, data, protocol='official', **kwargs)
    return {**clean, **{f'{split}_official': values for split, values in official.items()}}


def train(args, name: str, seed: int, data, step, loader, epochs: int,
          select_from: int = 0, monitor: str = 'recall@20', metrics=('recall', 'ndcg', 'hr'),
          track=None) -> dict:
    r"""Trains with early stopping on validation; returns the record of the run.

    ``track()`` returns further figures to record with ``--curves``.
    """
    method = step.method

    def curves():
        # Recorded at every evaluation for the learning curves; nothing is chosen by them.
        values = both_protocols(method, data, metrics=('recall', 'ndcg'),
                                k=int(monitor.partition('@')[2]))
        return {**(track() if track else {}),
                **{f'{split}/{metric}': value for split, found in values.items()
                   for metric, value in found.items()}}

    history = fit(step, loader, epochs=epochs, monitor=monitor, patience=args.patience,
                  select_from=select_from,
                  track=curves if args.curves else None,
                  progress=sys.stderr.isatty() or args.verbose)
    record = {
        'dataset': args.dataset, 'users': args.users, 'backbone': args.backbone,
        'method': name, 'seed': seed,
        'best_epoch': history.best_epoch, 'epochs': len(history.epochs),
        'valid': {monitor: history.best_value},
        'test': both_protocols(method, data, k=getattr(args, 'k', 20), metrics=metrics),
        'train_seconds_per_epoch': history.seconds_per_epoch,
    }
    passes = [r for r in history.epochs if 'adversary_loss' in r]
    if passes:
        record['adversary'] = {
            'passes': len(passes), 'kl_uniform_p': passes[-1]['kl_uniform_p'],
            'seconds_per_pass': sum(r['adversary_seconds'] for r in passes) / len(passes)}
    if args.curves:
        record['curves'] = {key: [_rounded(r[key]) for r in history.evaluated]
                            for key in history.evaluated[0]
                            if key not in ('evaluated', 'loss', 'seconds')
                            and all(key in r for r in history.evaluated)}
    return record


def _rounded(value):
    return [_rounded(v) for v in value] if isinstance(value, list) else round(value, 5)


def run_all(args, data, run: Callable, after: Callable = lambda record, method: None,
            earlier: Sequence[dict] = ()) -> list[dict]:
    r"""``run(args, name, seed, data) -> (record, method)`` for all seeds and methods.

    What comes back, and into the JSON, are the ``earlier`` records and these.
    """
    results = list(earlier)
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        for name in args.method:
            record, method = run(args, name, seed, data)
            results.append(record)
            if args.json:
                write_json(args.json, results)
            (monitor, value), = record['valid'].items()
            k = monitor.partition('@')[2]
            test = ', '.join(f"{split} {values[f'recall@{k}']:.4f}/{values[f'ndcg@{k}']:.4f}"
                             for split, values in record['test'].items())
            print(f"{name} seed {seed}: best epoch {record['best_epoch']} of {record['epochs']}, "
                  f"validation {monitor} {value:.4f}; {test}", flush=True)
            after(record, method)
    print()
    return results


def write_json(path: Path, results: list[dict]) -> None:
    r"""Writes the results in one step, so that an interrupted run leaves the last whole file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + '.part')
    partial.write_text('[\n' + ',\n'.join(map(json.dumps, results)) + '\n]\n')
    os.replace(partial, path)


def print_table(results: list[dict], metrics=('recall@20', 'ndcg@20', 'hr@20')) -> None:
    r"""A row per method and test set: mean over seeds, half-width of the 95 % interval."""
    groups = defaultdict(list)
    for result in results:
        for split, values in result['test'].items():
            if split.endswith('_official') and values == result['test'][split[:-9]]:
                continue  # No overlap with train or validation: one protocol is the other.
            groups[result['backbone'], result['method'], split].append(values)
    width = max(len(split) for *_, split in groups)
    print(f"{'backbone':<10}{'method':<13}{'test set':<{width + 2}}"
          + ''.join(f'{m:>18}' for m in metrics) + f"{'seeds':>7}")
    for (backbone, method, split), values in sorted(groups.items(), key=lambda g: g[0][2]):
        row = f'{backbone:<10}{method:<13}{split:<{width + 2}}'
        for metric in metrics:
            mean, half = interval([v[metric] for v in values])
            row += f'{mean:.4f}'.rjust(18) if half != half else f'{mean:.4f} ± {half:.4f}'.rjust(18)
        print(row + f'{len(values):>7}')
