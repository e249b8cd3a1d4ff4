r"""What the examples share: data by name, seeded runs, tables and JSON."""
import argparse
import json
import os
from collections import defaultdict
from pathlib import Path

from pyg_advcf.interactions import split_names
from pyg_advcf.metrics import evaluate, interval
from pyg_advcf.registry import BACKBONES, DATASETS, METHODS
from pyg_advcf.transforms import RandomSplit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--dataset', default='synthetic',
                        help=f"one of {', '.join(sorted(DATASETS))}")
    parser.add_argument('--data-dir', default='data', help='holds a folder per dataset')
    parser.add_argument('--backbone', default='lightgcn',
                        help=f"one of {', '.join(sorted(BACKBONES))}")
    parser.add_argument('--method', nargs='+', help=f"of {', '.join(sorted(METHODS))}")
    parser.add_argument('--epochs', type=int, help='most epochs to train')
    parser.add_argument('--seeds', type=int, default=1, help='runs seeds 0 to N-1')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--json', type=Path, help='file for the results')


def load(name: str, data_dir: str):
    r"""The dataset ``name``; a validation split is held out of train where there is none."""
    cls = DATASETS[name]
    data = cls()[0] if name == 'synthetic' else cls(os.path.join(data_dir, name))[0]
    return data if 'val' in split_names(data) else RandomSplit(val=0.1, seed=0)(data)


def both_protocols(method, data, **kwargs) -> dict[str, dict[str, float]]:
    r"""All test sets under the clean protocol and, as ``<set>_official``, the official one."""
    clean = evaluate(method, data, protocol='clean', **kwargs)
    official = evaluate(method, data, protocol='official', **kwargs)
    return {**clean, **{f'{split}_official': values for split, values in official.items()}}


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
