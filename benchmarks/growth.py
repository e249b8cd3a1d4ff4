r"""Growth with the number of edges: step time and memory on random graphs, LightGCN with BPR.

    python benchmarks/growth.py --json benchmarks/results/growth_cpu.json
    python benchmarks/growth.py --return-memory --json benchmarks/results/growth_cpu_returned.json
    python benchmarks/growth.py --return-memory --huge-pages \
        --json benchmarks/results/growth_cpu_huge.json

The second leaves the allocator as it is by default: `keep_freed_memory` is not called. The third
sets `THP_MEM_ALLOC_ENABLE=1`, by which PyTorch asks for huge pages (Linux).

Each size runs in a process of its own, so that its peak memory is its own. Users and items grow
with the edges (mean degrees 32 and 64), so every part of a step should grow linearly.
"""
import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch


def random_pairs(num_users, num_items, num_edges):
    r"""Distinct random pairs, ``[2, num_edges]``, without a dense matrix."""
    generator = torch.Generator().manual_seed(0)
    keys = torch.randint(num_users * num_items, (int(1.02 * num_edges) + 100, ),
                         generator=generator).unique()
    keep = torch.randperm(keys.numel(), generator=generator)[:num_edges]
    keys = keys[keep]
    return torch.stack([keys // num_items, keys % num_items])


def measure(num_edges, steps, keep):
    from pyg_advcf import InteractionLoader, LightGCN, Step, interaction_data, methods
    from pyg_advcf.training import keep_freed_memory
    if keep:
        keep_freed_memory()
    num_users, num_items = num_edges // 32, num_edges // 64
    start = time.perf_counter()
    data = interaction_data(random_pairs(num_users, num_items, num_edges), num_users, num_items)
    loader = InteractionLoader(data, 2048, 1)
    step = Step(methods.BPR(LightGCN(data, 64, 3), data))
    seconds = time.perf_counter() - start
    index = torch.arange(2048)
    times = []
    for turn in range(steps + 1):
        batch = loader.collate(index + 2048 * turn)
        begin = time.perf_counter()
        step(batch)
        times.append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {'edges': num_edges, 'users': num_users, 'items': num_items, 'set_up_seconds': seconds,
            'step_ms': 1e3 * statistics.median(times[1:]), 'peak_gib': peak}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', type=Path)
    parser.add_argument('--edges', type=int, nargs='+',
                        default=[1_000_000, 4_000_000, 16_000_000, 64_000_000])
    parser.add_argument('--steps', type=int, default=5)
    parser.add_argument('--return-memory', action='store_true',
                        help='do not keep freed memory')
    parser.add_argument('--huge-pages', action='store_true',
                        help='set THP_MEM_ALLOC_ENABLE')
    parser.add_argument('--one', type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.steps, not args.return_memory)))
        return
    rows = []
    for edges in args.edges:
        command = [sys.executable, '-W', 'ignore', __file__, '--one', str(edges),
                   '--steps', str(args.steps), *['--return-memory'] * args.return_memory]
        env = {**os.environ, 'THP_MEM_ALLOC_ENABLE': '1'} if args.huge_pages else None
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
        rows.append(json.loads(done.stdout))
        print(rows[-1], flush=True)
    report = {'machine': {'processor': platform.machine(), 'cores': os.cpu_count(),
                          'torch': torch.__version__}, 'rows': rows}
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + '\n')


if __name__ == '__main__':
    main()
