r"""BPR, InfoNCE and AdvInfoNCE over LightGCN, side by side: a table, and a plot of the hardness.

Without arguments, on built-in synthetic data, in under two minutes on two CPU cores. On Coat with
the settings of the authors of AdvInfoNCE; with ``--hardness uniform`` added, its control::

    python examples/lightgcn_advinfonce.py --dataset coat --seeds 10 --epochs 2000 --sampler user \
        --temperature 0.75 --adversary-lr 1e-2 --interval 15 --max-passes 20
"""
import argparse
import os

import pandas as pd
import torch
from torch_geometric import seed_everything

from pyg_advcf import InteractionLoader, LightGCN, MinMaxStep, Step, evaluate, fit, methods
from pyg_advcf.datasets import Coat, SyntheticExposure, YahooR3
from pyg_advcf.diagnostics import hardness_report, plot_hardness

parser = argparse.ArgumentParser(
    description=__doc__.splitlines()[0], allow_abbrev=False,
    formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument('--dataset', default='synthetic', choices=['synthetic', 'coat', 'yahoo_r3'],
                    help='real data are taken from PYG_ADVCF_MIRROR or downloaded to ./data')
parser.add_argument('--epochs', type=int, default=200, help='most epochs to train')
parser.add_argument('--patience', type=int, default=20, help='evaluations without improvement')
parser.add_argument('--seeds', type=int, default=1, help='number of seeds')
parser.add_argument('--dim', type=int, default=64, help='width of the embeddings')
parser.add_argument('--num-layers', type=int, default=2, help='propagations of LightGCN')
parser.add_argument('--batch-size', type=int, default=1024, help='positives per batch')
parser.add_argument('--num-neg', type=int, default=64, help='negatives per positive; 1 for BPR')
parser.add_argument('--sampler', default='interaction', choices=['interaction', 'user'],
                    help='whether batches go through the interactions or through the users')
parser.add_argument('--lr', type=float, default=1e-3, help='learning rate')
parser.add_argument('--l2', type=float, default=1e-5, help='weight of the L2 term')
parser.add_argument('--temperature', type=float, default=0.4, help='of the cosine scores')
parser.add_argument('--k', type=float, default=64., help='weight of the negatives in AdvInfoNCE')
parser.add_argument('--hardness', default='embed', help='of the negatives in AdvInfoNCE',
                    choices=['embed', 'mlp', 'reverse', 'random', 'uniform', 'buckets',
                             'popularity'])
parser.add_argument('--adversary-lr', type=float, default=1e-4, help='of the adversary')
parser.add_argument('--interval', type=int, default=5, help='epochs between adversary passes')
parser.add_argument('--max-passes', type=int, default=10, help='most adversary passes')
args = parser.parse_args()
zero = ('l2', 'max_passes')  # May be 0.
for name, value in vars(args).items():
    if not isinstance(value, str) and not (value > 0 or value == 0 and name in zero):
        parser.error(f"argument --{name.replace('_', '-')}: {value} is too low")

device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
if args.dataset == 'synthetic':
    data = SyntheticExposure()[0].to(device)
elif args.dataset == 'coat':
    data = Coat('data/coat')[0].to(device)
else:
    data = YahooR3('data/yahoo_r3')[0].to(device)

builders = {
    'BPR': lambda backbone: methods.bpr(backbone, l2=args.l2),
    'InfoNCE': lambda backbone: methods.infonce(backbone, args.temperature, l2=args.l2),
    'AdvInfoNCE': lambda backbone: methods.advinfonce(
        backbone, args.temperature, k=args.k, hardness=args.hardness, l2=args.l2),
}
rows, reports = [], {}
for seed in range(args.seeds):
    for name, build in builders.items():
        seed_everything(seed)
        method = build(LightGCN(data, dim=args.dim, num_layers=args.num_layers)).to(device)
        loader = InteractionLoader(data, args.batch_size, 1 if name == 'BPR' else args.num_neg,
                                   sampler=args.sampler, seed=seed)
        if method.adversary_parameters():  # Two optimizers: one of them for the adversary.
            step = MinMaxStep(method, lr=args.lr, adversary_lr=args.adversary_lr,
                              interval=args.interval, max_passes=args.max_passes)
        else:
            step = Step(method, lr=args.lr)
        history = fit(step, loader, epochs=args.epochs, patience=args.patience)
        print(f'{name}, seed {seed}: best epoch {history.best_epoch}, '
              f'validation Recall@20 {history.best_value:.4f}')
        for split, values in evaluate(method, data, k=20, metrics=('recall', 'ndcg')).items():
            rows.append({'test set': split, 'method': name, **values})
        if name == 'AdvInfoNCE':
            reports[f'AdvInfoNCE, seed {seed}'] = hardness_report(
                method, data, data.get('relevant'), num_neg=args.num_neg)

table = pd.DataFrame(rows).pivot_table(
    index='method', columns='test set', values=['recall@20', 'ndcg@20'], sort=False,
    aggfunc=['mean', 'std'] if args.seeds > 1 else ['mean'])
print(table.round(4).to_string())
for label, report in reports.items():
    print(f'{label}: KL(P0||P) {report.kl_uniform_p:.4f}', end='')
    if args.dataset == 'synthetic':  # The only data whose false negatives are known.
        print(f', down-weighted false negatives {report.false_negative_rate:.3f} '
              f'(of all negatives: {report.chance_rate:.3f})', end='')
    print()
os.makedirs('outputs', exist_ok=True)
plot_hardness(reports, 'outputs/hardness.png')
print('Hardness against popularity: outputs/hardness.png')
