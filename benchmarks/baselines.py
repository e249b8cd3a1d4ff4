r"""What the library is measured against: PyTorch Geometric's own path, and plain torch."""
import torch
import torch.nn.functional as F
from torch_geometric.nn import LightGCN as PyGLightGCN

from pyg_advcf import EDGE_TYPE


def infonce(pos, neg):
    return F.softplus(torch.logsumexp(neg, 1) - pos).mean()


class PyGStep:
    r"""The training step of PyG's LightGCN example."""
    def __init__(self, data, num_layers, dim):
        self.num_users, num_items = data['user'].num_nodes, data['item'].num_nodes
        user, item = data[EDGE_TYPE].edge_index
        item = item + self.num_users
        self.edge_index = torch.stack([torch.cat([user, item]), torch.cat([item, user])])
        self.model = PyGLightGCN(self.num_users + num_items, dim, num_layers)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def __call__(self, batch):
        items = torch.cat([batch.item, batch.neg_item[:, 0]]) + self.num_users
        label_index = torch.stack([batch.user.repeat(2), items])
        self.optimizer.zero_grad()
        pos, neg = self.model(self.edge_index, label_index).chunk(2)
        self.model.recommendation_loss(pos, neg, node_id=label_index.unique()).backward()
        self.optimizer.step()

    def evaluate(self, data, k=20, batch_size=8192):
        r"""The evaluation loop of the example: precision and recall."""
        (user, item), test = data[EDGE_TYPE].edge_index, data[EDGE_TYPE].test_edge_label_index
        with torch.no_grad():
            emb = self.model.get_embedding(self.edge_index)
        user_emb, item_emb = emb[:self.num_users], emb[self.num_users:]
        precision = recall = total = 0
        for start in range(0, self.num_users, batch_size):
            end = start + batch_size
            logits, mask = user_emb[start:end] @ item_emb.t(), (user >= start) & (user < end)
            logits[user[mask] - start, item[mask]] = float('-inf')
            truth = torch.zeros_like(logits, dtype=torch.bool)
            mask = (test[0] >= start) & (test[0] < end)
            truth[test[0][mask] - start, test[1][mask]] = True
            count = torch.bincount(test[0][mask] - start, minlength=logits.size(0))
            hits = truth.gather(1, logits.topk(k, dim=-1).indices)
            precision += float((hits.sum(-1) / k).sum())
            recall += float((hits.sum(-1) / count.clamp(min=1e-6)).sum())
            total += int((count > 0).sum())
        return precision / total, recall / total


class CSRStep:
    r"""Two cached CSR products a layer, with plain autograd."""
    def __init__(self, data, num_layers, dim):
        n, m = data['user'].num_nodes, data['item'].num_nodes
        user, item = data[EDGE_TYPE].edge_index
        degree = torch.bincount(user, minlength=n), torch.bincount(item, minlength=m)
        value = (degree[0][user] * degree[1][item]).float().rsqrt()
        matrix = torch.sparse_coo_tensor(torch.stack([user, item]), value, (n, m)).coalesce()
        self.forward_matrix = matrix.to_sparse_csr()
        self.backward_matrix = matrix.t().to_sparse_csr()
        self.user, self.item = (torch.nn.Embedding(size, dim) for size in (n, m))
        self.num_layers = num_layers
        self.parameters = [self.user.weight, self.item.weight]
        self.optimizer = torch.optim.Adam(self.parameters, lr=1e-3)

    def embeddings(self):
        user, item = self.parameters
        layers = [(user, item)]
        for _ in range(self.num_layers):
            user, item = self.forward_matrix @ item, self.backward_matrix @ user
            layers.append((user, item))
        return (torch.stack(side).mean(0) for side in zip(*layers))

    def __call__(self, batch):
        self.optimizer.zero_grad()
        self.loss(batch).backward()
        self.optimizer.step()

    def loss(self, batch):
        r"""BPR with the L2 term of the batch."""
        user, item = self.embeddings()
        u, i, j = user[batch.user], item[batch.item], item[batch.neg_item[:, 0]]
        tables = self.user.weight, self.item.weight, self.item.weight
        ids = batch.user, batch.item, batch.neg_item[:, 0]
        reg = sum(table[index].square().sum() for table, index in zip(tables, ids))
        return F.softplus((u * (j - i)).sum(1)).mean() + 1e-4 * reg / (2 * batch.user.numel())


def plain_scores(tables, batch, temperature):
    r"""Cosines of sampled pairs: gather, normalise, multiply."""
    u, i, j = (F.normalize(table[index], dim=-1) for table, index in zip(
        (tables[0], tables[1], tables[1]), batch[:3]))
    return (u * i).sum(-1) / temperature, torch.einsum('bd,bnd->bn', u, j) / temperature


class PlainInfoNCEStep(CSRStep):
    r"""InfoNCE on gathered, normalised rows over two cached CSR products a layer."""
    def loss(self, batch):
        loss = infonce(*plain_scores(list(self.embeddings()), batch, 0.1))
        rows = self.user.weight[batch.user], self.item.weight[batch.item]
        return loss + 1e-5 * sum(e.square().sum() for e in rows) / (2 * batch.user.numel())
