r"""LightGCN over sampled neighbourhoods against full propagation: InfoNCE, Recall@20 on validation.

    PYG_ADVCF_MIRROR=... python benchmarks/sampling.py --dataset ml-1m --epochs 30 \
        --json benchmarks/results/sampling_ml-1m.json
    python benchmarks/sampling.py --num-neighbors 10 5 --batch-size 1024 --num-neg 8 --lr 1e-2 \
        --steps 120 --evaluate-every 10 --json benchmarks/results/sampling_growth.json

The first trains both for as many epochs on a dataset. The second trains on a graph as large as that
of ``growth.py`` with 16 M edges, whose users prefer the items of a block, in turns of some steps,
and records validation Recall@20 (of some users) against the seconds of training.
"""
import argparse
import itertools
import time
from pathlib import Path

import torch
from memory import write_report

from pyg_advcf import InteractionLoader, LightGCN, evaluate, fit, interaction_data, methods
from pyg_advcf.nn import SampledLightGCN
from pyg_advcf.registry import DATASETS
from pyg_advcf.training import Step, keep_freed_memory
from pyg_advcf.transforms import RandomSplit


def block_data(num_edges, share=0.8, users=125, items=62, held_out=20000):
    r"""Pairs of which a share joins a user and an item of one block, with a validation split."""
    generator = torch.Generator().manual_seed(0)
    blocks = num_edges // (32 * users)
    count = int(1.3 * num_edges)
    user = torch.randint(blocks * users, (count, ), generator=generator)
    inside = torch.randint(items, (count, ), generator=generator) + user // users * items
    outside = torch.randint(blocks * items, (count, ), generator=generator)
    own = torch.rand(count, generator=generator) < share
    key = (user * (blocks * items) + torch.where(own, inside, outside)).unique()
    key = key[torch.randperm(key.numel(), generator=generator)[:num_edges + held_out]]
    pairs = torch.stack([key // (blocks * items), key % (blocks * items)])
    # A few users, so that ranking does not take longer than training.
    val = pairs[:, num_edges:]
    val = val[:, val[0] < blocks * users // 20]
    return interaction_data(pairs[:, :num_edges].contiguous(), blocks * users, blocks * items,
                            val=val.contiguous())


def build(data, args, sampled):
    torch.manual_seed(args.seed)
    if sampled:
        backbone = SampledLightGCN(data, args.dim, args.num_neighbors)
    else:
        backbone = LightGCN(data, args.dim, len(args.num_neighbors))
    return methods.infonce(backbone, temperature=args.temperature)


def epochs(data, args, sampled):
    r"""Trains for some epochs; the best validation and the seconds of training."""
    method = build(data, args, sampled)
    loader = InteractionLoader(data, args.batch_size, args.num_neg, seed=args.seed)
    history = fit(method, loader, args.epochs, lr=args.lr, evaluate_every=args.evaluate_every)
    return {'best_epoch': history.best_epoch, 'recall@20': history.best_value,
            'seconds_per_epoch': history.seconds_per_epoch, 'curve': history.epochs}


def steps(data, args):
    r"""Trains both, some steps each in turn; validation against seconds of training."""
    loaders, trained, rows = [], [], []
    for sampled in (False, True):
        loaders.append(iter(InteractionLoader(data, args.batch_size, args.num_neg,
                                              seed=args.seed)))
        trained.append(Step(build(data, args, sampled), lr=args.lr))
        rows.append({'sampled': sampled, 'curve': []})
    seconds = [0., 0.]
    for done in range(args.evaluate_every, args.steps + 1, args.evaluate_every):
        for turn, (loader, step, row) in enumerate(zip(loaders, trained, rows)):
            begin = time.perf_counter()
            for batch in itertools.islice(loader, args.evaluate_every):
                step(batch)
            seconds[turn] += time.perf_counter() - begin
            found = evaluate(step.recommender, data, 'val', k=20, progress=False)
            row['curve'].append({'step': done, 'seconds': seconds[turn],
                                 'recall@20': found['val']['recall@20']})
            print(row['sampled'], row['curve'][-1], flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', type=Path)
    parser.add_argument('--dataset', choices=sorted(DATASETS))
    parser.add_argument('--data-dir', type=Path, default=Path('data'))
    parser.add_argument('--edges', type=int, default=16_000_000)
    parser.add_argument('--epochs', type=int, default=10)
    parser.add_argument('--steps', type=int, default=100)
    parser.add_argument('--evaluate-every', type=int, default=1)
    parser.add_argument('--batch-size', type=int, default=2048)
    parser.add_argument('--num-neg', type=int, default=64)
    parser.add_argument('--num-neighbors', type=int, nargs='+', default=[10, 10])
    parser.add_argument('--dim', type=int, default=64)
    parser.add_argument('--lr', type=float, default=1e-3)
    parser.add_argument('--temperature', type=float, default=0.2)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--threads', type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    if args.dataset:
        root = [] if args.dataset == 'synthetic' else [args.data_dir / args.dataset]
        data = DATASETS[args.dataset](*root)[0]
        if 'val_edge_label_index' not in data['user', 'interacts', 'item']:
            data = RandomSplit(val=0.1)(data)
    else:
        data = block_data(args.edges)
    if args.dataset:
        rows = [{'sampled': sampled, **epochs(data, args, sampled)} for sampled in (False, True)]
    else:
        rows = steps(data, args)
    settings = {key: value for key, value in vars(args).items()
                if key not in ('json', 'data_dir')}
    write_report(args.json, {'settings': settings, 'rows': rows})


if __name__ == '__main__':
    main()
