r"""From a pandas frame of raw interactions to recommendations in raw ids."""
import argparse

import numpy as np
import pandas as pd
from torch_geometric import seed_everything

from pyg_advcf import InteractionLoader, LightGCN, MinMaxStep, evaluate, fit, methods
from pyg_advcf.datasets import from_frame
from pyg_advcf.transforms import RandomSplit

parser = argparse.ArgumentParser(
    description=__doc__.splitlines()[0], allow_abbrev=False,
    formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument('--epochs', type=int, default=40, help='epochs to train')
args = parser.parse_args()
if args.epochs < 1:
    parser.error(f'argument --epochs: {args.epochs} is too low')

# Any frame with a column of users and one of items will do. Here: a shop whose customers buy
# mostly from one of four departments.
seed_everything(0)
rng = np.random.default_rng(0)
customer = rng.integers(0, 300, 12_000)
department = np.where(rng.random(12_000) < 0.8, customer % 4, rng.integers(0, 4, 12_000))
product = department * 50 + np.minimum(rng.geometric(0.05, 12_000), 50) - 1
df = pd.DataFrame({
    'customer': [f'customer-{c}' for c in customer],
    'product': [f'product-{p}' for p in product],
    'stars': rng.integers(1, 6, 12_000),
    'bought': pd.Timestamp('2026-01-01') + pd.to_timedelta(rng.integers(0, 10**7, 12_000), 's'),
})

frame = from_frame(df, user='customer', item='product', rating='stars', min_rating=3,
                   time='bought', duplicates='last')
frame.data = data = RandomSplit(val=0.1, test=0.2)(frame.data)
print(data)

method = methods.advinfonce(LightGCN(data, dim=32, num_layers=2), temperature=0.2)
loader = InteractionLoader(data, batch_size=1024, num_neg=32)
fit(MinMaxStep(method, lr=5e-3, adversary_lr=5e-3), loader, epochs=args.epochs)
print(evaluate(method, data, k=10))

customers = ['customer-0', 'customer-1']
ids, scores = method.recommend(frame.user_ids(customers), k=3)
print(frame.to_frame(frame.user_ids(customers), ids, scores))
