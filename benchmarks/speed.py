r"""Speed as ratios in one run: ours, PyTorch Geometric's idiomatic path, and plain torch.

    PYG_ADVCF_MIRROR=... python benchmarks/speed.py --json benchmarks/results/speed_cpu.json
    PYG_ADVCF_MIRROR=... python benchmarks/speed.py --return-memory \
        --json benchmarks/results/speed_cpu_returned.json

In the first run every contestant profits from `keep_freed_memory`, the others' paths more than
ours, since their temporaries are larger; in the second none does, as their users run them.
The contestants are interleaved, and the median of several repetitions counts. Without the mirror a
random graph of the data's size takes their place.

For our side the report has what it moves at least (`least`: every table and list of ids that is
needed, read or written once a use) and what it moves if nothing stays in a cache (`gathered`: a row
for every edge and every sampled pair), both as fractions of the bandwidth of a large copy.
"""
import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
import torch_geometric
from baselines import CSRStep, PlainInfoNCEStep, PyGStep, infonce, plain_scores
from memory import peak_of

from pyg_advcf import (
    MF,
    Embeddings,
    InteractionLoader,
    LightGCN,
    MinMaxStep,
    Step,
    evaluate,
    interaction_data,
    interaction_graph,
    methods,
)
from pyg_advcf.criteria import FullInfoNCE
from pyg_advcf.datasets import Gowalla, Yelp2018
from pyg_advcf.ops import backends, sampled_scores, spmm
from pyg_advcf.training import keep_freed_memory

DATASETS = {  # Users, items, edges, test pairs: for a random graph of that size.
    'gowalla': (Gowalla, (29_858, 40_981, 810_128, 217_242)),
    'yelp2018': (Yelp2018, (31_668, 38_048, 1_237_259, 324_147)),
}
DIM, LAYERS, BATCH = 64, 3, 2048
FLOAT, ID, EDGE = 4, 8, 4  # Bytes of a number, of a sampled id, of an end of an edge.


def random_data(num_users, num_items, num_edges, num_test):
    r"""A random graph of the given size."""
    generator = torch.Generator().manual_seed(0)
    keys = torch.randint(num_users * num_items, (2 * (num_edges + num_test), ),
                         generator=generator).unique()
    keys = keys[torch.randperm(keys.numel(), generator=generator)[:num_edges + num_test]]
    pairs = torch.stack([keys // num_items, keys % num_items])
    train, test = pairs.split([num_edges, num_test], dim=1)
    return interaction_data(train.contiguous(), num_users, num_items, test=test.contiguous())


def measure(contestants, repeats):
    r"""Median milliseconds of each contestant, interleaved, after one warm-up each."""
    times = {name: [] for name in contestants}
    for turn in range(repeats + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if turn > 0:
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(t) for name, t in times.items()}


def copy_bandwidth():
    r"""Bytes read and written per second by a copy that no cache holds."""
    source = torch.ones(2**27)
    target = torch.empty_like(source)
    best = min(measure({'copy': lambda: target.copy_(source)}, 1)['copy'] for _ in range(9))
    return 2 * source.numel() * FLOAT / (best / 1e3)


class Traffic:
    r"""Bytes that a step moves, as `(least, gathered)`."""
    def __init__(self, data, graph):
        self.users, self.items = data['user'].num_nodes, data['item'].num_nodes
        self.edges = graph.size(1)
        self.table = (self.users + self.items) * DIM * FLOAT
        self.row = DIM * FLOAT

    def spmm(self):
        ids = EDGE * self.edges
        return ids + self.table, ids + self.edges * self.row + self.users * self.row

    def propagation(self):
        r"""Forward and backward, both directions a layer."""
        ids, passes = 2 * EDGE * self.edges, 2 * LAYERS
        return (passes * (ids + 2 * self.table),
                passes * (ids + 2 * self.edges * self.row + self.table))

    def scores(self, num_neg):
        r"""Forward and backward of sampled scores: products, sums by user, sums by item."""
        pairs = BATCH * (num_neg + 1)
        ids = 3 * pairs * (ID + FLOAT)
        return ids + 3 * self.items * self.row, ids + 3 * pairs * self.row + self.items * self.row

    def adam(self):
        r"""Gradient written; parameter, gradient and moments read; all but the gradient written."""
        return 8 * self.table, 8 * self.table

    def step(self, num_neg, backbone):
        parts = [self.scores(num_neg), self.adam()]
        parts += [self.propagation()] if backbone == 'LightGCN' else []
        return tuple(sum(p) for p in zip(*parts))

    def ranking(self):
        score = self.users * self.items * FLOAT
        return 2 * score + self.table, 2 * score + self.table


def cycle(step, loader):
    r"""A function that takes the next of eight batches each time."""
    batches = itertools.cycle([batch for batch, _ in zip(loader, range(8))])
    return lambda: step(next(batches))


def peak_memory(data, name):
    r"""Peak bytes of a step of InfoNCE, 128 negatives, beyond parameters and optimizer state."""
    loader = InteractionLoader(data, BATCH, 128)
    if name == 'ours':
        step = Step(methods.InfoNCE(LightGCN(data, DIM, LAYERS), data))
        parameters, optimizer = step.parameters, step.optimizer
    else:
        step = PlainInfoNCEStep(data, LAYERS, DIM)
        parameters, optimizer = step.parameters, step.optimizer
    # The state of Adam comes into being with the first step, here with gradients of zero; compiled
    # kernels are loaded too before anything is measured.
    for p in parameters:
        p.grad = torch.zeros_like(p)
    optimizer.step()
    step(next(iter(loader)))
    optimizer.zero_grad(set_to_none=True)
    batches = [batch for batch, _ in zip(loader, range(3))]
    return peak_of(lambda: [step(batch) for batch in batches])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', type=Path)
    parser.add_argument('--dataset', choices=DATASETS, default='gowalla')
    parser.add_argument('--repeats', type=int, default=9)
    parser.add_argument('--threads', type=int)
    parser.add_argument('--data-dir', default='data')
    parser.add_argument('--return-memory', action='store_true',
                        help='leave the allocator as it is by default')
    parser.add_argument('--peak-memory-of', choices=['ours', 'theirs'],
                        help='print the peak memory of a step and stop (used by the run itself)')
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    real = 'PYG_ADVCF_MIRROR' in os.environ
    dataset, size = DATASETS[args.dataset]
    data = (dataset(os.path.join(args.data_dir, args.dataset))[0] if real
            else random_data(*size))
    if args.peak_memory_of:
        print(peak_memory(data, args.peak_memory_of))
        return
    if not args.return_memory:
        keep_freed_memory()
    rows, bandwidth = [], copy_bandwidth()
    graph = interaction_graph(data)
    traffic = Traffic(data, graph)

    def add(work, against, ours, theirs, repeats=args.repeats, moved=None):
        ms = measure({'ours': ours, 'theirs': theirs}, repeats)
        rows.append({'work': work, 'against': against, 'ours_ms': ms['ours'],
                     'theirs_ms': ms['theirs'], 'ratio': ms['theirs'] / ms['ours']})
        if moved:
            share = [bytes_ / (ms['ours'] / 1e3) / bandwidth for bytes_ in moved]
            rows[-1].update(least_bytes=moved[0], gathered_bytes=moved[1],
                            least_of_copy=share[0], gathered_of_copy=share[1])
        print(f"{work} | {against} | {ms['ours']:.2f} | {ms['theirs']:.2f} | "
              f"{rows[-1]['ratio']:.2f}", flush=True)

    loader = InteractionLoader(data, BATCH, 1)
    bpr = Step(methods.BPR(LightGCN(data, DIM, LAYERS), data))
    name = f'LightGCN-BPR step, L={LAYERS}, D={DIM}, B={BATCH}'
    pyg = PyGStep(data, LAYERS, DIM)
    moved = traffic.step(1, 'LightGCN')
    add(name, "PyG's LightGCN example", cycle(bpr, loader), cycle(pyg, loader), 3, moved)
    add(name, 'two cached CSR products, autograd', cycle(bpr, loader),
        cycle(CSRStep(data, LAYERS, DIM), loader), moved=moved)

    (indptr, index), _ = graph.get_csr()
    item_emb = torch.randn(data['item'].num_nodes, DIM)
    matrix = torch.sparse_csr_tensor(indptr, index, torch.ones(index.numel()),
                                     graph.get_sparse_size(), check_invariants=False)
    add(f'sum over neighbours, users, D={DIM}', "PyTorch's CSR product",
        lambda: spmm(graph, item_emb), lambda: matrix @ item_emb, 5 * args.repeats, traffic.spmm())

    tables = [torch.randn(n, DIM, requires_grad=True)
              for n in (data['user'].num_nodes, data['item'].num_nodes)]
    for num_neg in (64, 128):
        many = InteractionLoader(data, BATCH, num_neg)
        batch = next(iter(many))

        def fused(batch=batch):
            pos, neg = sampled_scores(*tables, *batch[:3], 'cosine', 0.1)
            torch.autograd.grad(infonce(pos, neg), tables)

        def plain(batch=batch):
            torch.autograd.grad(infonce(*plain_scores(tables, batch, 0.1)), tables)

        add(f'sampled InfoNCE forward and backward, B={BATCH}, N={num_neg}',
            'gather, normalise, multiply in torch', fused, plain, moved=traffic.scores(num_neg))

    if hasattr(F, 'linear_cross_entropy'):  # torch 2.13
        user, item = batch.user, batch.item
        criterion = FullInfoNCE(0.1, chunk_size=256)
        options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=256, chunking_method=None)

        def library():
            u, i = F.normalize(tables[0][user], dim=-1) / 0.1, F.normalize(tables[1], dim=-1)
            torch.autograd.grad(F.linear_cross_entropy(u, i, item, options=options), tables)

        add(f'InfoNCE against the catalogue, B={BATCH}, chunks of 256', 'linear_cross_entropy',
            lambda: torch.autograd.grad(criterion(Embeddings(*tables), user, item), tables),
            library, 3)

    for label, backbone in (('LightGCN', lambda: LightGCN(data, DIM, LAYERS)),
                            ('MF', lambda: MF(data, DIM))):
        full = f'{label}, L={LAYERS}' if label == 'LightGCN' else label
        bare = Step(methods.BPR(backbone(), data))
        for num_neg in (64, 128):
            many = InteractionLoader(data, BATCH, num_neg)
            adv = MinMaxStep(methods.AdvInfoNCE(backbone(), data))
            nce = Step(methods.InfoNCE(backbone(), data))
            add(f'InfoNCE step, {full}, N={num_neg}', 'AdvInfoNCE model step', cycle(nce, many),
                cycle(adv, many), moved=traffic.step(num_neg, label))
            with torch.no_grad():
                z = adv.method.similarity.prepare(adv.method.backbone())
            add(f'AdvInfoNCE adversary step, {full}, N={num_neg}', 'AdvInfoNCE model step',
                cycle(lambda b, adv=adv, z=z: adv.adversary_step(b, z), many), cycle(adv, many))
        add(f'BPR step, {full}', 'InfoNCE step, N=128', cycle(bare, loader), cycle(nce, many),
            moved=traffic.step(1, label))

    add(f'drawing a batch, B={BATCH}, N=128', f'InfoNCE step, LightGCN, L={LAYERS}',
        lambda: many.collate(torch.randint(many.user.numel(), (BATCH, ))),
        cycle(Step(methods.InfoNCE(LightGCN(data, DIM, LAYERS), data)), many))
    add('full ranking of all users, k=20, recall, ndcg, hr, precision, map, mrr',
        "the loop of PyG's example (precision, recall)",
        lambda: evaluate(bpr.method, data, metrics=['recall', 'ndcg', 'hr', 'precision', 'map',
                                                    'mrr']),
        lambda: pyg.evaluate(data), 3, traffic.ranking())

    # In processes of their own, with the allocator of the system: what a step really needs.
    peak = {}
    for name in ('ours', 'theirs'):
        command = [sys.executable, __file__, '--dataset', args.dataset, '--data-dir', args.data_dir,
                   '--peak-memory-of', name]
        peak[name] = statistics.median(
            int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for _ in range(3))
    print(f"peak memory of an InfoNCE step, N=128, MiB | {peak['ours'] / 2**20:.0f} | "
          f"{peak['theirs'] / 2**20:.0f} | {peak['ours'] / peak['theirs']:.2f}")
    report = {
        'machine': {'processor': platform.machine(), 'cores': os.cpu_count(),
                    'threads': torch.get_num_threads(), 'torch': torch.__version__,
                    'torch_geometric': torch_geometric.__version__, 'backends': backends(),
                    'copy_bytes_per_second': bandwidth,
                    'data': args.dataset if real else f'random, of the size of {args.dataset}'},
        'rows': rows,
        'peak_memory': {'work': f'InfoNCE step, LightGCN, L={LAYERS}, B={BATCH}, N=128',
                        'against': 'plain torch', 'ours_bytes': peak['ours'],
                        'theirs_bytes': peak['theirs'], 'ratio': peak['ours'] / peak['theirs']},
    }
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + '\n')


if __name__ == '__main__':
    main()
