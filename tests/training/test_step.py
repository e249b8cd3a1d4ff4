import copy

import pytest
import torch

from pyg_advcf import (
    MF,
    BilevelStep,
    InteractionLoader,
    LightGCN,
    MinMaxStep,
    SAMStep,
    Step,
    methods,
)
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


@pytest.mark.parametrize('kind', [Step, MinMaxStep, SAMStep, BilevelStep])
@pytest.mark.parametrize('value', [None, 3, 'bpr', torch.nn.Linear(1, 1)])
def test_what_is_no_recommender(toy, kind, value):
    more = (InteractionLoader(toy, 8), ) if kind is BilevelStep else ()
    with pytest.raises(ValueError, match="'recommender' is .* needs to be a Recommender"):
        kind(value, *more)


@pytest.mark.parametrize('kind, name, values', [
    (Step, 'lr', [0, None, 'x']), (Step, 'optimizer', [3, 'adam']),
    (MinMaxStep, 'lr', [0, None, 'x']), (MinMaxStep, 'adversary_lr', [0, None, 'x']),
    (MinMaxStep, 'interval', [0, 1.5, None]), (MinMaxStep, 'offset', [-1, 1.5, None]),
    (MinMaxStep, 'adversary_warmup', [-1, 1.5, None]), (MinMaxStep, 'max_passes', [-1, 1.5, None]),
    (MinMaxStep, 'max_kl', [0, 'x']), (SAMStep, 'rho', [-1, None, 'x']),
    (SAMStep, 'adaptive', [None, 1, 'x']), (SAMStep, 'warmup_epochs', [-1, 1.5, None]),
    (BilevelStep, 'outer_loader', [None, 3]), (BilevelStep, 'mode', [None, 3, [], 'unroled']),
    (BilevelStep, 'every', [0, 1.5, None]), (BilevelStep, 'lookahead_lr', [-1, 'x']),
    (BilevelStep, 'outer_lr', [0, None, 'x']), (BilevelStep, 'anchor', [-1, [], 'x']),
    (BilevelStep, 'prefer', [None, 3, [], 'eas']), (BilevelStep, 'optimizer', [3]),
])
def test_bad_arguments_of_any_type(toy, kind, name, values):
    data = RandomSplit(val=0., outer=0.1, per_user=False)(toy)
    build = {MinMaxStep: methods.advinfonce, BilevelStep: methods.ACCF}.get(kind, methods.bpr)
    fixed = {'outer_loader': InteractionLoader(data, 8, split='outer')} if (
        kind is BilevelStep) else {}
    for value in values:
        with pytest.raises(ValueError, match=f"'{name}' "):
            kind(build(MF(data, dim=4)), **{**fixed, name: value})


def test_an_outer_loader_of_other_data(toy, toy_factory):
    split = RandomSplit(val=0., outer=0.1, per_user=False)
    method, other = methods.ACCF(MF(split(toy), dim=4)), split(toy_factory(num_users=31))
    with pytest.raises(ValueError, match="'outer_loader' has 31 users, but .* has 30"):
        BilevelStep(method, InteractionLoader(other, 8, split='outer'))
