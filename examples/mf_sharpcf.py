r"""BPR, APR, SharpCF and SAM over matrix factorisation: what flat minima are worth and cost.

Without arguments, on built-in synthetic data, in under two minutes on two CPU cores. MovieLens-1M
with the settings of the documentation, where APR takes ``--l2 0.02``::

    python examples/mf_sharpcf.py --dataset ml-1m --seeds 3 --epochs 200 --warmup-epochs 60 \
        --dim 128 --batch-size 4096 --lr 2e-3 --l2 0.01 --epsilon 0.05 --weight 1 --rho 0.5
"""
import argparse
import os

import pandas as pd
import torch
from torch_geometric import seed_everything

from pyg_advcf import MF, InteractionLoader, SAMStep, Step, evaluate, fit, methods
from pyg_advcf.datasets import MovieLens1M, SyntheticExposure
from pyg_advcf.diagnostics import loss_landscape, plot_landscape, sharpness
from pyg_advcf.transforms import RandomSplit

parser = argparse.ArgumentParser(
    description=__doc__.splitlines()[0], allow_abbrev=False,
    formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument('--dataset', default='synthetic', choices=['synthetic', 'ml-1m'],
                    help='real data are taken from PYG_ADVCF_MIRROR or downloaded to ./data')
parser.add_argument('--epochs', type=int, default=120, help='most epochs to train')
parser.add_argument('--patience', type=int, default=8, help='evaluations without improvement')
parser.add_argument('--seeds', type=int, default=1, help='number of seeds')
parser.add_argument('--dim', type=int, default=64, help='width of the embeddings')
parser.add_argument('--batch-size', type=int, default=1024, help='positives per batch')
parser.add_argument('--lr', type=float, default=1e-3, help='learning rate')
parser.add_argument('--l2', type=float, default=1e-3, help='weight of the L2 term')
parser.add_argument('--warmup-epochs', type=int, default=20,
                    help='epochs of plain BPR before APR, SharpCF and SAM begin')
parser.add_argument('--alpha', type=float, default=1., help='weight of the adversarial loss in APR')
parser.add_argument('--epsilon', type=float, default=0.5, help='size of the perturbation in APR')
parser.add_argument('--norm', default='row', choices=['row', 'global', 'sign'],
                    help='what --epsilon measures')
parser.add_argument('--weight', type=float, default=0.1, help='of the penalty in SharpCF')
parser.add_argument('--lag', type=int, default=3, help='epochs that SharpCF looks back')
parser.add_argument('--rho', type=float, default=0.05, help='radius of SAM')
args = parser.parse_args()
zero = ('l2', 'warmup_epochs', 'alpha', 'epsilon', 'weight', 'rho')  # May be 0.
for name, value in vars(args).items():
    if not isinstance(value, str) and not (value > 0 or value == 0 and name in zero):
        parser.error(f"argument --{name.replace('_', '-')}: {value} is too low")
if args.warmup_epochs >= args.epochs:
    parser.error('argument --warmup-epochs: needs to be below --epochs')

device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
data = (SyntheticExposure()[0] if args.dataset == 'synthetic'
        else RandomSplit(val=0.1)(MovieLens1M('data/ml-1m')[0])).to(device)
triplets = next(iter(InteractionLoader(data, 8192, seed=12345)))  # Fixed, for the landscapes.

rows, landscapes = [], {}
for seed in range(args.seeds):
    for name in ('BPR', 'APR', 'SharpCF', 'SAM'):
        seed_everything(seed)
        backbone = MF(data, dim=args.dim).to(device)
        if name == 'APR':
            step = Step(methods.APR(backbone, args.alpha, args.epsilon, args.norm,
                                    args.warmup_epochs, l2=args.l2), lr=args.lr)
        elif name == 'SharpCF':
            step = Step(methods.SharpCF(backbone, args.weight, args.lag, args.warmup_epochs,
                                        l2=args.l2), lr=args.lr)
        elif name == 'SAM':  # SAM is no other loss, but another optimizer.
            step = SAMStep(methods.bpr(backbone, l2=args.l2), lr=args.lr, rho=args.rho,
                           warmup_epochs=args.warmup_epochs)
        else:
            step = Step(methods.bpr(backbone, l2=args.l2), lr=args.lr)
        loader = InteractionLoader(data, args.batch_size, seed=seed)
        history = fit(step, loader, epochs=args.epochs, patience=args.patience)
        print(f'{name}, seed {seed}: best epoch {history.best_epoch}, '
              f'validation Recall@20 {history.best_value:.4f}')
        method = step.recommender.to(device)
        # Every method is judged on its own scale: a tenth of the length of its tables.
        length = torch.cat([table.detach() for table in method.backbone.x]).norm()
        found = evaluate(method, data, k=20, metrics=('recall', 'ndcg'))
        rows.append({'method': name, **{f'{split} {metric}': value for split in found
                                        for metric, value in found[split].items()},
                     'sharpness': sharpness(method, triplets, 0.1 * float(length)),
                     's/epoch': history.seconds_per_epoch})
        if seed == 0:
            landscapes[name] = loss_landscape(method, triplets)

table = pd.DataFrame(rows).groupby('method', sort=False)
print(table.agg(['mean', 'std'] if args.seeds > 1 else 'mean').round(4).to_string())
os.makedirs('outputs', exist_ok=True)
plot_landscape(landscapes, 'outputs/landscape.png')
print('Loss around the minima: outputs/landscape.png')
