import torch
from torch.utils.data import DataLoader
from torch_geometric.nn import LightGCN

from pyg_advcf.datasets import SyntheticExposure

data = SyntheticExposure(num_users=500, num_items=300)[0]
num_users, num_items = data['user'].num_nodes, data['item'].num_nodes
user, item = data['user', 'interacts', 'item'].edge_index
train_links = torch.stack([user, num_users + item])
edge_index = torch.cat([train_links, train_links.flip(0)], dim=1)

model = LightGCN(num_users + num_items, embedding_dim=64, num_layers=2)
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
loader = DataLoader(range(train_links.size(1)), shuffle=True, batch_size=1024)

for epoch in range(3):
    total_loss = 0
    for index in loader:
        pos_links = train_links[:, index]
        neg_item = torch.randint(num_users, num_users + num_items, (index.numel(), ))
        links = torch.cat([pos_links, torch.stack([pos_links[0], neg_item])], dim=1)
        optimizer.zero_grad()
        pos_rank, neg_rank = model(edge_index, links).chunk(2)
        loss = model.recommendation_loss(pos_rank, neg_rank, links.unique())
        loss.backward()
        optimizer.step()
        total_loss += float(loss) * index.numel()
    print(f'Epoch {epoch}: loss {total_loss / train_links.size(1):.4f}')
