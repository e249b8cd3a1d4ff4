import math
import re

import pytest
import torch
from torch import nn

from pyg_advcf import (
    MF,
    BilevelStep,
    InteractionLoader,
    LightGCN,
    MinMaxStep,
    Recommender,
    SAMStep,
    Step,
    criteria,
    fit,
    methods,
)
from pyg_advcf.training.divergence import EpochStart, _Watch, broken_parameter
from pyg_advcf.transforms import RandomSplit


class _Spoilt(torch.autograd.Function):
    r"""The identity, with a gradient that is not finite."""
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * math.inf


class Breaks(Recommender):
    r"""Breaks once, at a step that its state counts."""
    def __init__(self, backbone, at, how):
        super().__init__(backbone, criteria.BPR(), l2=1e-4)
        self.register_buffer('calls', torch.zeros((), dtype=torch.long))
        self.at, self.how = at, how

    def forward(self, batch):
        self.calls += 1
        loss = super().forward(batch)
        if int(self.calls) != self.at + 1:
            return loss
        if self.how == 'gradient':
            return loss + 0 * _Spoilt.apply(self.backbone.item_embedding.weight).sum()
        return loss * math.nan


def error_of(step, loader, **kwargs):
    kwargs = {'epochs': 50, 'evaluate': lambda: {'recall@20': 0.}, 'progress': False, **kwargs}
    with pytest.raises(FloatingPointError) as info:
        fit(step, loader, **kwargs)
    return str(info.value)


@pytest.mark.parametrize('at', [0, 2, 3, 7])  # Four steps an epoch: its first, middle and last.
@pytest.mark.parametrize('how, what', [
    ('loss', 'the loss'), ('gradient', "the gradient of 'backbone.item_embedding.weight'")])
def test_the_first_tensor_its_kind_and_its_step(toy, at, how, what):
    step, loader = Step(Breaks(MF(toy, dim=8), at, how)), InteractionLoader(toy, 64)
    text = error_of(step, loader)
    assert (f'training of Breaks with BPR diverged in step {at % 4} of epoch {at // 4}: the first '
            f'tensor that is not finite is {what}; ') in text
    assert 'repetition' not in text and text.endswith('temperature')


def test_parameters_that_break_in_the_last_step_of_an_epoch(toy):
    r"""All losses are finite, and the next epoch would begin from nothing."""
    class Jumps(torch.optim.SGD):
        def step(self, closure=None):
            state = self.state.setdefault(self.param_groups[0]['params'][0], {})
            state['count'] = state.get('count', 0) + 1
            super().step(closure)
            if state['count'] == 4:
                self.param_groups[0]['params'][1].data[3, 1] = math.inf

    step = Step(methods.bpr(MF(toy, dim=8)), optimizer=lambda p: Jumps(p, lr=0.1))
    text = error_of(step, InteractionLoader(toy, 64))
    assert ("in step 3 of epoch 0: the first tensor that is not finite is the parameter "
            "'backbone.item_embedding.weight'; the parameter 'backbone.item_embedding.weight' is "
            "not finite at the end of epoch 0") in text


@pytest.mark.parametrize('build, make', [
    (methods.bpr, lambda m: Step(m, optimizer=lambda p: torch.optim.SGD(p, lr=1e30))),
    (methods.bpr, lambda m: SAMStep(m, optimizer=lambda p: torch.optim.SGD(p, lr=1e30))),
    (methods.infonce, lambda m: Step(m, optimizer=lambda p: torch.optim.SGD(p, lr=1e38))),
    (lambda b: methods.bpr(b, l2=1.), lambda m: Step(m, lr=1e30)),
], ids=['bpr', 'sam', 'infonce', 'l2'])
def test_too_large_a_learning_rate(toy, build, make):
    r"""The step before is the last that was all finite, by a count of our own."""
    torch.manual_seed(0)
    step, loader = make(build(LightGCN(toy, dim=4))), InteractionLoader(toy, 64, seed=1)
    text = error_of(step, loader)
    number, epoch = map(int, re.search(r'diverged in step (\d+) of epoch (\d+)', text).groups())
    assert 'repetition' not in text
    torch.manual_seed(0)
    step, loader = make(build(LightGCN(toy, dim=4))), InteractionLoader(toy, 64, seed=1)
    for turn in range(epoch + 1):
        step.on_epoch_start(turn, loader)
        step.recommender.train()
        for place, batch in enumerate(loader):
            loss = step(batch)
            good = bool(loss.isfinite()) and broken_parameter(step.recommender) is None
            if not good:
                assert (turn, place) == (epoch, number)
                return
    pytest.fail('all steps were finite')


def test_outputs_before_the_loss_are_named(toy):
    class Hot(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer('calls', torch.zeros(()))

        def forward(self, pos, neg, batch):
            self.calls += 1
            return (pos - neg[:, 0]).exp().mean()

    method = Recommender(MF(toy, dim=4), Hot())
    step = Step(method, optimizer=lambda p: torch.optim.SGD(p, lr=1e25))
    text = error_of(step, InteractionLoader(toy, 64))
    assert re.search(r"first tensor that is not finite is an output of '(similarity|criterion)', "
                     r'followed by the loss; the loss is (inf|nan) in step \d', text)


def test_excluded_scores_are_no_fault(toy):
    class Late(Breaks):
        pass

    step = Step(Late(MF(toy, dim=4), 3, 'loss'))
    loader = InteractionLoader(toy, 64, negatives='in_batch')  # Its scores are minus infinity.
    assert 'in step 3 of epoch 0: the first tensor that is not finite is the loss;' in error_of(
        step, loader)


def test_the_pass_of_an_adversary(toy):
    method = methods.advinfonce(LightGCN(toy, dim=4), temperature=0.2)
    step = MinMaxStep(method, lr=1e-3, adversary_lr=1e38, interval=1, offset=0)
    text = error_of(step, InteractionLoader(toy, 64, 4))
    assert re.search(r"between the epochs, before epoch \d: the first tensor that is not finite is",
                     text)
    assert 'repetition' not in text


def test_weights_of_instances(toy):
    data = RandomSplit(val=0., outer=0.1, per_user=False)(toy)
    step = BilevelStep(methods.ACCF(MF(data, dim=4)), InteractionLoader(data, 8, split='outer'),
                       lr=1e30)
    text = error_of(step, InteractionLoader(data, 64))
    assert re.search(r'in step \d of epoch 0: the first tensor that is not finite is', text)
    assert 'repetition' not in text


def test_parameters_that_were_not_finite_before(toy):
    method = methods.bpr(MF(toy, dim=4))
    method.backbone.user_embedding.weight.data[0] = math.nan
    text = error_of(method, InteractionLoader(toy, 64))
    assert "before epoch 0: the parameter 'backbone.user_embedding.weight' is not finite" in text


def test_a_step_that_cannot_say_its_state(toy):
    class Own(Step):
        def state_dict(self):
            raise NotImplementedError

    text = error_of(Own(Breaks(MF(toy, dim=4), 2, 'loss')), InteractionLoader(toy, 64))
    assert ('diverged: the loss is nan in step 2 of epoch 0; which tensor was the first is not '
            'known: its state at the start of the epoch could not be copied; lower') in text


def test_a_step_that_cannot_go_back(toy):
    class Own(Step):
        def load_state_dict(self, state):
            raise KeyError('mine')

    text = error_of(Own(Breaks(MF(toy, dim=4), 2, 'loss')), InteractionLoader(toy, 64))
    assert "not known: a repetition of the epoch failed (KeyError: 'mine'); lower" in text


def test_nothing_is_left_behind(toy):
    step, loader = Step(Breaks(MF(toy, dim=4), 2, 'loss')), InteractionLoader(toy, 64)
    error_of(step, loader)
    assert 'backward' not in vars(step.updater)
    assert not any(m._forward_hooks for m in step.recommender.modules())
    assert not step.updater.optimizer._optimizer_step_pre_hooks


def test_a_run_that_does_not_diverge_is_the_same_as_without_the_copy(toy, monkeypatch):
    ends = []
    for keep in (True, False):
        if not keep:
            monkeypatch.setattr(EpochStart, 'keep', lambda *args: None)
        torch.manual_seed(0)
        method = methods.advinfonce(LightGCN(toy, dim=4), temperature=0.2)
        fit(method, InteractionLoader(toy, 64, 4), epochs=8, progress=False)
        ends.append(method.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(*(end.values() for end in ends)))


def test_the_copy_is_one_of_everything_and_uses_its_memory_again(toy):
    method = methods.SharpCF(MF(toy, dim=4), warmup_epochs=2)
    step, loader, start = Step(method), InteractionLoader(toy, 64), EpochStart()
    places, tables = [], []
    for epoch in range(4):
        start.keep(step, loader)
        kept = start.state['step']['recommender']['backbone.user_embedding.weight']
        assert torch.equal(kept, method.backbone.x.user) and kept is not method.backbone.x.user
        places.append(kept.data_ptr())
        tables.append(kept.clone())
        step.on_epoch_start(epoch, loader)
        for batch in loader:
            step(batch)
        assert torch.equal(kept, tables[-1])
    assert len(set(places)) == 1 and not torch.equal(tables[0], tables[3])
    before = step.state_dict()['optimizer']['state'][0]['exp_avg'].clone()
    kept = start.state['step']['optimizer']['state'][0]['exp_avg'].clone()
    start.restore(step, loader)
    now = step.state_dict()['optimizer']['state'][0]['exp_avg']
    assert torch.equal(now, kept) and not torch.equal(now, before)


def test_parameters_are_looked_at_in_every_form():
    module = nn.Module()
    module.empty = nn.Parameter(torch.empty(0, 4))
    module.narrow = nn.Parameter(torch.full((2, ), 6e4, dtype=torch.float16))
    module.wide = nn.Parameter(torch.full((2, ), 1e300, dtype=torch.float64))
    module.ids = nn.Parameter(torch.ones(3, dtype=torch.long), requires_grad=False)
    assert broken_parameter(module) is None and broken_parameter(nn.Module()) is None
    for bad in (math.nan, math.inf, -math.inf):
        module.wide.data[1] = bad
        assert broken_parameter(module) == 'wide'


def test_names_of_what_is_not_of_the_recommender(toy):
    other, step = nn.Parameter(torch.zeros(2, 3)), Step(methods.bpr(MF(toy, dim=4)))
    own = step.recommender.backbone.user_embedding.weight
    for p, name in ((other, 'a parameter of shape [2, 3]'),
                    (own, "'backbone.user_embedding.weight'")):
        watch = _Watch(step)
        p.grad = torch.full_like(p, math.inf)
        watch.gradient(p)
        assert watch.found == f'the gradient of {name}'
        watch = _Watch(step)
        p.data.fill_(math.nan)
        watch.parameter(p)
        assert watch.found == (name if p is other else f'the parameter {name}')
