import copy

import pytest
import torch

from pyg_advcf import MF, InteractionLoader, LightGCN, Step, methods
from pyg_advcf.transforms import RandomSplit


def test_step_reduces_the_loss(toy):
    step = Step(methods.bpr(MF(toy, dim=8)), lr=0.05)
    batch = next(iter(InteractionLoader(toy, 200)))
    losses = [float(step(batch)) for _ in range(30)]
    assert losses[-1] < losses[0] and not step(batch).requires_grad


def test_returns_the_loss_before_the_update(toy):
    method = methods.bpr(MF(toy, dim=8))
    step, batch = Step(method, lr=0.05), next(iter(InteractionLoader(toy, 200)))
    before = method(batch)
    assert torch.equal(step(batch), before.detach()) and method(batch) < before


def test_another_optimizer(toy):
    method = methods.bpr(MF(toy, dim=8))
    step = Step(method, optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    batch = next(iter(InteractionLoader(toy, 200)))
    before = method.backbone.x.user.detach().clone()
    step(batch)
    assert torch.allclose(method.backbone.x.user,
                          before - 0.1 * method.backbone.user_embedding.weight.grad)


def test_frozen_parameters_stay(toy):
    method = methods.bpr(MF(toy, dim=8))
    method.backbone.item_embedding.weight.requires_grad_(False)
    before = method.backbone.x.item.clone()
    Step(method, lr=0.1)(next(iter(InteractionLoader(toy, 64))))
    assert torch.equal(before, method.backbone.x.item)


def test_the_recommender_hears_of_every_epoch(toy):
    class Listening(methods.Recommender):
        heard = ()

        def on_epoch_start(self, epoch):
            super().on_epoch_start(epoch)
            self.heard = (*self.heard, epoch)

    recommender = Listening(MF(toy, dim=4), methods.bpr(MF(toy, dim=4)).criterion)
    step, loader = Step(recommender), InteractionLoader(toy, 64)
    assert [step.on_epoch_start(epoch, loader) for epoch in range(3)] == [{}] * 3
    assert recommender.heard == (0, 1, 2)


def test_the_warm_up_is_that_of_the_recommender(toy):
    assert Step(methods.bpr(MF(toy, dim=4))).warmup_epochs == 0
    for method in (methods.APR(MF(toy, dim=4), warmup_epochs=3),
                   methods.BC(MF(toy, dim=4), warmup_epochs=3),
                   methods.adaptau(MF(toy, dim=4), warmup_epochs=3),
                   methods.SharpCF(MF(toy, dim=4), warmup_epochs=3),
                   methods.NCL(LightGCN(toy, dim=4), warmup_epochs=3)):
        assert Step(method).warmup_epochs == 3


def test_state_dict_round_trip(toy):
    steps = [Step(methods.bpr(MF(toy, dim=8)), lr=lr) for lr in (0.05, 0.7)]
    one, two = steps
    batches = list(InteractionLoader(toy, 64))
    for batch in batches:
        one(batch)
    two.load_state_dict(copy.deepcopy(one.state_dict()))  # As through a file.
    for step in steps:
        step(batches[0])
    for a, b in zip(one.recommender.state_dict().values(), two.recommender.state_dict().values()):
        assert torch.equal(a, b)
    assert repr(one) == 'Step(Recommender with BPR)'


def test_bad_arguments(toy):
    bpr = methods.bpr(MF(toy, dim=8))
    with pytest.raises(ValueError, match="'lr' is 0"):
        Step(bpr, lr=0)
    with pytest.raises(ValueError, match='has an adversary, which Step would leave at its initial '
                       'weights; use MinMaxStep'):
        Step(methods.advinfonce(MF(toy, dim=8)))
    Step(methods.uniform(MF(toy, dim=8)))  # Has no adversary to train.
    Step(methods.advinfonce(MF(toy, dim=8), hardness='popularity'))
    data = RandomSplit(val=0., outer=0.2, per_user=False)(toy)
    with pytest.raises(ValueError, match='has an outer problem, which Step .*; use BilevelStep'):
        Step(methods.ACCF(MF(data, dim=8), weighting='bilevel'))
    Step(methods.ACCF(MF(data, dim=8), weighting='joint'))
