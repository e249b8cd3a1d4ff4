r"""What holds for every method over every backbone."""
import copy
import inspect

import pytest
import torch

from pyg_advcf import (
    EDGE_TYPE,
    InteractionLoader,
    MinMaxStep,
    Step,
    evaluate,
    fit,
    interaction_data,
)
from pyg_advcf.methods import AdversarialRecommender
from pyg_advcf.registry import BACKBONES, METHODS
from pyg_advcf.training import load_safely, save_atomically

PAIRS = [(b, m) for b in BACKBONES for m in METHODS
         if b != 'mf' or not METHODS[m].needs_layers]


SETTINGS = {
    'adaptau': {'warmup': 2},
    'apr': {'epsilon': 0.1},  # The published shift is too large for embeddings this small.
    'bsl': {'pos_temperature': 1.},  # A low one is content with one good positive of a user.
    'sharpcf': {'start': 5},  # An epoch that training reaches.
}


def build(backbone, name, data):
    kwargs = {}
    if not METHODS[name].pairwise and 'temperature' in inspect.signature(METHODS[name]).parameters:
        kwargs['temperature'] = 0.1
    kwargs.update(SETTINGS.get(name, {}))
    return METHODS[name](BACKBONES[backbone](data, dim=32), data, **kwargs)


@pytest.mark.parametrize('backbone, name', PAIRS)
def test_overfits_saves_loads_and_recommends_the_same(toy_factory, tmp_path, backbone, name):
    data = toy_factory(held_out=False)
    pairs = data[EDGE_TYPE].edge_index
    method = build(backbone, name, data)
    adversarial = isinstance(method, AdversarialRecommender)
    step = MinMaxStep(method, lr=0.05) if adversarial else Step(method, lr=0.05)
    loader = InteractionLoader(data, 64, 1 if method.pairwise else 16)
    fit(step, loader, epochs=60, progress=False)

    # Every training item ranks above all others: a perfect ranking of the training pairs,
    # measured on a graph that does not mask them.
    probe = interaction_data(torch.tensor([[0], [0]]), 30, 40, test=pairs)
    recall = evaluate(method, probe, k=12, metrics=['recall'], protocol='official')
    assert recall['test']['recall@12'] > 0.97

    save_atomically(method.state_dict(), tmp_path / 'm.pt')
    other = build(backbone, name, data)
    other.load_state_dict(load_safely(tmp_path / 'm.pt', ''))
    users = torch.arange(30)
    ours, theirs = method.recommend(users, k=5), other.recommend(users, k=5)
    assert torch.equal(ours.item, theirs.item) and torch.equal(ours.score, theirs.score)
    known = {tuple(p) for p in pairs.t().tolist()}
    assert not known & set(zip(users.repeat_interleave(5).tolist(), ours.item.view(-1).tolist()))


@pytest.mark.parametrize('name', METHODS)
def test_l2_is_added_once(toy, name):
    batch = next(iter(InteractionLoader(toy, 64, 1)))
    losses = []
    for l2 in (0., 0.5):
        torch.manual_seed(0)
        backbone = BACKBONES['lightgcn' if METHODS[name].needs_layers else 'mf'](toy, dim=8)
        method = METHODS[name](backbone, toy, l2=l2)
        method.on_epoch_start(100)  # Past a warm-up in which other parameters learn.
        losses.append(method(batch))
    x = backbone.x
    rows = [x.user[batch.user], x.item[batch.item]]
    if METHODS[name].pairwise:
        rows.append(x.item[batch.neg_item])
    penalty = 0.5 * sum(r.square().sum() for r in rows) / (2 * 64)
    assert torch.allclose(losses[1] - losses[0], penalty, atol=1e-5)


@pytest.mark.parametrize('backbone, name', PAIRS)
def test_compiles(toy, backbone, name):
    # The graph's own cache breaks the traced graph: no `fullgraph`, but the same result.
    method = build(backbone, name, toy)
    batch = next(iter(InteractionLoader(toy, 64, 1 if method.pairwise else 8)))
    method.on_epoch_start(100)
    results, state = [], copy.deepcopy(method.state_dict())
    for function in (method, torch.compile(method, backend='aot_eager')):
        torch.manual_seed(0)
        method.load_state_dict(state)  # A call may record something.
        method.zero_grad()
        function(batch).backward()
        results.append([p.grad.clone() for p in method.backbone.parameters()])
    for a, b in zip(*results):
        assert torch.allclose(a, b, atol=1e-5)
    torch.compiler.reset()


@pytest.mark.parametrize('name', METHODS)
def test_resumed_run_equals_the_uninterrupted_one(toy_factory, tmp_path, name):
    # What a method remembers of earlier epochs and batches is part of its state.
    data = toy_factory(held_out=False)
    backbone = 'lightgcn' if METHODS[name].needs_layers else 'mf'

    def train(epochs, seed, **kwargs):
        torch.manual_seed(seed)
        method = build(backbone, name, data)
        adversarial = isinstance(method, AdversarialRecommender)
        step = (MinMaxStep if adversarial else Step)(method, lr=0.05)
        fit(step, InteractionLoader(data, 64, 1 if method.pairwise else 4), epochs,
            evaluate_every=4, progress=False, **kwargs)
        return method.state_dict()

    straight = train(8, 0)
    path = tmp_path / 'run.pt'
    train(4, 0, checkpoint=path)
    resumed = train(8, 7, checkpoint=path, resume=True)
    for key, value in straight.items():
        assert torch.equal(value, resumed[key]), key
