import copy

import pytest
import torch

from pyg_advcf import MF, InteractionLoader, LightGCN, MinMaxStep, Step, methods


def make(toy, hardness='embed', **kwargs):
    method = methods.AdvInfoNCE(LightGCN(toy, dim=8, num_layers=2), toy, temperature=0.2, k=4,
                                hardness=hardness)
    return MinMaxStep(method, **kwargs), InteractionLoader(toy, 64, 4)


def snapshot(parameters):
    return [p.detach().clone() for p in parameters]


def test_step_reduces_the_loss(toy):
    step = Step(methods.BPR(MF(toy, dim=8), toy), lr=0.05)
    batch = next(iter(InteractionLoader(toy, 200)))
    losses = [float(step(batch)) for _ in range(30)]
    assert losses[-1] < losses[0] and not step(batch).requires_grad


def test_another_optimizer(toy):
    method = methods.BPR(MF(toy, dim=8), toy)
    step = Step(method, optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    batch = next(iter(InteractionLoader(toy, 200)))
    before = method.backbone.x.user.detach().clone()
    step(batch)
    assert torch.allclose(method.backbone.x.user,
                          before - 0.1 * method.backbone.user_embedding.weight.grad)


def test_players_move_only_themselves(toy):
    step, loader = make(toy)
    batch = next(iter(loader))
    model, adversary = snapshot(step.parameters), snapshot(step.adversary)
    step(batch)
    assert all(torch.equal(a, b) for a, b in zip(adversary, step.adversary))
    assert any(not torch.equal(a, b) for a, b in zip(model, step.parameters))
    assert all(p.grad is None for p in step.adversary)
    model = snapshot(step.parameters)
    grads = [p.grad.clone() for p in step.parameters]
    step.adversary_pass(loader)
    assert all(torch.equal(a, b) for a, b in zip(model, step.parameters))
    assert all(torch.equal(a, p.grad) for a, p in zip(grads, step.parameters))
    assert any(not torch.equal(a, b) for a, b in zip(adversary, step.adversary))


def test_the_adversary_gains_and_reverse_loses(toy):
    for hardness, sign in (('embed', 1), ('reverse', -1)):
        step, loader = make(toy, hardness, adversary_lr=0.05)
        batch = next(iter(InteractionLoader(toy, 200, 8, seed=3)))
        before = step.method(batch).item()
        for _ in range(5):
            step.adversary_pass(loader)
        assert sign * (step.method(batch).item() - before) > 0


@pytest.mark.parametrize('kwargs, epochs', [
    (dict(interval=5, offset=3, max_passes=3), [2, 7, 12]),  # The authors' schedule.
    (dict(interval=15, offset=3, max_passes=2), [12, 27]),
    (dict(interval=5, offset=3, warmup=7, max_passes=2), [12, 17]),
    (dict(interval=1, offset=0, max_passes=4), [1, 2, 3, 4]),
    (dict(interval=1, offset=0, max_passes=0), []),
    (dict(interval=1, offset=0, max_passes=9, max_kl=1e-12), [1]),
])
def test_schedule(toy, kwargs, epochs):
    step, loader = make(toy, **kwargs)
    taken = [e for e in range(40) if 'adversary_loss' in step.on_epoch_start(e, loader)]
    assert taken == epochs and step.passes == len(epochs)


def test_a_pass_propagates_once(toy, monkeypatch):
    step, loader = make(toy)
    calls = []
    forward = LightGCN.forward
    monkeypatch.setattr(LightGCN, 'forward', lambda *a, **k: calls.append(1) or forward(*a, **k))
    log = step.adversary_pass(loader)
    assert len(calls) == 1
    assert log['kl_uniform_p'] > 0 and log['kl_p_uniform'] > 0


def test_fixed_hardness_takes_no_pass(toy):
    step, loader = make(toy, 'uniform', interval=1, offset=0)
    assert all(step.on_epoch_start(e, loader) == {} for e in range(5))
    step(next(iter(loader)))


def test_state_dict_round_trip(toy):
    (one, loader), (two, _) = make(toy, interval=1, offset=0), make(toy, interval=1, offset=0)
    batches = list(loader)
    one.on_epoch_start(1, loader)
    for batch in batches:
        one(batch)
    two.load_state_dict(copy.deepcopy(one.state_dict()))  # As through a file.
    assert two.passes == 1
    loaders = [InteractionLoader(toy, 64, 4, seed=9) for _ in range(2)]
    for step, fresh in zip((one, two), loaders):
        step.on_epoch_start(2, fresh)
        step(batches[0])
    for a, b in zip(one.method.state_dict().values(), two.method.state_dict().values()):
        assert torch.equal(a, b)


def test_frozen_parameters_stay(toy):
    method = methods.BPR(MF(toy, dim=8), toy)
    method.backbone.item_embedding.weight.requires_grad_(False)
    before = method.backbone.x.item.clone()
    Step(method, lr=0.1)(next(iter(InteractionLoader(toy, 64))))
    assert torch.equal(before, method.backbone.x.item)


def test_bad_arguments(toy):
    bpr = methods.BPR(MF(toy, dim=8), toy)
    with pytest.raises(ValueError, match="'method' is BPR, which has no second player; use Step"):
        MinMaxStep(bpr)
    with pytest.raises(ValueError, match="'lr' is 0"):
        Step(bpr, lr=0)
    with pytest.raises(ValueError, match='second player would stay as .*; use MinMaxStep'):
        Step(methods.AdvInfoNCE(MF(toy, dim=8), toy))
    Step(methods.UniformAdvInfoNCE(MF(toy, dim=8), toy))  # Has no second player to train.
    for kwargs in (dict(interval=0), dict(max_passes=-1), dict(adversary_lr=-1), dict(max_kl=0)):
        with pytest.raises(ValueError, match=f"'{next(iter(kwargs))}' is"):
            make(toy, **kwargs)
