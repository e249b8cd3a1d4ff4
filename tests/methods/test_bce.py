import torch
import torch.nn.functional as F

from pyg_advcf import MF, InteractionLoader, methods


def test_loss_equals_the_formula(toy):
    method = methods.BCE(MF(toy, dim=8), toy, neg_weight=2., l2=0.)
    batch = next(iter(InteractionLoader(toy, 32)))
    z = method.backbone()
    u, i, j = z.user[batch.user], z.item[batch.item], z.item[batch.neg_item[:, 0]]
    expected = F.softplus(-(u * i).sum(1)) + 2 * F.softplus((u * j).sum(1))
    assert torch.allclose(method(batch), expected.mean(), atol=1e-6)
