r"""LightGCN, random views (XSimGCL) and ACCF on data with false interactions: a table and a plot.

Without arguments, on built-in synthetic data with 0, 10 and 20 % injected noise, in under three
minutes on two CPU cores. Amazon Pet with the settings of the documentation::

    python examples/lightgcn_accf.py --dataset amazon_pet --noise 0 --seeds 3 --epochs 300 \
        --lr 2e-3 --weighting none --contrast-weight 0.05 --temperature 0.2 --epsilon 0.1
"""
import argparse
import os

import pandas as pd
import torch
from torch_geometric import seed_everything

from pyg_advcf import EDGE_TYPE, InteractionLoader, LightGCN, evaluate, fit, methods
from pyg_advcf.datasets import AmazonPet, SyntheticExposure
from pyg_advcf.diagnostics import weight_report
from pyg_advcf.transforms import AddInteractionNoise, RandomSplit

parser = argparse.ArgumentParser(
    description=__doc__.splitlines()[0], allow_abbrev=False,
    formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument('--dataset', default='synthetic', choices=['synthetic', 'amazon_pet'],
                    help='real data are taken from PYG_ADVCF_MIRROR or downloaded to ./data')
parser.add_argument('--noise', type=float, nargs='+', default=[0., 0.1, 0.2],
                    help='false interactions to inject, as shares of the training interactions')
parser.add_argument('--epochs', type=int, default=25, help='most epochs to train')
parser.add_argument('--patience', type=int, default=8, help='evaluations without improvement')
parser.add_argument('--seeds', type=int, default=1, help='number of seeds')
parser.add_argument('--dim', type=int, default=64, help='width of the embeddings')
parser.add_argument('--num-layers', type=int, default=3, help='propagations of LightGCN')
parser.add_argument('--batch-size', type=int, default=1024, help='positives per batch')
parser.add_argument('--lr', type=float, default=5e-3, help='learning rate')
parser.add_argument('--l2', type=float, default=1e-3, help='weight of the L2 term')
parser.add_argument('--contrast-weight', type=float, default=0.02, help='of XSimGCL and ACCF')
parser.add_argument('--temperature', type=float, default=0.5, help='of the contrast')
parser.add_argument('--epsilon', type=float, default=0.2,
                    help='size of the noise in XSimGCL and of the perturbation in ACCF')
parser.add_argument('--adversarial-weight', type=float, default=0.1,
                    help='weight of the ranking loss of the perturbed view in ACCF')
parser.add_argument('--weighting', default='bilevel', choices=['none', 'joint', 'bilevel'],
                    help='how ACCF learns the weights of training instances')
args = parser.parse_args()
zero = ('noise', 'l2', 'contrast_weight', 'adversarial_weight', 'epsilon')  # May be 0.
for name, value in vars(args).items():
    value = min(value) if isinstance(value, list) else value
    if not isinstance(value, str) and not (value > 0 or value == 0 and name in zero):
        parser.error(f"argument --{name.replace('_', '-')}: {value} is too low")

device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
if args.dataset == 'synthetic':
    clean = SyntheticExposure()[0]
else:
    clean = RandomSplit(val=0.1)(AmazonPet('data/amazon_pet')[0])
    del clean[EDGE_TYPE].rating, clean[EDGE_TYPE].time  # Injected interactions have none.

view = dict(temperature=args.temperature, epsilon=args.epsilon, l2=args.l2)
builders = {  # The readouts are the published ones: views leave the tables themselves out.
    'LightGCN': lambda data: methods.bpr(
        LightGCN(data, args.dim, args.num_layers), l2=args.l2),
    'XSimGCL': lambda data: methods.XSimGCL(
        LightGCN(data, args.dim, args.num_layers, skip_input=True),
        weight=args.contrast_weight, **view),
    'ACCF': lambda data: methods.ACCF(
        LightGCN(data, args.dim, args.num_layers, skip_input=True), args.adversarial_weight,
        args.contrast_weight, weighting=args.weighting, **view),
}
rows = []
for noise in args.noise:
    noisy = AddInteractionNoise(noise)(clean).to(device)
    for seed in range(args.seeds):
        for name, build in builders.items():
            seed_everything(seed)
            data = noisy
            if name == 'ACCF' and args.weighting == 'bilevel':  # Pairs for the outer problem.
                data = RandomSplit(val=0., outer=0.05, per_user=False, seed=seed)(noisy)
            method = build(data).to(device)
            loader = InteractionLoader(data, args.batch_size, seed=seed)
            history = fit(method, loader, epochs=args.epochs, lr=args.lr, monitor='ndcg@10',
                          patience=args.patience)  # With BilevelStep where that is needed.
            print(f'{noise:.0%} noise, {name}, seed {seed}: best epoch {history.best_epoch}, '
                  f'validation NDCG@10 {history.best_value:.4f}')
            if noise > 0 and hasattr(method.criterion, 'network'):  # Learned weights average 1.
                weight = weight_report(method, data).get('of_injected', float('nan'))
                print(f'mean weight of false interactions: {weight:.3f}')
            for split, values in evaluate(method, data, k=10, metrics=('recall', 'ndcg')).items():
                rows.append({'test set': split, 'noise': noise, 'method': name, **values})

table = pd.DataFrame(rows).pivot_table(
    index=['test set', 'method'], columns='noise', values=['recall@10', 'ndcg@10'], sort=False,
    aggfunc=['mean', 'std'] if args.seeds > 1 else ['mean'])
print(table.round(4).to_string())
os.makedirs('outputs', exist_ok=True)  # On synthetic data, `split` is that of uniform exposure.
table['mean', 'ndcg@10'].loc[split].T.plot(
    marker='o', xlabel='injected interactions, as a share of training',
    ylabel=f'NDCG@10, {split}').figure.savefig('outputs/noise.png')
print('Decline with noise: outputs/noise.png')
