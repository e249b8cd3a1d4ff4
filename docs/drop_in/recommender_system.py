import torch
from torch_geometric.loader import LinkLoader
from torch_geometric.nn import SAGEConv, to_hetero
from torch_geometric.transforms import ToUndirected

from pyg_advcf.datasets import SyntheticExposure
from pyg_advcf.loader import TorchNeighborSampler

data = SyntheticExposure(num_users=500, num_items=300)[0]
users, items, edge_type = data['user'], data['item'], ('user', 'interacts', 'item')
data[edge_type].time = torch.randperm(data[edge_type].num_edges)
data = ToUndirected()(data)
loader = LinkLoader(
    data, TorchNeighborSampler(data, [5, 5], time_attr='time'), edge_type,
    edge_label_time=data[edge_type].time, batch_size=256, shuffle=True,
    neg_sampling=dict(mode='binary', amount=2))


class GNN(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = SAGEConv(64, 64), SAGEConv(64, 64)

    def forward(self, x, edge_index):
        return self.conv2(self.conv1(x, edge_index).relu(), edge_index)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.user = torch.nn.Embedding(users.num_nodes, 64)
        self.item = torch.nn.Embedding(items.num_nodes, 64)
        self.gnn = to_hetero(GNN(), data.metadata())

    def embed(self, batch):
        return {'user': self.user(batch['user'].n_id), 'item': self.item(batch['item'].n_id)}

    def forward(self, x_dict, edge_index_dict):
        return self.gnn(x_dict, edge_index_dict)


model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

for epoch in range(2):
    total_loss = 0
    for batch in loader:
        optimizer.zero_grad()
        x_dict = model.embed(batch)
        z_dict = model(x_dict, batch.edge_index_dict)
        row, col = batch[edge_type].edge_label_index
        pred = (z_dict['user'][row] * z_dict['item'][col]).sum(dim=-1)
        loss = torch.nn.BCEWithLogitsLoss()(pred, batch[edge_type].edge_label)
        loss.backward()
        optimizer.step()
        total_loss += float(loss) * batch[edge_type].input_id.numel()
    print(f'Epoch {epoch}: loss {total_loss / data[edge_type].num_edges:.4f}')
