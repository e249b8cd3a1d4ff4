import torch
import torch.nn.functional as F

from pyg_advcf import InteractionLoader, LightGCN, methods


def test_loss_equals_the_formula(toy):
    method = methods.BPR(LightGCN(toy, dim=8), toy, l2=0.)
    batch = next(iter(InteractionLoader(toy, 32)))
    z = method.backbone()
    u, i, j = z.user[batch.user], z.item[batch.item], z.item[batch.neg_item[:, 0]]
    assert torch.allclose(method(batch), F.softplus((u * (j - i)).sum(1)).mean(), atol=1e-6)
