import copy

import pytest
import torch
import torch.nn.functional as F

from pyg_advcf import MF, InteractionLoader, LightGCN, Step, fit, methods
from pyg_advcf.training import SAMStep


def train(step, loader, epochs, start=0):
    for epoch in range(start, start + epochs):
        step.on_epoch_start(epoch, loader)
        for batch in loader:
            step(batch)


def parts(method):
    return [[p.detach().clone() for p in part.parameters()]
            for part in (method.backbone, method.criterion.branch)]


def same(a, b):
    return [torch.equal(x, y) for x, y in zip(a, b)]


@pytest.mark.parametrize('kind', [Step, SAMStep])
@pytest.mark.parametrize('backbone', [MF, LightGCN])
def test_the_branch_learns_first_and_then_stands_still(toy, backbone, kind):
    method = methods.BC(backbone(toy, dim=8), warmup_epochs=2)
    step, loader = kind(method, lr=0.05), InteractionLoader(toy, 64, 4)
    backbone_before, branch_before = parts(method)
    train(step, loader, 2)
    backbone_warm, branch_warm = parts(method)
    assert all(same(backbone_before, backbone_warm)) and not any(same(branch_before, branch_warm))
    assert step.updater.optimizer.state[method.criterion.branch.user.weight]['exp_avg'].ne(0).any()
    train(step, loader, 3, start=2)
    backbone_after, branch_after = parts(method)
    # Not by one bit, though Adam still holds the momentum of the branch.
    assert all(same(branch_warm, branch_after)) and not any(same(backbone_warm, backbone_after))


def test_the_branch_stands_still_where_gradients_are_zeroed(toy):
    method = methods.BC(MF(toy, dim=8), warmup_epochs=1)
    optimizer = torch.optim.AdamW(method.parameters(), lr=0.05, weight_decay=0.1)
    for epoch in range(3):
        method.on_epoch_start(epoch)
        for batch in InteractionLoader(toy, 64, 4):
            optimizer.zero_grad(set_to_none=False)
            method(batch).backward()
            optimizer.step()
        if epoch == 0:
            _, warm = parts(method)
    assert all(same(warm, parts(method)[1]))


def test_the_branch_predicts_popularity(toy):
    method = methods.BC(MF(toy, dim=8), warmup_epochs=30)
    step, loader = Step(method, lr=0.05), InteractionLoader(toy, 64, 4)
    batch = next(iter(loader))
    before = float(method.criterion.branch_loss(batch).detach())
    train(step, loader, 30)
    assert float(method.criterion.branch_loss(batch).detach()) < before


def test_weights_of_both_losses(toy):
    method = methods.BC(MF(toy, dim=8), weight=0.2, warmup_epochs=1, l2=0.)
    batch = next(iter(InteractionLoader(toy, 64, 4)))
    method.on_epoch_start(0)
    assert torch.allclose(method(batch), 0.2 * method.criterion.branch_loss(batch))
    method.on_epoch_start(1)
    pos, neg = method.similarity(method.backbone(), batch)
    assert torch.allclose(method(batch), 0.8 * method.criterion(pos, neg, batch), atol=1e-6)


@pytest.mark.parametrize('size', [(30, 40), (300, 400)], ids=['all rows', 'few rows'])
@pytest.mark.parametrize('backbone', [MF, LightGCN])
def test_is_the_criterion_on_the_cosines(toy_factory, backbone, size):
    data = toy_factory(*size, 5 * size[0], held_out=False)
    method = methods.BC(backbone(data, dim=8), l2=0.)
    method.on_epoch_start(100)
    batch = next(iter(InteractionLoader(data, 20, 4, sampler='user')))
    z = method.backbone()
    ids = torch.cat([batch.item.view(-1, 1), batch.neg_item], dim=1)
    scores = F.cosine_similarity(z.user[batch.user].unsqueeze(1), z.item[ids], dim=-1)
    expected = method.criterion(scores[:, 0], scores[:, 1:], batch) / 2
    found = method(batch)
    assert torch.allclose(found, expected, atol=1e-5)
    for a, b in zip(torch.autograd.grad(found, tuple(method.backbone.x)),
                    torch.autograd.grad(expected, tuple(method.backbone.x))):
        assert torch.allclose(a, b, atol=1e-5)


def test_training_has_to_outlast_the_warm_up(toy):
    method = methods.BC(MF(toy, dim=8), warmup_epochs=3)
    with pytest.raises(ValueError, match="'epochs' is 3, but the warm-up of .* takes 3 epochs"):
        fit(method, InteractionLoader(toy, 64, 4), epochs=3, progress=False)
    history = fit(method, InteractionLoader(toy, 64, 4), epochs=4, evaluate_every=1,
                  progress=False)
    assert history.best_epoch == 3


def test_without_warmup_the_branch_is_as_it_was_drawn(toy):
    method = methods.BC(MF(toy, dim=8), warmup_epochs=0)
    branch = copy.deepcopy(method.criterion.branch)
    fit(Step(method), InteractionLoader(toy, 64, 4), epochs=2, progress=False)
    assert torch.equal(branch.item.weight, method.criterion.branch.item.weight)


@pytest.mark.parametrize('weight', [0., 1.])
def test_bad_arguments(toy, weight):
    with pytest.raises(ValueError, match=f"'weight' is {weight}"):
        methods.BC(MF(toy, dim=8), weight=weight)
    with pytest.raises(ValueError, match="'warmup_epochs' is -1"):
        methods.BC(MF(toy, dim=8), warmup_epochs=-1)
