r"""Growth with the number of edges: step time and memory on random graphs, LightGCN with BPR.

    python benchmarks/growth.py --json benchmarks/results/growth_cpu.json
    python benchmarks/growth.py --return-memory --json benchmarks/results/growth_cpu_returned.json
    python benchmarks/growth.py --return-memory --huge-pages \
        --json benchmarks/results/growth_cpu_huge.json

The second leaves the allocator as it is; in the third PyTorch asks for huge pages (Linux). Users
and items grow with the edges (mean degrees 32 and 64), so a step should grow linearly.
"""
import argparse
import os
import statistics
import time
from pathlib import Path

import torch
from memory import apart, resident, write_report

from pyg_advcf import InteractionLoader, LightGCN, Step, interaction_data, methods
from pyg_advcf.training import keep_freed_memory


def random_pairs(num_users: int, num_items: int, num_pairs: int) -> torch.Tensor:
    r"""Distinct random pairs, ``[2, num_pairs]``, without a dense matrix."""
    generator = torch.Generator().manual_seed(0)
    keys = torch.randint(num_users * num_items, (int(1.02 * num_pairs) + 100, ),
                         generator=generator).unique()
    keys = keys[torch.randperm(keys.numel(), generator=generator)[:num_pairs]]
    return torch.stack([keys // num_items, keys % num_items])


def measure(num_edges, steps, keep):
    r"""Set-up, step time and peak memory with so many edges."""
    if keep:
        keep_freed_memory()
    num_users, num_items = num_edges // 32, num_edges // 64
    start = time.perf_counter()
    data = interaction_data(random_pairs(num_users, num_items, num_edges), num_users, num_items)
    loader = InteractionLoader(data, 2048, 1)
    step = Step(methods.bpr(LightGCN(data, 64, 3)))
    seconds, times = time.perf_counter() - start, []
    for turn in range(steps + 1):
        batch = loader.collate(torch.arange(2048) + 2048 * turn)
        begin = time.perf_counter()
        step(batch)
        times.append(time.perf_counter() - begin)
    return {'edges': num_edges, 'users': num_users, 'items': num_items, 'set_up_seconds': seconds,
            'step_ms': 1e3 * statistics.median(times[1:]), 'peak_gib': resident('VmHWM') / 2**30}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', type=Path)
    parser.add_argument('--edges', type=int, nargs='+', default=[10**6 * 4**k for k in range(4)])
    parser.add_argument('--steps', type=int, default=5)
    parser.add_argument('--return-memory', action='store_true', help='do not keep freed memory')
    parser.add_argument('--huge-pages', action='store_true', help='set THP_MEM_ALLOC_ENABLE')
    args = parser.parse_args()
    if args.huge_pages:
        os.environ['THP_MEM_ALLOC_ENABLE'] = '1'  # Of the processes to come.
    rows = []
    for edges in args.edges:
        rows.append(apart(measure, edges, args.steps, not args.return_memory))
        print(rows[-1], flush=True)
    write_report(args.json, {'rows': rows})


if __name__ == '__main__':
    main()
