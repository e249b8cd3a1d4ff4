r"""What the tests of methods share."""
import functools

import torch

from pyg_advcf import MF, Embeddings, LightGCN, interaction_data, registry
from pyg_advcf.methods import UnsupportedBackbone
from pyg_advcf.nn import Backbone


class Curved(Backbone):
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


def num_neg(recommender, many):
    r"""How many negatives to draw: one, or ``many`` where the method was published with several."""
    return 1 if recommender.negatives == 'one' else many


def loss_and_grads(method, batch):
    loss = method(batch)
    return loss, *torch.autograd.grad(loss, list(method.parameters()))


def assert_equal(a, b, tolerance=1e-12):
    for x, y in zip(a, b, strict=True):
        assert torch.allclose(x, y, atol=tolerance, rtol=0)
