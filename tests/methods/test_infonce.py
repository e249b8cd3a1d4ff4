import torch
import torch.nn.functional as F

from pyg_advcf import MF, InteractionLoader, methods


def test_loss_equals_the_formula(toy):
    method = methods.InfoNCE(MF(toy, dim=8), toy, temperature=0.3, l2=0.)
    batch = next(iter(InteractionLoader(toy, 32, 5)))
    z = method.backbone()
    items = torch.cat([batch.item.view(-1, 1), batch.neg_item], dim=1)
    logits = F.cosine_similarity(z.user[batch.user].unsqueeze(1), z.item[items], dim=-1) / 0.3
    expected = F.cross_entropy(logits, torch.zeros(32, dtype=torch.long))
    assert torch.allclose(method(batch), expected, atol=1e-5)


def test_in_batch_negatives(toy):
    method = methods.InfoNCE(MF(toy, dim=8), toy, temperature=0.3, l2=0.)
    batch = next(iter(InteractionLoader(toy, 32, negatives='in_batch')))
    z = method.backbone()
    logits = F.normalize(z.user[batch.user]) @ F.normalize(z.item[batch.item]).t() / 0.3
    keep = batch.neg_mask | torch.eye(32, dtype=torch.bool)
    expected = F.cross_entropy(logits.masked_fill(~keep, float('-inf')), torch.arange(32))
    assert torch.allclose(method(batch), expected, atol=1e-5)
