r"""Speed as ratios in one run: ours, PyTorch Geometric's idiomatic path, and plain torch.

    PYG_ADVCF_MIRROR=... python benchmarks/speed.py --json benchmarks/results/speed_cpu.json
    PYG_ADVCF_MIRROR=... python benchmarks/speed.py --return-memory \
        --json benchmarks/results/speed_cpu_returned.json

In the first run every contestant profits from `keep_freed_memory`, the others' paths more than
ours, since their temporaries are larger; in the second none does, as their users run them.
The contestants are interleaved, and the median of several repetitions counts. Without the mirror a
random graph of Gowalla's size takes the place of the data.
"""
import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F
import torch_geometric
from torch_geometric.nn import LightGCN as PyGLightGCN

from pyg_advcf import (
    EDGE_TYPE,
    MF,
    InteractionLoader,
    LightGCN,
    MinMaxStep,
    Step,
    evaluate,
    interaction_data,
    interaction_graph,
    methods,
)
from pyg_advcf.datasets import Gowalla
from pyg_advcf.ops import sampled_scores, spmm
from pyg_advcf.training import keep_freed_memory


def random_data(num_users=29_858, num_items=40_981, num_edges=810_128, num_test=217_242):
    r"""A random graph with the size of Gowalla."""
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


def infonce(pos, neg):
    return F.softplus(torch.logsumexp(neg, 1) - pos).mean()


class PyGStep:
    r"""The training step of PyG's LightGCN example."""
    def __init__(self, data, num_layers, dim):
        self.num_users, num_items = data['user'].num_nodes, data['item'].num_nodes
        user, item = data[EDGE_TYPE].edge_index
        item = item + self.num_users
        self.edge_index = torch.stack([torch.cat([user, item]), torch.cat([item, user])])
        self.model = PyGLightGCN(self.num_users + num_items, dim, num_layers)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def __call__(self, batch):
        items = torch.cat([batch.item, batch.neg_item[:, 0]]) + self.num_users
        label_index = torch.stack([batch.user.repeat(2), items])
        self.optimizer.zero_grad()
        pos, neg = self.model(self.edge_index, label_index).chunk(2)
        self.model.recommendation_loss(pos, neg, node_id=label_index.unique()).backward()
        self.optimizer.step()

    def evaluate(self, data, k=20, batch_size=8192):
        r"""The evaluation loop of the example: precision and recall."""
        user, item = data[EDGE_TYPE].edge_index
        test = data[EDGE_TYPE].test_edge_label_index
        with torch.no_grad():
            emb = self.model.get_embedding(self.edge_index)
        user_emb, item_emb = emb[:self.num_users], emb[self.num_users:]
        precision = recall = total = 0
        for start in range(0, self.num_users, batch_size):
            end = start + batch_size
            logits = user_emb[start:end] @ item_emb.t()
            mask = (user >= start) & (user < end)
            logits[user[mask] - start, item[mask]] = float('-inf')
            truth = torch.zeros_like(logits, dtype=torch.bool)
            mask = (test[0] >= start) & (test[0] < end)
            truth[test[0][mask] - start, test[1][mask]] = True
            count = torch.bincount(test[0][mask] - start, minlength=logits.size(0))
            hits = truth.gather(1, logits.topk(k, dim=-1).indices)
            precision += float((hits.sum(-1) / k).sum())
            recall += float((hits.sum(-1) / count.clamp(min=1e-6)).sum())
            total += int((count > 0).sum())
        return precision / total, recall / total


class CSRStep:
    r"""Two cached CSR products a layer, with plain autograd."""
    def __init__(self, data, num_layers, dim):
        n, m = data['user'].num_nodes, data['item'].num_nodes
        user, item = data[EDGE_TYPE].edge_index
        degree = torch.bincount(user, minlength=n), torch.bincount(item, minlength=m)
        value = (degree[0][user] * degree[1][item]).float().rsqrt()
        matrix = torch.sparse_coo_tensor(torch.stack([user, item]), value, (n, m)).coalesce()
        self.forward_matrix = matrix.to_sparse_csr()
        self.backward_matrix = matrix.t().to_sparse_csr()
        self.user, self.item = (torch.nn.Embedding(size, dim) for size in (n, m))
        self.num_layers = num_layers
        self.parameters = [self.user.weight, self.item.weight]
        self.optimizer = torch.optim.Adam(self.parameters, lr=1e-3)

    def embeddings(self):
        user, item = self.parameters
        layers = [(user, item)]
        for _ in range(self.num_layers):
            user, item = self.forward_matrix @ item, self.backward_matrix @ user
            layers.append((user, item))
        return (torch.stack(side).mean(0) for side in zip(*layers))

    def __call__(self, batch):
        self.optimizer.zero_grad()
        user, item = self.embeddings()
        u, i, j = user[batch.user], item[batch.item], item[batch.neg_item[:, 0]]
        reg = sum(e.square().sum() for e in (self.user.weight[batch.user],
                                             self.item.weight[batch.item],
                                             self.item.weight[batch.neg_item[:, 0]]))
        loss = F.softplus((u * (j - i)).sum(1)).mean() + 1e-4 * reg / (2 * batch.user.numel())
        loss.backward()
        self.optimizer.step()


def cycle(step, loader):
    r"""A function that takes the next batch each time, drawn outside of what is measured."""
    batches = []

    def run():
        if not batches:
            iterator = iter(loader)
            batches.extend(next(iterator) for _ in range(8))
        step(batches.pop())

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', type=Path)
    parser.add_argument('--repeats', type=int, default=9)
    parser.add_argument('--threads', type=int)
    parser.add_argument('--data-dir', default='data')
    parser.add_argument('--return-memory', action='store_true',
                        help='leave the allocator as it is by default')
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if not args.return_memory:
        keep_freed_memory()
    real = 'PYG_ADVCF_MIRROR' in os.environ
    data = Gowalla(os.path.join(args.data_dir, 'gowalla'))[0] if real else random_data()
    rows = []

    def add(work, against, ours, theirs, repeats=args.repeats):
        ms = measure({'ours': ours, 'theirs': theirs}, repeats)
        rows.append({'work': work, 'against': against, 'ours_ms': ms['ours'],
                     'theirs_ms': ms['theirs'], 'ratio': ms['theirs'] / ms['ours']})
        print(f"{work} | {against} | {ms['ours']:.2f} | {ms['theirs']:.2f} | "
              f"{rows[-1]['ratio']:.2f}", flush=True)

    loader = InteractionLoader(data, 2048, 1)
    bpr = Step(methods.BPR(LightGCN(data, 64, 3), data))
    name = 'LightGCN-BPR step, L=3, D=64, B=2048'
    pyg = PyGStep(data, 3, 64)
    add(name, "PyG's LightGCN example", cycle(bpr, loader), cycle(pyg, loader), 3)
    add(name, 'two cached CSR products, autograd', cycle(bpr, loader),
        cycle(CSRStep(data, 3, 64), loader))

    graph = interaction_graph(data)
    (indptr, index), _ = graph.get_csr()
    item_emb = torch.randn(data['item'].num_nodes, 64)
    matrix = torch.sparse_csr_tensor(indptr, index, torch.ones(index.numel()),
                                     graph.get_sparse_size(), check_invariants=False)
    add('sum over neighbours, users, D=64', "PyTorch's CSR product", lambda: spmm(graph, item_emb),
        lambda: matrix @ item_emb, 5 * args.repeats)

    many = InteractionLoader(data, 2048, 128)
    batch = next(iter(many))
    tables = [torch.randn(n, 64, requires_grad=True)
              for n in (data['user'].num_nodes, data['item'].num_nodes)]

    def fused():
        pos, neg = sampled_scores(*tables, *batch[:3], 'cosine', 0.1)
        torch.autograd.grad(infonce(pos, neg), tables)

    def plain():
        u, i, j = (F.normalize(t[index], dim=-1) for t, index in zip(
            (tables[0], tables[1], tables[1]), batch[:3]))
        pos, neg = (u * i).sum(-1) / 0.1, torch.einsum('bd,bnd->bn', u, j) / 0.1
        torch.autograd.grad(infonce(pos, neg), tables)

    add('sampled InfoNCE forward and backward, B=2048, N=128',
        'gather, normalise, multiply in torch', fused, plain)

    for label, backbone in (('LightGCN, L=3', lambda: LightGCN(data, 64, 3)),
                            ('MF', lambda: MF(data, 64))):
        adv = MinMaxStep(methods.AdvInfoNCE(backbone(), data))
        nce = Step(methods.InfoNCE(backbone(), data))
        add(f'InfoNCE step, {label}, N=128', 'AdvInfoNCE model step', cycle(nce, many),
            cycle(adv, many))
        with torch.no_grad():
            z = adv.method.similarity.prepare(adv.method.backbone())
        add(f'AdvInfoNCE adversary step, {label}, N=128', 'AdvInfoNCE model step',
            cycle(lambda b, adv=adv, z=z: adv.adversary_step(b, z), many), cycle(adv, many))
        bare = Step(methods.BPR(backbone(), data))
        add(f'BPR step, {label}', 'InfoNCE step, N=128', cycle(bare, loader), cycle(nce, many))

    add('drawing a batch, B=2048, N=128', 'InfoNCE step, LightGCN, L=3',
        lambda: many.collate(torch.randint(many.user.numel(), (2048, ))),
        cycle(Step(methods.InfoNCE(LightGCN(data, 64, 3), data)), many))
    add('full ranking of all users, k=20, recall, ndcg, hr, precision, map, mrr',
        "the loop of PyG's example (precision, recall)",
        lambda: evaluate(bpr.method, data, metrics=['recall', 'ndcg', 'hr', 'precision', 'map',
                                                    'mrr']),
        lambda: pyg.evaluate(data), 3)
    report = {
        'machine': {'processor': platform.machine(), 'cores': os.cpu_count(),
                    'threads': torch.get_num_threads(), 'torch': torch.__version__,
                    'torch_geometric': torch_geometric.__version__,
                    'data': 'gowalla' if real else 'random'},
        'rows': rows,
    }
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + '\n')


if __name__ == '__main__':
    main()
