r"""PyG's lightgcn.py with InfoNCE: one homogeneous graph, users first, LightGCN over all of it."""
import argparse

import torch
from torch.utils.data import DataLoader
from torch_geometric import seed_everything
from torch_geometric.data import Data
from torch_geometric.nn import LightGCN
from torch_geometric.transforms import RandomLinkSplit
from tqdm import tqdm

from pyg_advcf import EDGE_TYPE, Batch, Cosine, Embeddings, evaluate, from_link_split
from pyg_advcf.criteria import InfoNCE
from pyg_advcf.datasets import SyntheticExposure

parser = argparse.ArgumentParser(
    description=__doc__.splitlines()[0], allow_abbrev=False,
    formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument('--epochs', type=int, default=40, help='epochs to train')
args = parser.parse_args()
if args.epochs < 1:
    parser.error(f'argument --epochs: {args.epochs} is too low')

seed_everything(0)
source = SyntheticExposure()[0]
num_users, num_items = source['user'].num_nodes, source['item'].num_nodes
user, item = source[EDGE_TYPE].edge_index
links = torch.stack([user, num_users + item])
graph = Data(edge_index=torch.cat([links, links.flip(0)], dim=1), num_nodes=num_users + num_items)

split = RandomLinkSplit(num_val=0.1, num_test=0.2, is_undirected=True, neg_sampling_ratio=0.)
train, val, test = split(graph)
data = from_link_split(train, val, test, num_users=num_users)  # For the evaluation.
pairs = data[EDGE_TYPE].edge_index

model = LightGCN(graph.num_nodes, embedding_dim=64, num_layers=2)
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
similarity, criterion = Cosine(temperature=0.3), InfoNCE()
loader = DataLoader(range(pairs.size(1)), shuffle=True, batch_size=1024)


def embed() -> Embeddings:
    return Embeddings(*model.get_embedding(train.edge_index).split([num_users, num_items]))


def train_epoch() -> float:
    total_loss = 0.
    for index in loader:
        neg_item = torch.randint(num_items, (index.numel(), 64))
        batch = Batch(*pairs[:, index], neg_item, index)
        optimizer.zero_grad()
        loss = criterion(*similarity(embed(), batch))
        loss.backward()
        optimizer.step()
        total_loss += loss.item() * index.numel()
    return total_loss / pairs.size(1)


for _ in (bar := tqdm(range(args.epochs))):
    bar.set_postfix(loss=f'{train_epoch():.4f}')

with torch.no_grad():
    z = embed()
for name, values in evaluate(z, data, similarity=similarity, k=20).items():
    print(name, {metric: round(value, 4) for metric, value in values.items()})
