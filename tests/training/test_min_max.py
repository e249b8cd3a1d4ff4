import copy

import pytest
import torch

from pyg_advcf import MF, InteractionLoader, LightGCN, MinMaxStep, methods


def make(toy, hardness='embed', **kwargs):
    method = methods.advinfonce(LightGCN(toy, dim=8, num_layers=2), temperature=0.2, k=4,
                                hardness=hardness)
    return MinMaxStep(method, **kwargs), InteractionLoader(toy, 64, 4)


def snapshot(parameters):
    return [p.detach().clone() for p in parameters]


@pytest.mark.parametrize('hardness', ['embed', 'mlp', 'reverse'])
def test_players_move_only_themselves(toy, hardness):
    step, loader = make(toy, hardness)
    ours, theirs = step.updater.parameters, step.adversary_updater.parameters
    assert {id(p) for p in theirs} == {id(p) for p in step.recommender.adversary_parameters()}
    assert {id(p) for p in (*ours, *theirs)} == {id(p) for p in step.recommender.parameters()}
    assert len(ours) == 2 and not {id(p) for p in ours} & {id(p) for p in theirs}
    batch = next(iter(loader))
    step.on_epoch_start(0, loader)
    model, adversary = snapshot(ours), snapshot(theirs)
    step(batch)
    assert all(torch.equal(a, b) for a, b in zip(adversary, theirs))
    assert any(not torch.equal(a, b) for a, b in zip(model, ours))
    assert all(p.grad is None for p in theirs)
    model = snapshot(ours)
    grads = [p.grad.clone() for p in ours]
    step.adversary_pass(loader)
    assert all(torch.equal(a, b) for a, b in zip(model, ours))
    assert all(torch.equal(a, p.grad) for a, p in zip(grads, ours))
    assert any(not torch.equal(a, b) for a, b in zip(adversary, theirs))


@pytest.mark.parametrize('kwargs, rates', [
    ({}, [1e-3, 1e-4]), (dict(lr=0.3, adversary_lr=0.02), [0.3, 0.02])])
def test_each_player_has_its_own_learning_rate(toy, kwargs, rates):
    step, loader = make(toy, **kwargs)
    step.on_epoch_start(0, loader)
    batch, z = next(iter(loader)), step.recommender.backbone()
    moves = []
    for updater, update in ((step.updater, lambda: step(batch)),
                            (step.adversary_updater, lambda: step.adversary_step(batch, z))):
        before = snapshot(updater.parameters)
        update()
        moves.append(max(float((p.detach() - old).abs().max())
                         for p, old in zip(updater.parameters, before)))
    # The first step of Adam is as long as its learning rate.
    assert moves == pytest.approx(rates, rel=0.02)


def test_the_adversary_gains_and_reverse_loses(toy):
    for hardness, sign in (('embed', 1), ('reverse', -1)):
        step, loader = make(toy, hardness, adversary_lr=0.05)
        batch = next(iter(InteractionLoader(toy, 200, 8, seed=3)))
        before = step.recommender(batch).item()
        for _ in range(5):
            step.adversary_pass(loader)
        assert sign * (step.recommender(batch).item() - before) > 0


@pytest.mark.parametrize('kwargs, epochs', [
    ({}, list(range(2, 40, 5))),
    (dict(interval=5, offset=3, max_passes=3), [2, 7, 12]),  # The authors' schedule.
    (dict(interval=15, offset=3, max_passes=2), [12, 27]),
    (dict(interval=5, offset=3, adversary_warmup=7, max_passes=2), [12, 17]),
    (dict(interval=1, offset=0, max_passes=4), [1, 2, 3, 4]),
    (dict(interval=1, offset=0, max_passes=0), []),
    (dict(interval=1, offset=0, max_passes=9, max_kl=1e-12), [1]),
])
def test_schedule(toy, kwargs, epochs):
    step, loader = make(toy, **kwargs)
    taken = [e for e in range(40) if 'adversary_loss' in step.on_epoch_start(e, loader)]
    assert taken == epochs and step.passes == len(epochs)
    # The adversary's warm-up is not one of the recommender, which trains from the start.
    assert step.warmup_epochs == 0


def test_defaults_are_those_of_the_authors(toy):
    step, _ = make(toy)
    assert (step.interval, step.offset, step.adversary_warmup, step.max_passes) == (5, 3, 0, 10)
    assert step.max_kl is None


def test_a_pass_propagates_once(toy, monkeypatch):
    step, loader = make(toy)
    calls = []
    forward = LightGCN.forward
    monkeypatch.setattr(LightGCN, 'forward', lambda *a, **k: calls.append(1) or forward(*a, **k))
    log = step.adversary_pass(loader)
    assert len(calls) == 1
    assert log['kl_uniform_p'] > 0 and log['kl_p_uniform'] > 0


def test_a_pass_logs_the_means_of_its_batches(toy):
    step, loader = make(toy)
    one = step.adversary_step
    losses = []
    step.adversary_step = lambda batch, z: losses.append(one(batch, z)) or losses[-1]
    log = step.adversary_pass(loader)
    assert len(losses) == len(loader) == 4
    for key in ('adversary_loss', 'kl_uniform_p', 'kl_p_uniform'):
        assert log[key] == pytest.approx(sum(float(each[key]) for each in losses) / 4)


@pytest.mark.parametrize('measured, spent', [
    ([3., 2., 0., 0.], True), ([0., 0., 0., 3.], False), ([0., 1., 1., 2.], False)])
def test_the_budget_is_held_against_the_mean_of_the_pass(toy, measured, spent):
    step, loader = make(toy, interval=1, offset=0, max_kl=1.)
    values = iter(measured)
    step.adversary_step = lambda batch, z: {'kl_uniform_p': torch.tensor(next(values))}
    log = step.on_epoch_start(1, loader)
    assert log['kl_uniform_p'] == sum(measured) / 4 and step.spent == spent
    assert step.due(2) != spent


@pytest.mark.parametrize('hardness', ['uniform', 'random', 'buckets', 'popularity'])
def test_a_fixed_hardness_is_no_adversary(toy, hardness):
    with pytest.raises(ValueError, match="'recommender' has no adversary to train: its criterion "
                       'is AdvInfoNCE; use Step'):
        make(toy, hardness)


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
    for a, b in zip(one.recommender.state_dict().values(), two.recommender.state_dict().values()):
        assert torch.equal(a, b)


def test_bad_arguments(toy):
    with pytest.raises(ValueError, match="'recommender' has no adversary to train: its criterion "
                       'is BPR; use Step'):
        MinMaxStep(methods.bpr(MF(toy, dim=8)))
    for kwargs in (dict(interval=0), dict(max_passes=-1), dict(adversary_lr=-1), dict(max_kl=0),
                   dict(offset=-1), dict(adversary_warmup=-1), dict(lr=0)):
        with pytest.raises(ValueError, match=f"'{next(iter(kwargs))}' is"):
            make(toy, **kwargs)


def test_the_divergence_is_the_target_after_every_pass(toy):
    scales = []
    for target in (0.05, 0.3):
        step, loader = make(toy, adversary_lr=0.05, interval=1, offset=0, target_kl=target)
        for epoch in range(1, 5):
            log = step.on_epoch_start(epoch, loader)
            assert log['kl_uniform_p'] == pytest.approx(target, rel=1e-2)
        fresh = torch.stack([-step.recommender.criterion.log_hardness(b).mean() for b in loader])
        # On other negatives of a small graph.
        assert float(fresh.mean()) == pytest.approx(target, rel=0.4)
        scales.append(log['hardness_scale'])
    assert scales[1] > scales[0]  # Monotone in one number.
    with pytest.raises(ValueError, match="'target_kl' is 0"):
        make(toy, target_kl=0)
