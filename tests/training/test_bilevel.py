import copy

import pytest
import torch
from method_tools import Curved, plain_losses

from pyg_advcf import (
    Batch,
    BilevelStep,
    InteractionLoader,
    LightGCN,
    MinMaxStep,
    Step,
    fit,
    methods,
)
from pyg_advcf.criteria import anchored_weights
from pyg_advcf.training import hypergradient, load_safely
from pyg_advcf.training.bilevel import MODES
from pyg_advcf.transforms import RandomSplit


@pytest.fixture
def data(toy):
    return RandomSplit(val=0., outer=0.2, per_user=False)(toy)


def build(data, **kwargs):
    torch.manual_seed(3)
    method = methods.ACCF(LightGCN(data, dim=4, num_layers=2), weighting='bilevel')
    return BilevelStep(method, InteractionLoader(data, 16, seed=5, split='outer'), **kwargs)


@pytest.mark.parametrize('mode', MODES)
def test_a_resumed_run_ends_as_an_unbroken_one(data, tmp_path, mode):
    ends = []
    for stops in ([6], [3, 6]):
        for stop in stops:
            step = build(data, mode=mode, every=3, lr=0.02, outer_lr=0.02)
            fit(step, InteractionLoader(data, 32), epochs=stop, evaluate_every=3, progress=False,
                checkpoint=tmp_path / f'{len(stops)}.pt', resume=True)
        # The last epoch, and not the best one, which may be one before the interruption.
        end = load_safely(tmp_path / f'{len(stops)}.pt', '')['step']
        ends.append([*step.recommender.state_dict().values(), *end['recommender'].values(),
                     end['outer_loader']['generator']])
    for a, b in zip(*ends, strict=True):
        assert torch.equal(a, b)


def test_every_and_the_end_of_the_held_out_pairs(data):
    step = build(data, every=2)
    batch = next(iter(InteractionLoader(data, 32)))
    moved = []
    for _ in range(10):  # 40 held-out pairs in batches of 16: begun anew after three.
        before = [p.detach().clone() for p in step.outer_updater.parameters]
        step(batch)
        moved.append(not all(map(torch.equal, before, step.outer_updater.parameters)))
    assert moved == [True, False] * 5


def test_the_outer_problem_lowers_the_held_out_loss(data):
    # The same two batches over and over: the weights must come to lower the loss one step ahead.
    step = build(data, outer_lr=0.05, lookahead_lr=50.)
    batch, outer = (next(iter(InteractionLoader(data, 64, split=s))) for s in (None, 'outer'))
    values = []
    for _ in range(30):
        found = step.recommender.perturb(batch, outer)
        values.append(float(step.hypergradient(found)[0]))
        step.outer_updater.apply(step.outer_gradient(found))
    assert values[-1] < values[0] - 1e-4


def test_weights_learn_at_the_default_settings(data):
    # Gradients below Adam's epsilon would leave them where they began.
    step, number = build(data), 300
    assert step.lookahead_lr == 1e-3
    loader = InteractionLoader(data, 64)
    batch, network = next(iter(loader)), step.recommender.criterion.network
    start = copy.deepcopy(network)
    while step.steps < number:
        for rows in loader:
            step(rows)
    moved = torch.cat([(p - old).detach().view(-1)
                       for p, old in zip(network.parameters(), start.parameters())])
    assert 0.2 < float(moved.square().mean().sqrt()) / (number * 1e-3) < 1.
    # At the same embeddings, the weights that were learned differ more than those at the start.
    with torch.no_grad():
        found = step.recommender.perturb(batch)
        learned = float(step.recommender.weights(found).std())
        network.load_state_dict(start.state_dict())
        assert learned > 1.2 * float(step.recommender.weights(found).std())


def test_an_update_of_the_weights_depends_neither_on_the_batch_size_nor_on_the_look_ahead(data):
    batch, outer = (next(iter(InteractionLoader(data, 64, split=s))) for s in (None, 'outer'))
    twice = Batch(*(None if t is None else torch.cat([t, t]) for t in batch))
    moves = []
    for rows, lr in ((batch, 1e-3), (twice, 1e-3), (batch, 1e-5), (twice, 1e-4)):
        step = build(data, lookahead_lr=lr)
        step.recommender.double()
        before = [p.detach().clone() for p in step.outer_updater.parameters]
        for _ in range(3):
            step.outer_updater.apply(step.outer_gradient(step.recommender.perturb(rows, outer)))
        moves.append(torch.cat([(p.detach() - old).view(-1)
                                for p, old in zip(step.outer_updater.parameters, before)]))
    for other in moves[1:]:
        assert float((other - moves[0]).norm() / moves[0].norm()) < 0.05


def test_without_a_look_ahead_there_is_nothing_to_learn(data):
    step = build(data, lookahead_lr=0.)
    batch, outer = (next(iter(InteractionLoader(data, 64, split=s))) for s in (None, 'outer'))
    grads = step.outer_gradient(step.recommender.perturb(batch, outer))
    assert all(not g.any() for g in grads)


def test_hypergradients_are_inner_products_of_gradients(data):
    method = methods.ACCF(Curved(data, dim=4), epsilon=0.2).double()
    x, number = list(method.backbone.x), 16
    with torch.no_grad():
        for table in x:
            table.normal_()
    batch, outer = (next(iter(InteractionLoader(data, number, split=s))) for s in (None, 'outer'))
    found = method.perturb(batch, outer)
    each = [torch.autograd.grad(loss, x, retain_graph=True)
            for loss in method.instance_losses(found)]
    weight = method.weights(found).detach()
    ahead = [(t - 0.7 * sum(w * g[side] for w, g in zip(weight, each)) / number).detach()
             .requires_grad_() for side, t in enumerate(x)]
    value = plain_losses([t.tanh() for t in ahead], outer).mean()
    v = torch.autograd.grad(value, ahead)
    expected = torch.stack([-0.7 / number * sum((a * b).sum() for a, b in zip(g, v))
                            for g in each])
    for finite_difference, tolerance in ((False, 1e-12), (True, 1e-5)):
        ahead_loss, slope = hypergradient(method, found, 0.7, finite_difference)
        assert torch.allclose(ahead_loss, value, atol=1e-12)
        assert torch.allclose(slope, expected, atol=tolerance * float(expected.abs().max()))
    assert all(p.grad is None for p in method.parameters())


def test_held_out_pairs_without_a_gradient_move_nothing(data):
    step = build(data)
    batch, outer = (next(iter(InteractionLoader(data, 16, split=s))) for s in (None, 'outer'))
    level = outer._replace(neg_item=outer.item.view(-1, 1))  # Against themselves.
    found = step.recommender.perturb(batch, level)
    for finite_difference in (False, True):
        value, slope = hypergradient(step.recommender, found, 0.7, finite_difference)
        assert float(value) == pytest.approx(0.6931, abs=1e-4) and slope.eq(0).all()


@pytest.mark.parametrize('prefer, sign', [('easy', -1.), ('hard', 1.)])
def test_anchored_weights_reach_their_softmax(prefer, sign):
    losses = torch.tensor([0.1, 0.7, 1.5, 0.4], dtype=torch.float64)
    free = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([free], max_iter=200, tolerance_grad=1e-12,
                                  tolerance_change=1e-14, line_search_fn='strong_wolfe')

    def closure():
        optimizer.zero_grad()
        loss = anchored_weights(free.exp(), losses, anchor=0.5, prefer=prefer)
        loss.backward()
        return loss

    optimizer.step(closure)
    expected = torch.softmax(sign * losses / 0.5, dim=0)
    assert torch.allclose(free.detach().softmax(0), expected, atol=1e-6)


@pytest.mark.parametrize('mode', ['unrolled', 'finite_difference'])
@pytest.mark.parametrize('anchor', [0.5, 3.])
def test_the_anchored_update_is_the_gradient_of_its_objective(data, mode, anchor):
    step = build(data, mode=mode, anchor=anchor)
    batch, outer = (next(iter(InteractionLoader(data, 64, split=s))) for s in (None, 'outer'))
    found = step.recommender.perturb(batch, outer)
    _, slope = step.hypergradient(found)
    weights = step.recommender.weights(found)
    objective = sum(w * h / slope.pow(2).mean().sqrt() + anchor * w * w.log()
                    for w, h in zip(weights, slope))
    expected = torch.autograd.grad(objective, step.outer_updater.parameters)
    for a, b in zip(step.outer_gradient(found), expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-6)


def test_an_anchor_holds_the_weights_together(data):
    def spread(**kwargs):
        step = build(data, outer_lr=0.05, **kwargs)
        batch, outer = (next(iter(InteractionLoader(data, 64, split=s))) for s in (None, 'outer'))
        for _ in range(60):
            found = step.recommender.perturb(batch, outer)
            step.outer_updater.apply(step.outer_gradient(found))
        return float(step.recommender.weights(found).detach().std())

    spreads = [spread(), spread(anchor=0.), spread(anchor=1.), spread(anchor=100.)]
    assert spreads[0] == spreads[1] > 1.5 * spreads[2] and spreads[2] > 5 * spreads[3]
    # The free optimum is exp(-h), whose spread is about that of h: 1.
    assert 0.3 < spreads[2] < 2


def test_bad_arguments(data):
    method = build(data).recommender
    with pytest.raises(ValueError, match='RandomSplit'):
        BilevelStep(method, InteractionLoader(data))
    with pytest.raises(ValueError, match="Did you mean 'unrolled'"):
        build(data, mode='unroled')
    for kwargs in ({'every': 0}, {'outer_lr': 0}, {'anchor': -1}, {'anchor': float('nan')},
                   {'anchor': 0, 'mode': 'alternating'}):
        with pytest.raises(ValueError, match=f"'{next(iter(kwargs))}' is"):
            build(data, **kwargs)
    plain = methods.ACCF(LightGCN(data, dim=4), weighting='none')
    with pytest.raises(ValueError, match="'recommender' is ACCF, which learns no weights"):
        BilevelStep(plain, InteractionLoader(data, split='outer'))
    Step(plain)
    with pytest.raises(ValueError, match="'recommender' has no adversary to train"):
        MinMaxStep(method)
    with pytest.raises(ValueError, match="'prefer' is 'soft'"):
        anchored_weights(torch.ones(2), torch.ones(2), prefer='soft')
