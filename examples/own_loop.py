r"""AdvInfoNCE in PyTorch Geometric's own LightGCN, in a loop of your own: no trainer of ours.

There are two optimizers: one for the model, and one for the adversary. The criterion itself freezes
the hardness in the model's loss, and the scores in the adversary's, so both losses are minimised by
plain ``backward()`` calls.
"""
import argparse

import torch
from torch_geometric import seed_everything
from torch_geometric.nn import LightGCN
from tqdm import tqdm

from pyg_advcf import EDGE_TYPE, Cosine, Embeddings, InteractionLoader, evaluate
from pyg_advcf.criteria import AdvInfoNCE
from pyg_advcf.datasets import SyntheticExposure

parser = argparse.ArgumentParser(
    description=__doc__.splitlines()[0], allow_abbrev=False,
    formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument('--epochs', type=int, default=10, help='epochs to train')
args = parser.parse_args()
if args.epochs < 1:
    parser.error(f'argument --epochs: {args.epochs} is too low')

seed_everything(0)
data = SyntheticExposure()[0]
num_users, num_items = data['user'].num_nodes, data['item'].num_nodes

# PyG's LightGCN numbers all nodes together: users first, then items.
user, item = data[EDGE_TYPE].edge_index
edge_index = torch.stack([torch.cat([user, item + num_users]), torch.cat([item + num_users, user])])

model = LightGCN(num_users + num_items, embedding_dim=64, num_layers=2)
similarity = Cosine(temperature=0.4)
criterion = AdvInfoNCE(num_users, num_items, dim=64, k=64)
loader = InteractionLoader(data, batch_size=1024, num_neg=64)
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
adversary_optimizer = torch.optim.Adam(criterion.parameters(), lr=5e-3)


def embeddings() -> Embeddings:
    return Embeddings(*model.get_embedding(edge_index).split([num_users, num_items]))


for epoch in (bar := tqdm(range(args.epochs))):
    if epoch % 5 == 2:  # Every five epochs the adversary is trained, on fresh negatives.
        with torch.no_grad():
            z = embeddings()
        for batch in loader:
            pos, neg = similarity(z, batch)
            adversary_optimizer.zero_grad()
            criterion.adversary_loss(pos, neg, batch).backward()
            adversary_optimizer.step()

    for batch in loader:
        pos, neg = similarity(embeddings(), batch)
        loss = criterion(pos, neg, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    bar.set_postfix(loss=f'{loss.item():.4f}')

with torch.no_grad():
    z = embeddings()
for split, values in evaluate(z, data, similarity=similarity, k=20).items():
    print(split, {name: round(value, 4) for name, value in values.items()})
