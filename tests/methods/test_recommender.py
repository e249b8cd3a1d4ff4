r"""What holds for every method over every backbone."""
import copy
import inspect

import pytest
import torch
from largest import Largest
from method_tools import STEPS

from pyg_advcf import (
    EDGE_TYPE,
    BilevelStep,
    InteractionLoader,
    evaluate,
    fit,
    interaction_data,
    known_pairs,
)
from pyg_advcf.registry import BACKBONES, METHODS
from pyg_advcf.training import load_safely, save_atomically
from pyg_advcf.transforms import RandomSplit

PAIRS = [(b, m) for b in BACKBONES for m in METHODS if METHODS[m].supports(BACKBONES[b])]
# Tracing takes seconds: all methods over the two plain backbones, and all backbones under BPR and
# under their own method.
TRACED = [(b, m) for b, m in PAIRS if b in ('mf', 'lightgcn') or m in ('bpr', b)]
OWN = {
    'adaptau': {'warmup': 2},
    'bsl': {'pos_temperature': 1.},  # A low one is content with one good positive of a user.
    # Penalised from an epoch on that training reaches; a shift that 0.5 would make too large.
    'apr': {'epsilon': 0.1},
    'accf': {'weighting': 'bilevel', 'contrast_weight': 0.01},
    'sharpcf': {'start': 5, 'weight': 0.01},
    'ncl': {'num_clusters': 5, 'start': 5},
    'dccf': {'l2': 1e-4},
    'ultragcn': {'neg_weight': 1.},
}
OWN_BACKBONE = {
    # Embeddings of size 1e-4 take longer to grow than the test has.
    'ultragcn': {'init': 'normal_0.1'},
    'dccf': {'num_intents': 8},
    'vgae': {'beta': 1e-3, 'dim': 64},
}
# Batch size, learning rate and epochs: backbones whose steps are long take fewer.
TRAINING = {'dccf': (200, 0.02, 50), 'vgae': (200, 0.04, 120), ('vgae', 'accf'): (200, 0.02, 130),
            ('vgae', 'ccl'): (200, 0.04, 300)}


def build(backbone, name, data):
    takes = inspect.signature(METHODS[name]).parameters
    kwargs = {'temperature': 0.1} if not METHODS[name].pairwise and 'temperature' in takes else {}
    model = BACKBONES[backbone](data, **{'dim': 32, **OWN_BACKBONE.get(backbone, {})})
    return METHODS[name](model, data, **kwargs, **OWN.get(name, {}))


@pytest.mark.parametrize('backbone, name', [(b, m) for b in BACKBONES for m in METHODS
                                            if (b, m) not in PAIRS])
def test_what_is_not_supported_is_an_error_that_says_why(toy, backbone, name):
    with pytest.raises(ValueError, match="'backbone' is .* (use|give) "):
        build(backbone, name, toy)


@pytest.mark.parametrize('backbone, name', PAIRS)
def test_overfits_saves_loads_and_recommends_the_same(toy_factory, tmp_path, backbone, name):
    data = toy_factory(held_out=False)
    if METHODS[name].trained_by == 'BilevelStep':
        data = RandomSplit(val=0., outer=0.1, per_user=False)(data)
    pairs = data[EDGE_TYPE].edge_index
    method = build(backbone, name, data)
    size, lr, epochs = TRAINING.get((backbone, name), TRAINING.get(backbone, (64, 0.05, 60)))
    step = STEPS[method.trained_by](method, data, lr)
    loader = InteractionLoader(data, size, 1 if method.pairwise else 16)
    fit(step, loader, epochs=epochs, progress=False)

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
    known = {tuple(p) for p in known_pairs(data).t().tolist()}
    assert not known & set(zip(users.repeat_interleave(5).tolist(), ours.item.view(-1).tolist()))


@pytest.mark.parametrize('name', METHODS)
def test_l2_is_added_once(toy, name):
    batch = next(iter(InteractionLoader(toy, 64, 1)))
    losses = []
    for l2 in (0., 0.5):
        torch.manual_seed(0)
        backbone = BACKBONES[next(b for b, m in PAIRS if m == name)](toy, dim=8)
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
def test_no_step_copies_a_row_for_every_negative(toy, backbone, name):
    size, num_neg = 64, 128
    data = RandomSplit(val=0., outer=0.4, per_user=False)(toy)
    method = build(backbone, name, data)
    step = (BilevelStep(method, InteractionLoader(data, size, num_neg, split='outer'))
            if method.trained_by == 'BilevelStep' else STEPS[method.trained_by](method, data, 0.1))
    method.on_epoch_start(100)
    batch = next(iter(InteractionLoader(data, size, num_neg)))
    with Largest() as watch:
        step(batch)
    assert 0 < watch.largest < size * num_neg * method.backbone.dim


@pytest.mark.parametrize('backbone, name', TRACED)
def test_compiles(toy, backbone, name):
    # The graph's own cache breaks the traced graph: no `fullgraph`, but the same result.
    method = build(backbone, name, toy)
    batch = next(iter(InteractionLoader(toy, 64, 1 if method.pairwise else 8)))
    method.on_epoch_start(100)
    if name in ('simgcl', 'xsimgcl'):
        method.epsilon = 0.  # Compiled, rows that nobody reads draw noise too: another stream.
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
    if METHODS[name].trained_by == 'BilevelStep':
        data = RandomSplit(val=0., outer=0.1, per_user=False)(data)
    backbone = next(b for b, m in PAIRS if m == name)

    def train(epochs, seed, **kwargs):
        torch.manual_seed(seed)
        method = build(backbone, name, data)
        step = STEPS[method.trained_by](method, data, 0.05)
        fit(step, InteractionLoader(data, 64, 1 if method.pairwise else 4), epochs,
            evaluate_every=4, progress=False, **kwargs)
        return method.state_dict()

    straight = train(8, 0)
    path = tmp_path / 'run.pt'
    train(4, 0, checkpoint=path)
    resumed = train(8, 7, checkpoint=path, resume=True)
    for key, value in straight.items():
        assert torch.equal(value, resumed[key]), key
