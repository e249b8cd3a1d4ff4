r"""PyG's recommender_system.py with AdvInfoNCE: GraphSAGE over sampled neighbours of the past."""
import argparse

import torch
from torch_geometric import seed_everything
from torch_geometric.data import HeteroData
from torch_geometric.loader import LinkLoader
from torch_geometric.nn import SAGEConv, to_hetero
from torch_geometric.transforms import ToUndirected
from tqdm import tqdm

from pyg_advcf import EDGE_TYPE, Batch, Cosine, Embeddings, evaluate
from pyg_advcf.criteria import AdvInfoNCE
from pyg_advcf.datasets import SyntheticExposure
from pyg_advcf.loader import TorchNeighborSampler
from pyg_advcf.pairs import PairSet

parser = argparse.ArgumentParser(
    description=__doc__.splitlines()[0], allow_abbrev=False,
    formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument('--epochs', type=int, default=5, help='epochs to train')
args = parser.parse_args()
if args.epochs < 1:
    parser.error(f'argument --epochs: {args.epochs} is too low')

seed_everything(0)
source, RATES = SyntheticExposure()[0], ('user', 'rates', 'movie')
num_users, num_movies = source['user'].num_nodes, source['item'].num_nodes
pairs = source[EDGE_TYPE].edge_index[:, torch.randperm(source[EDGE_TYPE].num_edges)]
first = int(0.8 * pairs.size(1))  # The data have no times: they are in the order of the columns.

data = HeteroData()
data['user'].num_nodes, data['movie'].num_nodes = num_users, num_movies
data[RATES].edge_index, data[RATES].test_edge_label_index = pairs[:, :first], pairs[:, first:]
data[RATES].time = torch.arange(first)
data = ToUndirected()(data)  # Adds (movie, rev_rates, user), with the times.
known = PairSet.of(data[RATES].edge_index, num_users, num_movies)

# With pyg-lib: LinkNeighborLoader(data, [5, 5], time_attr='time', edge_label_index=RATES, ...).
loader = LinkLoader(
    data, TorchNeighborSampler(data, [5, 5], time_attr='time'), RATES,
    edge_label_time=data[RATES].time, batch_size=512, shuffle=True,
    neg_sampling=dict(mode='triplet', amount=16))


class GNN(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = SAGEConv(64, 64), SAGEConv(64, 64)

    def forward(self, x, edge_index):
        return x + self.conv2(self.conv1(x, edge_index).relu(), edge_index)


embedding = torch.nn.ModuleDict({
    'user': torch.nn.Embedding(num_users, 64), 'movie': torch.nn.Embedding(num_movies, 64)})
gnn = to_hetero(GNN(), data.metadata())
optimizer = torch.optim.Adam([*embedding.parameters(), *gnn.parameters()], lr=5e-3)
similarity, criterion = Cosine(temperature=0.3), AdvInfoNCE(num_users, num_movies)
adversary = torch.optim.Adam(criterion.parameters(), lr=1e-3)

for _ in (bar := tqdm(range(args.epochs))):
    for batch in loader:
        optimizer.zero_grad()
        adversary.zero_grad()
        links = Batch.from_link(batch, known=known)
        z_dict = gnn({name: table(batch[name].n_id) for name, table in embedding.items()},
                     batch.edge_index_dict)
        z = Embeddings.from_link(links, z_dict['user'], z_dict['movie'])
        pos, neg = similarity(z, links)
        loss = criterion(pos, neg, links)
        loss.backward()
        criterion.adversary_loss(pos, neg, links).backward()
        optimizer.step()
        adversary.step()
    bar.set_postfix(loss=f'{loss.item():.4f}')

with torch.no_grad():
    z_dict = gnn({name: t.weight for name, t in embedding.items()}, data.edge_index_dict)
z = Embeddings(z_dict['user'], z_dict['movie'])
for name, values in evaluate(z, data, similarity=similarity, k=20, edge_type=RATES).items():
    print(name, {metric: round(value, 4) for metric, value in values.items()})
