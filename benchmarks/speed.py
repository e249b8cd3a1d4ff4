r"""Speed as ratios in one run: ours, PyTorch Geometric's idiomatic path, and plain torch.

    PYG_ADVCF_MIRROR=... python benchmarks/speed.py --json benchmarks/results/speed_cpu.json
    PYG_ADVCF_MIRROR=... python benchmarks/speed.py --return-memory \
        --json benchmarks/results/speed_cpu_returned.json

In the first run all profit from `keep_freed_memory`, in the second none does. They are interleaved,
and the median counts. Without the mirror a random graph of that size takes the place of the data.
"""
import argparse
import itertools
import os
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F
import torch_geometric
from baselines import CSRStep, PlainInfoNCEStep, PyGStep, infonce, plain_scores
from growth import random_pairs
from memory import apart, peak_of, write_report
from traffic import FLOAT, Traffic

from pyg_advcf import Embeddings, InteractionLoader, evaluate, interaction_data, methods
from pyg_advcf.criteria import FullInfoNCE
from pyg_advcf.interactions import interaction_graph
from pyg_advcf.nn import MF, LightGCN
from pyg_advcf.ops import backends, sampled_scores, spmm
from pyg_advcf.registry import DATASETS
from pyg_advcf.training import MinMaxStep, Step, keep_freed_memory

# Users, items, edges, test pairs: for a random graph of that size.
SIZES = {'gowalla': (29_858, 40_981, 810_128, 217_242),
         'yelp2018': (31_668, 38_048, 1_237_259, 324_147)}
DIM, LAYERS, BATCH = 64, 3, 2048


def load(dataset, data_dir):
    r"""The data, or a random graph of its size."""
    if 'PYG_ADVCF_MIRROR' in os.environ:
        return DATASETS[dataset](os.path.join(data_dir, dataset))[0]
    users, items, *sizes = SIZES[dataset]
    train, test = random_pairs(users, items, sum(sizes)).split(sizes, dim=1)
    return interaction_data(train.contiguous(), users, items, test=test.contiguous())


def measure(contestants, repeats):
    r"""Median milliseconds of each contestant, interleaved, after one warm-up each."""
    times = []
    for _, run in itertools.product(range(repeats + 1), contestants):
        start = time.perf_counter()
        run()
        times += [(time.perf_counter() - start) * 1e3]
    return [statistics.median(times[place::len(contestants)][1:])
            for place in range(len(contestants))]


def copy_bandwidth():
    r"""Bytes read and written per second by a copy that no cache holds."""
    source = torch.ones(2**27)
    target = torch.empty_like(source)
    best = min(measure([lambda: target.copy_(source)], 1)[0] for _ in range(9))
    return 2 * source.numel() * FLOAT / (best / 1e3)


def cycle(step, loader):
    r"""A function that takes the next of eight batches each time."""
    batches = itertools.cycle(list(itertools.islice(loader, 8)))
    return lambda: step(next(batches))


def peak_memory(name, dataset, data_dir):
    r"""Peak bytes of a step of InfoNCE, 128 negatives, beyond parameters and optimizer state."""
    data = load(dataset, data_dir)
    loader = InteractionLoader(data, BATCH, 128)
    step = (Step(methods.infonce(LightGCN(data, DIM, LAYERS))) if name == 'ours'
            else PlainInfoNCEStep(data, LAYERS, DIM))
    updater = getattr(step, 'updater', step)
    # The state of Adam comes into being with the first step, here with gradients of zero; compiled
    # kernels are loaded too before anything is measured.
    for p in updater.parameters:
        p.grad = torch.zeros_like(p)
    updater.optimizer.step()
    step(next(iter(loader)))
    updater.optimizer.zero_grad(set_to_none=True)
    batches = list(itertools.islice(loader, 3))
    return peak_of(lambda: [step(batch) for batch in batches])


class Report:
    r"""The rows, each printed when it is measured."""
    def __init__(self, repeats):
        self.repeats, self.bandwidth, self.rows = repeats, copy_bandwidth(), []

    def add(self, work, against, ours, theirs, repeats=None, moved=()):
        ours, theirs = measure([ours, theirs], repeats or self.repeats)
        row = {'work': work, 'against': against, 'ours_ms': ours, 'theirs_ms': theirs,
               'ratio': theirs / ours}
        for name, bytes_ in zip(('least', 'gathered'), moved):
            row[f'{name}_bytes'] = int(bytes_)
            row[f'{name}_of_copy'] = bytes_ / (ours / 1e3) / self.bandwidth
        self.rows.append(row)
        print(f"{work} | {against} | {ours:.2f} | {theirs:.2f} | {row['ratio']:.2f}", flush=True)


def operations(report, data, traffic):
    r"""Sums over neighbours, sampled losses, the loss over the catalogue."""
    graph, sizes = interaction_graph(data), (data['user'].num_nodes, data['item'].num_nodes)
    (indptr, index), _ = graph.get_csr()
    item_emb = torch.randn(sizes[1], DIM)
    matrix = torch.sparse_csr_tensor(indptr, index, torch.ones(index.numel()), sizes,
                                     check_invariants=False)
    report.add(f'sum over neighbours, users, D={DIM}', "PyTorch's CSR product",
               lambda: spmm(graph, item_emb), lambda: matrix @ item_emb, 5 * report.repeats,
               traffic.spmm)
    tables = [torch.randn(n, DIM, requires_grad=True) for n in sizes]
    for num_neg in (64, 128):
        batch = next(iter(InteractionLoader(data, BATCH, num_neg)))
        report.add(f'sampled InfoNCE forward and backward, B={BATCH}, N={num_neg}',
                   'gather, normalise, multiply in torch',
                   lambda b=batch: torch.autograd.grad(infonce(*sampled_scores(
                       *tables, *b[:3], 'cosine', 0.1)), tables),
                   lambda b=batch: torch.autograd.grad(infonce(*plain_scores(tables, b, 0.1)),
                                                       tables), moved=traffic.scores(num_neg))
    if hasattr(F, 'linear_cross_entropy'):  # torch 2.13
        user, item = batch.user, batch.item
        criterion = FullInfoNCE(0.1, chunk_size=256)
        options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=256, chunking_method=None)

        def library():
            u, i = F.normalize(tables[0][user], dim=-1) / 0.1, F.normalize(tables[1], dim=-1)
            torch.autograd.grad(F.linear_cross_entropy(u, i, item, options=options), tables)

        report.add(f'InfoNCE against the catalogue, B={BATCH}, chunks of 256',
                   'linear_cross_entropy',
                   lambda: torch.autograd.grad(criterion(Embeddings(*tables), user, item), tables),
                   library, 3)


def steps(report, data, traffic):
    r"""Training steps over LightGCN and MF."""
    pairwise = InteractionLoader(data, BATCH, 1)
    for label, backbone in (('LightGCN', lambda: LightGCN(data, DIM, LAYERS)),
                            ('MF', lambda: MF(data, DIM))):
        full = f'{label}, L={LAYERS}' if label == 'LightGCN' else label
        for num_neg in (64, 128):
            many = InteractionLoader(data, BATCH, num_neg)
            adv = MinMaxStep(methods.advinfonce(backbone()))
            adv.on_epoch_start(0, many)  # No pass of the adversary yet.
            nce, model = Step(methods.infonce(backbone())), cycle(adv, many)
            report.add(f'InfoNCE step, {full}, N={num_neg}', 'AdvInfoNCE model step',
                       cycle(nce, many), model, moved=traffic.step(num_neg, label))
            with torch.no_grad():
                z = adv.recommender.similarity.prepare(adv.recommender.backbone())
            report.add(f'AdvInfoNCE adversary step, {full}, N={num_neg}', 'AdvInfoNCE model step',
                       cycle(lambda b, adv=adv, z=z: adv.adversary_step(b, z), many), model)
        report.add(f'BPR step, {full}', 'InfoNCE step, N=128',
                   cycle(Step(methods.bpr(backbone())), pairwise), cycle(nce, many),
                   moved=traffic.step(1, label))
    report.add(f'drawing a batch, B={BATCH}, N=128', f'InfoNCE step, LightGCN, L={LAYERS}',
               lambda: many.collate(torch.randint(many.user.numel(), (BATCH, ))),
               cycle(Step(methods.infonce(LightGCN(data, DIM, LAYERS))), many))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', type=Path)
    parser.add_argument('--dataset', choices=SIZES, default='gowalla')
    parser.add_argument('--repeats', type=int, default=9)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--data-dir', default='data')
    parser.add_argument('--return-memory', action='store_true', help='leave the allocator alone')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    data = load(args.dataset, args.data_dir)
    if not args.return_memory:
        keep_freed_memory()
    report, edges = Report(args.repeats), data['user', 'item'].num_edges
    traffic = Traffic(data['user'].num_nodes, data['item'].num_nodes, edges, DIM, LAYERS, BATCH)
    loader, pyg = InteractionLoader(data, BATCH, 1), PyGStep(data, LAYERS, DIM)
    bpr, moved = Step(methods.bpr(LightGCN(data, DIM, LAYERS))), traffic.step(1, 'LightGCN')
    name = f'LightGCN-BPR step, L={LAYERS}, D={DIM}, B={BATCH}'
    report.add(name, "PyG's LightGCN example", cycle(bpr, loader), cycle(pyg, loader), 3, moved)
    report.add(name, 'two cached CSR products, autograd', cycle(bpr, loader),
               cycle(CSRStep(data, LAYERS, DIM), loader), moved=moved)
    operations(report, data, traffic)
    steps(report, data, traffic)
    report.add('full ranking of all users, k=20, recall, ndcg, hr, precision, map, mrr',
               "the loop of PyG's example (precision, recall)",
               lambda: evaluate(bpr.recommender, data, metrics=['recall', 'ndcg', 'hr', 'precision',
                                                                'map', 'mrr']),
               lambda: pyg.evaluate(data), 3, traffic.ranking)
    peak = {name: statistics.median(apart(peak_memory, name, args.dataset, args.data_dir)
                                    for _ in range(3)) for name in ('ours', 'theirs')}
    peak = {'work': f'InfoNCE step, LightGCN, L={LAYERS}, B={BATCH}, N=128',
            'against': 'plain torch', 'ours_bytes': peak['ours'], 'theirs_bytes': peak['theirs'],
            'ratio': peak['ours'] / peak['theirs']}
    print('peak memory:', peak)
    write_report(args.json, {
        'machine': {'torch_geometric': torch_geometric.__version__, 'backends': backends(),
                    'copy_bytes_per_second': report.bandwidth,
                    'data': args.dataset if 'PYG_ADVCF_MIRROR' in os.environ
                    else f'random, of the size of {args.dataset}'},
        'rows': report.rows, 'peak_memory': peak})


if __name__ == '__main__':
    main()
