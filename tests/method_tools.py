r"""What the tests of methods share."""
import functools

import torch
import torch.nn.functional as F

from pyg_advcf import EDGE_TYPE, MF, Embeddings, LightGCN, interaction_data, registry
from pyg_advcf.methods import UnsupportedBackbone
from pyg_advcf.nn import TableBackbone


class Curved(TableBackbone):
    r"""A backbone that is not linear."""
    def forward(self, graph=None, x=None):
        x = self.x if x is None else x
        return Embeddings(x.user.tanh(), x.item.tanh())


BACKBONES = {
    'mf': lambda data: MF(data, dim=4),
    'lightgcn': lambda data: LightGCN(data, dim=4, num_layers=2),
    'curved': lambda data: Curved(data, dim=4),
}


def tiny():
    r"""Six users in a row, each with two items of their own neighbourhood."""
    user = torch.arange(6)
    return interaction_data(torch.stack([user.repeat(2), torch.cat([user, user + 1])]), 6, 7)


@functools.cache
def supports(backbone, method):
    r"""Whether the method of that name can be built over the backbone of that name."""
    try:
        registry.METHODS[method](registry.BACKBONES[backbone](tiny(), dim=4))
    except UnsupportedBackbone:
        return False
    return True


# All combinations that work, by name.
PAIRS = [(backbone, method) for backbone in registry.BACKBONES for method in registry.METHODS
         if supports(backbone, method)]


# Independent of the library: plain autograd on a dense matrix, and loops.
def propagation(data):
    r"""The normalised adjacency of users and items as a dense matrix."""
    user, item = data[EDGE_TYPE].edge_index.long()
    n, m = data['user'].num_nodes, data['item'].num_nodes
    a = torch.zeros(n + m, n + m, dtype=torch.float64)
    a[user, n + item] = a[n + item, user] = 1.
    scale = a.sum(1).clamp(min=1.).rsqrt()
    return scale.view(-1, 1) * a * scale


def dense_layers(data, x, num_layers=2):
    r"""Tables and propagated tables of users and items, by hand."""
    a, h, sizes = propagation(data), torch.cat(list(x)), [t.size(0) for t in x]
    found = [h]
    for _ in range(num_layers):
        found.append(a @ found[-1])
    return [tuple(h.split(sizes)) for h in found]


def dense(name, data, x, scale=None):
    r"""What the backbone of that name makes of the tables ``x``, by hand: users and items."""
    if name == 'lightgcn':
        return tuple(sum(side) / 3 for side in zip(*dense_layers(data, x)))
    if name in ('curved', 'scaled'):
        return tuple((1. if scale is None else scale) * t.tanh() for t in x)
    assert name == 'mf'
    return tuple(x)


def plain_losses(z, batch):
    r"""BPR of every row, with the first negative."""
    user, item = z
    u, i, j = user[batch.user], item[batch.item], item[batch.neg_item[:, 0]]
    return F.softplus((u * j).sum(1) - (u * i).sum(1))


def shifts(grads, epsilon, norm):
    r"""The fast gradient step of both tables."""
    if norm == 'sign':
        return [epsilon * g.sign() for g in grads]
    if norm == 'global':
        length = sum(g.square().sum() for g in grads).sqrt()
        return [epsilon * g / length for g in grads]
    lengths = [g.square().sum(1, keepdim=True).sqrt() for g in grads]
    return [epsilon * g / torch.where(n > 0, n, 1.) for g, n in zip(grads, lengths)]


def view_contrast(views, others, batch, temperature, scope='batch'):
    r"""InfoNCE between two views of the batch's users and of its items, a row at a time."""
    total = 0.
    for a, b, ids in zip(views, others, (batch.user, batch.item)):
        ids = sorted(set(ids.tolist()))
        candidates = range(b.size(0)) if scope == 'all' else ids
        unit = torch.stack([b[v] / b[v].norm() for v in candidates])
        for k in ids:
            scores = (unit @ a[k] / a[k].norm() / temperature).exp()
            own = list(candidates).index(k)
            total = total - (scores[own] / scores.sum()).log() / len(ids)
    return total


def num_neg(recommender, many):
    r"""How many negatives to draw: one, or ``many`` where the method was published with several."""
    return 1 if recommender.negatives == 'one' else many


def loss_and_grads(method, batch):
    loss = method(batch)
    return loss, *torch.autograd.grad(loss, list(method.parameters()))


def assert_equal(a, b, tolerance=1e-12):
    for x, y in zip(a, b, strict=True):
        assert torch.allclose(x, y, atol=tolerance, rtol=0)
