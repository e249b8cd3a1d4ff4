r"""PyG's hetero_link_pred.py with CCL and an adversarial view: your names, features and splits."""
import argparse

import torch
from torch_geometric import seed_everything
from torch_geometric.data import HeteroData
from torch_geometric.nn import SAGEConv, to_hetero
from torch_geometric.transforms import RandomLinkSplit, ToUndirected
from tqdm import tqdm

from pyg_advcf import EDGE_TYPE, Cosine, Embeddings, InteractionLoader, evaluate, from_link_split
from pyg_advcf.criteria import CCL, ViewInfoNCE
from pyg_advcf.datasets import SyntheticExposure
from pyg_advcf.transforms import FastGradient

parser = argparse.ArgumentParser(
    description=__doc__.splitlines()[0], allow_abbrev=False,
    formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument('--epochs', type=int, default=60, help='epochs to train')
args = parser.parse_args()
if args.epochs < 1:
    parser.error(f'argument --epochs: {args.epochs} is too low')

seed_everything(0)
RATES, REV = ('user', 'rates', 'movie'), ('movie', 'rev_rates', 'user')
source = SyntheticExposure()[0]
data = HeteroData()
data['user'].x = torch.randn(source['user'].num_nodes, 64)  # They stand for features of yours,
data['movie'].x = torch.randn(source['item'].num_nodes, 64)  # such as embeddings of titles.
data[RATES].edge_index = source[EDGE_TYPE].edge_index
train, val, test = RandomLinkSplit(
    num_val=0.1, num_test=0.2, edge_types=[RATES], rev_edge_types=[REV], neg_sampling_ratio=0.)(
        ToUndirected()(data))
interactions = from_link_split(train, val, test)


class GNN(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = SAGEConv((-1, -1), 64), SAGEConv((-1, -1), 64)

    def forward(self, x, edge_index):
        return self.conv2(self.conv1(x, edge_index).relu(), edge_index)


gnn = to_hetero(GNN(), train.metadata())
x = Embeddings(train['user'].x, train['movie'].x)


def encode(x: Embeddings) -> Embeddings:
    z = gnn({'user': x.user, 'movie': x.item}, train.edge_index_dict)
    return Embeddings(z['user'], z['movie'])


with torch.no_grad():  # Sets the widths of lazy layers.
    encode(x)
optimizer = torch.optim.Adam(gnn.parameters(), lr=5e-3)
similarity, criterion, contrast = Cosine(temperature=1.), CCL(weight=10.), ViewInfoNCE()
view = FastGradient(epsilon=0.5)
loader = InteractionLoader(interactions, batch_size=1024, num_neg=64)

for _ in (bar := tqdm(range(args.epochs))):
    for batch in loader:
        delta = view.delta(x, lambda x, batch=batch: criterion(*similarity(encode(x), batch)))
        z, z_adv = encode(x), encode(x.map(torch.add, delta))
        loss = criterion(*similarity(z, batch)) + 0.1 * contrast(z, z_adv, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    bar.set_postfix(loss=f'{loss.item():.4f}')

with torch.no_grad():
    z = encode(x)
for name, values in evaluate(z, interactions, similarity=similarity, k=20).items():
    print(name, {metric: round(value, 4) for metric, value in values.items()})
