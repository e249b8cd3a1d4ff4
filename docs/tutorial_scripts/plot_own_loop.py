r"""
A criterion of ours in PyG's own LightGCN
=========================================

PyTorch Geometric's example trains :class:`torch_geometric.nn.LightGCN` with BPR: one negative per
positive, on dot products. Here the same model, in the same kind of loop, gets InfoNCE with 64
negatives in place of its loss. Nothing of this library's training code is used: a criterion takes
scores and gives a loss.
"""
# %%
# The data are synthetic, with a held-out test set of the training distribution and one whose
# exposure was uniform (:class:`~pyg_advcf.datasets.SyntheticExposure`).
import matplotlib.pyplot as plt
import torch
from torch_geometric import seed_everything
from torch_geometric.nn import LightGCN

from pyg_advcf import EDGE_TYPE, Cosine, Dot, Embeddings, InteractionLoader, evaluate
from pyg_advcf.criteria import BPR, InfoNCE
from pyg_advcf.datasets import SyntheticExposure

data = SyntheticExposure(num_users=1000, num_items=400)[0]
print(data)

# %%
# PyG's model numbers all nodes together, users first, and wants both directions of every edge.
num_users, num_items = data['user'].num_nodes, data['item'].num_nodes
user, item = data[EDGE_TYPE].edge_index
edge_index = torch.stack([torch.cat([user, item + num_users]), torch.cat([item + num_users, user])])


def embeddings(model):
    return Embeddings(*model.get_embedding(edge_index).split([num_users, num_items]))


# %%
# The loop. ``similarity`` turns embeddings and a batch into scores ``pos [B]`` and ``neg [B, N]``,
# ``criterion`` turns scores into a loss. The same ``similarity`` ranks at evaluation: a model
# trained on cosines and ranked by dot products is another model.
def train(criterion, similarity, num_neg, epochs=40):
    seed_everything(0)
    model = LightGCN(num_users + num_items, embedding_dim=64, num_layers=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loader = InteractionLoader(data, batch_size=1024, num_neg=num_neg)
    curve = []
    for epoch in range(epochs):
        for batch in loader:
            optimizer.zero_grad()
            pos, neg = similarity(embeddings(model), batch)
            criterion(pos, neg, batch).backward()
            optimizer.step()
        if epoch % 4 == 3:
            with torch.no_grad():
                z = embeddings(model)
            result = evaluate(z, data, ['val', 'test_ood'], k=20, similarity=similarity)
            curve.append((epoch + 1, result['val']['recall@20'], result['test_ood']['recall@20']))
    return curve


curves = {
    'BPR, 1 negative, dot': train(BPR(), Dot(), 1),
    'InfoNCE, 64 negatives, cosine / 0.2': train(InfoNCE(), Cosine(0.2), 64),
    'InfoNCE, 64 negatives, cosine / 0.5': train(InfoNCE(), Cosine(0.5), 64),
}

# %%
# Two things to take away. The temperature is a hyper-parameter of the first order: it decides how
# much the hardest negatives weigh. And the two panels do not rank the losses alike: what fits the
# exposure of the training data best is not what ranks best when every item had the same chance of
# being seen. Choose by the validation set that you have, and report both.
fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout='constrained', sharex=True)
for label, curve in curves.items():
    epoch, val, ood = zip(*curve)
    axes[0].plot(epoch, val, marker='o', label=label)
    axes[1].plot(epoch, ood, marker='o', label=label)
axes[0].set_title('validation (the exposure of training)')
axes[1].set_title('test, uniform exposure')
for ax in axes:
    ax.set_xlabel('epoch')
    ax.set_ylabel('Recall@20')
axes[0].legend(fontsize='small')
plt.show()
