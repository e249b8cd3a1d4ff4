import pytest
import torch

from pyg_advcf import MF, InteractionLoader, LightGCN, MinMaxStep, fit, methods
from pyg_advcf.criteria.advinfonce import HARDNESS


def build(toy, **kwargs):
    torch.manual_seed(0)
    return methods.AdvInfoNCE(LightGCN(toy, dim=8), toy, temperature=0.3, **kwargs)


def test_without_adversary_and_k_one_it_is_infonce(toy):
    batch = next(iter(InteractionLoader(toy, 32, 5)))
    method = build(toy, k=1, hardness='uniform')
    torch.manual_seed(0)
    plain = methods.InfoNCE(LightGCN(toy, dim=8), toy, temperature=0.3)
    assert torch.allclose(method(batch), plain(batch), atol=1e-6)
    torch.manual_seed(0)
    control = methods.UniformAdvInfoNCE(LightGCN(toy, dim=8), toy, temperature=0.3, k=1)
    assert torch.equal(control(batch), method(batch))


def test_the_loss_leaves_the_hardness_frozen(toy):
    batch = next(iter(InteractionLoader(toy, 32, 5)))
    method = build(toy)
    method(batch).backward()
    assert all(p.grad is None for p in method.adversary_parameters())
    assert method.backbone.user_embedding.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('hardness', HARDNESS)
@pytest.mark.parametrize('negatives', ['uniform', 'in_batch'])
def test_every_hardness_trains(toy, hardness, negatives):
    method = build(toy, hardness=hardness)
    loader = InteractionLoader(toy, 64, 5, negatives=negatives)
    history = fit(MinMaxStep(method, interval=1, offset=0, lr=0.01), loader, epochs=6,
                  progress=False)
    assert history.epochs[-1]['loss'] < history.epochs[0]['loss']
    assert ('adversary_loss' in history.epochs[-1]) == method.criterion.learns


def test_adversary_loss_does_not_reach_the_recommender(toy):
    method = methods.AdvInfoNCE(MF(toy, dim=8), toy, hardness='mlp')
    batch = next(iter(InteractionLoader(toy, 32, 5)))
    z = method.similarity.prepare(method.backbone())
    loss, log = method.adversary_loss(batch, z)
    loss.backward()
    assert method.backbone.user_embedding.weight.grad is None
    assert method.backbone.item_embedding.weight.grad is None
    assert set(log) == {'kl_uniform_p', 'kl_p_uniform'}
