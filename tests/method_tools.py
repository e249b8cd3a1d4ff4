r"""What the tests of methods share."""
import torch

from pyg_advcf import (
    MF,
    BilevelStep,
    Embeddings,
    InteractionLoader,
    LightGCN,
    MinMaxStep,
    Step,
)
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

# By `trained_by`: what trains a method with a learning rate.
STEPS = {
    'Step': lambda method, data, lr: Step(method, lr=lr),
    'MinMaxStep': lambda method, data, lr: MinMaxStep(method, lr=lr),
    'BilevelStep': lambda method, data, lr: BilevelStep(
        method, InteractionLoader(data, 16, split='outer'), lr=lr,
    ) if method.second_player() else Step(method, lr=lr),
}


def loss_and_grads(method, batch):
    loss = method(batch)
    return loss, *torch.autograd.grad(loss, list(method.parameters()))


def assert_equal(a, b, tolerance=1e-12):
    for x, y in zip(a, b, strict=True):
        assert torch.allclose(x, y, atol=tolerance, rtol=0)
