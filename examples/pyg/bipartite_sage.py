r"""PyG's bipartite_sage.py with BSL: users by their items, items by those bought together."""
import argparse

import torch
from torch_geometric import seed_everything
from torch_geometric.loader import LinkLoader
from torch_geometric.nn import SAGEConv
from torch_geometric.transforms import ToUndirected
from tqdm import tqdm

from pyg_advcf import EDGE_TYPE, Batch, Cosine, Embeddings, evaluate
from pyg_advcf.criteria import BSL
from pyg_advcf.datasets import SyntheticExposure
from pyg_advcf.loader import TorchNeighborSampler

parser = argparse.ArgumentParser(
    description=__doc__.splitlines()[0], allow_abbrev=False,
    formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument('--epochs', type=int, default=5, help='epochs to train')
args = parser.parse_args()
if args.epochs < 1:
    parser.error(f'argument --epochs: {args.epochs} is too low')

seed_everything(0)
source = SyntheticExposure()[0]
num_users, num_items = source['user'].num_nodes, source['item'].num_nodes
data = ToUndirected()(source)
REV, TOGETHER = ('item', 'rev_interacts', 'user'), ('item', 'together', 'item')
# Items that at least three users share.
user, item = data[EDGE_TYPE].edge_index
bought = torch.zeros(num_users, num_items).index_put_((user, item), torch.ones(()))
shared = bought.t() @ bought
data[TOGETHER].edge_index = (shared.fill_diagonal_(0) >= 3).nonzero().t()

# Of users their items, and of items those bought together with them: no other edges are followed.
sampler = TorchNeighborSampler(data, {REV: [8, 0], TOGETHER: [4, 4]})
loader = LinkLoader(data, sampler, EDGE_TYPE, batch_size=512, shuffle=True,
                    neg_sampling=dict(mode='triplet', amount=16))


class BipartiteSAGE(torch.nn.Module):
    def __init__(self, dim: int = 64):
        super().__init__()
        self.user, self.item = (torch.nn.Embedding(n, dim) for n in (num_users, num_items))
        self.item_conv, self.user_conv = SAGEConv(dim, dim), SAGEConv((dim, dim), dim)

    def forward(self, user, item, edge_index_dict):
        x, own = self.item(item), self.user(user)
        x = x + self.item_conv(x, edge_index_dict[TOGETHER]).relu()
        return own + self.user_conv((x, own), edge_index_dict[REV]), x


model = BipartiteSAGE()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
similarity, criterion = Cosine(temperature=1.), BSL(pos_temperature=0.3, neg_temperature=0.3)

for _ in (bar := tqdm(range(args.epochs))):
    for batch in loader:
        links = Batch.from_link(batch)
        z = Embeddings.from_link(
            links, *model(batch['user'].n_id, batch['item'].n_id, batch.edge_index_dict))
        loss = criterion(*similarity(z, links), links)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    bar.set_postfix(loss=f'{loss.item():.4f}')

with torch.no_grad():
    z = Embeddings(*model(torch.arange(num_users), torch.arange(num_items), data.edge_index_dict))
for name, values in evaluate(z, data, similarity=similarity, k=20).items():
    print(name, {metric: round(value, 4) for metric, value in values.items()})
