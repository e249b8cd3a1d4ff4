r"""Two commits in one interleaved run: steps of training on Gowalla, and loading of each dataset.

    PYG_ADVCF_MIRROR=... python benchmarks/compare.py --before 579f074 --after HEAD \
        --json benchmarks/results/fuzz_cost.json

Each commit is unpacked and runs in a process of its own; the two take turns, a block of work each,
in the other order every time. After some turns both begin anew, since where the memory of a process
happens to lie changes its speed by more than what is looked for. What counts is the median of the
ratios of the turns, with an interval of 95 % by a bootstrap over pairs of processes: by the clock,
and by the time that the processor spent, which other programs of the machine disturb less. Batches
are drawn within the blocks, so that their checks are in the time.

Loading is that of a processed file (`load`), and on to the first graph in both compressed forms
(`graph`), as a backbone and a loader need it.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from functools import cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
DATASETS = ('coat', 'yahoo_r3', 'amazon_pet', 'ml-1m', 'gowalla', 'yelp2018')
SETTINGS = {'dim': 64, 'num_layers': 3, 'batch_size': 2048, 'num_neg': 128}
STEPS = 2  # Of a block.
AT_LEAST = 0.05  # Seconds of a block of loading: small data are loaded several times.


def unpack(commit: str, folder: Path) -> str:
    r"""Writes the library of a commit into a new folder; returns the full name of the commit."""
    commit = subprocess.check_output(['git', 'rev-parse', f'{commit}^{{commit}}'], cwd=ROOT,
                                     text=True).strip()
    folder.mkdir()
    files = subprocess.check_output(['git', 'archive', commit, 'pyg_advcf'], cwd=ROOT)
    subprocess.run(['tar', '-x', '-C', str(folder)], input=files, check=True)
    return commit


class Side:
    r"""A process that imports the library of a folder."""
    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, '--serve'], cwd=folder, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, 'PYTHONPATH': str(folder), 'OMP_NUM_THREADS': '1'})

    def __call__(self, work: str, times: int) -> list[float]:
        r"""Seconds by the clock and of the processor of the work, done so often."""
        self.process.stdin.write(json.dumps([work, times]) + '\n')
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def serve() -> None:
    r"""Does the work that each line names, in the current folder, and tells how long it took."""
    import pyg_advcf
    assert Path(pyg_advcf.__file__).is_relative_to(Path.cwd()), 'this is another library'
    from cost import Training

    from pyg_advcf.interactions import interaction_graph, validate
    from pyg_advcf.ops.spmm import compressed
    from pyg_advcf.registry import DATASETS
    from pyg_advcf.training import keep_freed_memory

    keep_freed_memory()  # As `fit` does.

    def load(name):
        return DATASETS[name](f'data/{name}')[0]

    @cache
    def training(method):
        return Training(Namespace(**SETTINGS), 'lightgcn', method, load('gowalla'))

    def work(name, times):
        kind, what = name.split()
        if kind == 'step':
            training(what).block(times)
        for _ in range(times if kind != 'step' else 0):
            data = load(what)
            if kind == 'graph':
                graph = interaction_graph(validate(data))
                for transpose in (False, True):
                    compressed(graph, transpose)

    for line in sys.stdin:
        name, times = json.loads(line)
        wall, spent = time.perf_counter(), time.process_time()
        work(name, times)
        print(json.dumps([time.perf_counter() - wall, time.process_time() - spent]), flush=True)


def compared(before: np.ndarray, after: np.ndarray) -> list[float]:
    r"""The median of the ratios ``[processes, turns]``, and the ends of its interval."""
    ratios = after / before
    again = np.random.default_rng(0).integers(len(ratios), size=(4000, len(ratios)))
    medians = np.median(ratios[again].reshape(4000, -1), axis=1)
    return [float(np.median(ratios)), *map(float, np.quantile(medians, [0.025, 0.975]))]


def take_turns(works: list[str], folders: list[Path], turns: int) -> dict[str, np.ndarray]:
    r"""Seconds of each work by both clocks, ``[turns, 2 folders, 2]``, in two new processes."""
    sides, found = [Side(folder) for folder in folders], {}
    for work in works:
        times = STEPS
        for side in sides:
            side(work, times)  # Data are processed, kernels compiled.
        if not work.startswith('step'):
            times = max(1, round(AT_LEAST / sides[0](work, 1)[0]))
        found[work] = np.empty((turns, 2, 2))
        for turn in range(turns):
            for place in (0, 1) if turn % 2 else (1, 0):
                found[work][turn, place] = sides[place](work, times)
        found[work] /= times
    for side in sides:
        side.close()
    return found


def main() -> None:
    from memory import write_report

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--before', default='579f074', help='a commit')
    parser.add_argument('--after', default='HEAD', help='another commit')
    parser.add_argument('--turns', type=int, default=12, help='of each pair of processes')
    parser.add_argument('--processes', type=int, default=12, help='pairs of processes')
    parser.add_argument('--dataset', nargs='+', default=DATASETS, choices=DATASETS)
    parser.add_argument('--json', type=Path)
    parser.add_argument('--serve', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
        return
    works = [f'{kind} {name}' for name in args.dataset for kind in ('load', 'graph')]
    works += [f'step {method}' for method in ('bpr', 'infonce')]
    with tempfile.TemporaryDirectory() as folder:
        folders = [Path(folder, name) for name in ('before', 'after')]
        commits = [unpack(*side) for side in zip((args.before, args.after), folders)]
        found = [take_turns(works, folders, args.turns) for _ in tqdm(range(args.processes))]
    rows = []
    for work in works:
        seconds = np.stack([each[work] for each in found])  # [processes, turns, 2, 2]
        row = {'work': work}
        for place, name in enumerate(('wall', 'processor')):
            before, after = np.moveaxis(seconds[..., place], -1, 0)
            ratio, low, high = compared(before, after)
            row |= {f'{name}_before_ms': float(np.median(before) * 1e3),
                    f'{name}_after_ms': float(np.median(after) * 1e3),
                    f'{name}_ratio': ratio, f'{name}_low': low, f'{name}_high': high}
        rows.append(row)
        print(f'{work}: ' + ', '.join(
            f'{name} {row[f"{name}_before_ms"]:.2f} to {row[f"{name}_after_ms"]:.2f} ms, '
            f'{row[f"{name}_ratio"] - 1:+.1%} [{row[f"{name}_low"] - 1:+.1%}, '
            f'{row[f"{name}_high"] - 1:+.1%}]' for name in ('wall', 'processor')), flush=True)
    write_report(args.json, {
        'machine': {'threads': 1}, 'before': commits[0], 'after': commits[1],
        'settings': {**SETTINGS, 'processes': args.processes, 'turns': args.turns}, 'rows': rows})


if __name__ == '__main__':
    main()
