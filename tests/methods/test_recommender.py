r"""What holds for every method over every backbone, and the class that most of them are."""
import copy
import inspect

import pytest
import torch
import torch.nn.functional as F
from largest import Largest
from method_tools import PAIRS, num_neg, supports

from pyg_advcf import (
    EDGE_TYPE,
    MF,
    Cosine,
    Dot,
    InteractionLoader,
    LightGCN,
    MinMaxStep,
    Recommender,
    Step,
    criteria,
    evaluate,
    fit,
    interaction_data,
    known_pairs,
    methods,
)
from pyg_advcf.methods import UnsupportedBackbone
from pyg_advcf.nn import VGAE
from pyg_advcf.registry import BACKBONES, METHODS
from pyg_advcf.training import SAMStep, load_safely, save_atomically, step_for
from pyg_advcf.transforms import RandomSplit

# Tracing takes seconds: all methods over the two plain backbones, and all backbones under BPR and
# under their own method.
TRACED = [(b, m) for b, m in PAIRS if b in ('mf', 'lightgcn') or m in ('bpr', b)]
OWN = {
    'bc': {'temperature': 0.1},
    'adaptau': {'warmup_epochs': 2},
    'bsl': {'pos_temperature': 1.},  # A low one is content with one good positive of a user.
    # Penalised from an epoch on that training reaches; a shift that 0.5 would make too large.
    'apr': {'epsilon': 0.1, 'warmup_epochs': 5},
    'accf': {'temperature': 0.2, 'epsilon': 0.1, 'contrast_weight': 0.01},
    'sharpcf': {'warmup_epochs': 5, 'weight': 0.01},
    'ncl': {'num_clusters': 5, 'warmup_epochs': 5},
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


# The backbones of every method; `ALL` of those that any method takes.
ALL = {'mf', 'lightgcn', 'vgae', 'ultragcn', 'lightgcl', 'dccf'}
SUPPORTED = {
    'accf': ALL, 'adaptau': ALL, 'advinfonce': ALL, 'apr': ALL, 'bc': ALL, 'bce': ALL, 'bir': ALL,
    'bpr': ALL, 'bsl': ALL, 'ccl': ALL, 'dcl': ALL, 'directau': ALL, 'hinge': ALL, 'infol1o': ALL,
    'infonce': ALL, 'invcf': ALL, 'sdro': ALL, 'sharpcf': ALL, 'supcon': ALL, 'ultragcn': ALL,
    'uniform': ALL, 'warp': ALL, 'xir': ALL,
    'ncl': {'lightgcn', 'vgae', 'lightgcl', 'dccf'},
    'sgl': {'lightgcn', 'vgae', 'lightgcl', 'dccf'},
    'simgcl': {'lightgcn', 'vgae', 'lightgcl'},
    'xsimgcl': {'lightgcn', 'vgae', 'lightgcl'},
    'lightgcl': {'lightgcl'},
    'dccf': {'dccf'},
}


def test_which_method_takes_which_backbone():
    assert ALL == set(BACKBONES)
    assert SUPPORTED == {name: {b for b in BACKBONES if supports(b, name)} for name in METHODS}


def model(backbone, data):
    return BACKBONES[backbone](data, **{'dim': 32, **OWN_BACKBONE.get(backbone, {})})


def build(backbone, name, data):
    return METHODS[name](model(backbone, data), **OWN.get(name, {}))


def splits(name, data):
    r"""Leaves pairs out of the graph where the weights of instances learn from such."""
    if name == 'accf':
        return RandomSplit(val=0., outer=0.1, per_user=False)(data)
    return data


@pytest.mark.parametrize('backbone, name', [(b, m) for b in BACKBONES for m in METHODS
                                            if (b, m) not in PAIRS])
def test_what_is_not_supported_is_an_error_that_says_why(toy, backbone, name):
    with pytest.raises(UnsupportedBackbone, match="'backbone' is .* (use|give) "):
        build(backbone, name, toy)


@pytest.mark.parametrize('backbone, name', PAIRS)
def test_overfits_saves_loads_and_recommends_the_same(toy_factory, tmp_path, backbone, name):
    data = splits(name, toy_factory(held_out=False))
    pairs = data[EDGE_TYPE].edge_index
    method = build(backbone, name, data)
    size, lr, epochs = TRAINING.get((backbone, name), TRAINING.get(backbone, (64, 0.05, 60)))
    loader = InteractionLoader(data, size, num_neg(method, 16))
    fit(method, loader, epochs=epochs, lr=lr, progress=False)

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
    if name == 'advinfonce':  # Its adversary chooses among several.
        batch = next(iter(InteractionLoader(toy, 64, 2)))
    losses = []
    for l2 in (0., 0.5):
        torch.manual_seed(0)
        backbone = BACKBONES[next(b for b, m in PAIRS if m == name)](toy, dim=8)
        method = METHODS[name](backbone, l2=l2)
        method.on_epoch_start(100)  # Past a warm-up in which other parameters learn.
        losses.append(method(batch))
    x = backbone.x
    rows = [x.user[batch.user], x.item[batch.item]]
    if method.negatives == 'one':
        rows.append(x.item[batch.neg_item])
    penalty = 0.5 * sum(r.square().sum() for r in rows) / (2 * 64)
    assert torch.allclose(losses[1] - losses[0], penalty, atol=1e-5)


@pytest.mark.parametrize('backbone, name', PAIRS)
def test_no_step_copies_a_row_for_every_negative(toy, backbone, name):
    size, many = 64, 128
    data = RandomSplit(val=0., outer=0.4, per_user=False)(toy)
    method = build(backbone, name, data)
    loader = InteractionLoader(data, size, many)
    step = step_for(method, loader, lr=0.1)
    method.on_epoch_start(100)
    batch = next(iter(loader))
    with Largest() as watch:
        step(batch)
    assert 0 < watch.largest < size * many * method.backbone.dim


@pytest.mark.parametrize('backbone, name', TRACED)
def test_compiles(toy, backbone, name):
    # The graph's own cache breaks the traced graph: no `fullgraph`, but the same result.
    method = build(backbone, name, toy)
    batch = next(iter(InteractionLoader(toy, 64, num_neg(method, 8))))
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
    data = splits(name, toy_factory(held_out=False))
    backbone = next(b for b, m in PAIRS if m == name)

    def train(seed, **kwargs):
        torch.manual_seed(seed)
        method = build(backbone, name, data)
        loader = InteractionLoader(data, 64, num_neg(method, 4))
        fit(method, loader, epochs=8, lr=0.05, evaluate_every=4, progress=False, **kwargs)
        return method.state_dict()

    evaluations = iter(range(2))

    def stop_at_the_second():
        if next(evaluations) == 1:
            raise KeyboardInterrupt
        return {}

    straight = train(0)
    path = tmp_path / 'run.pt'
    with pytest.raises(KeyboardInterrupt):
        train(0, checkpoint=path, track=stop_at_the_second)
    resumed = train(7, checkpoint=path, resume=True)
    for key, value in straight.items():
        assert torch.equal(value, resumed[key]), key


@pytest.fixture
def batch(toy):
    return next(iter(InteractionLoader(toy, 64, 4)))


class Squared(torch.nn.Module):
    r"""A user's own loss: not a `Criterion`, and without any of its attributes."""
    def forward(self, pos, neg, batch):
        assert pos.shape == batch.user.shape and neg.shape == batch.neg_item.shape
        return (1 - pos).square().mean() + neg.square().mean()


@pytest.mark.parametrize('backbone', BACKBONES)
def test_any_module_is_a_criterion(toy, backbone):
    recommender = Recommender(model(backbone, toy), Squared(), l2=1e-4)
    assert isinstance(recommender.similarity, Dot)
    assert (recommender.negatives, recommender.warmup_epochs, recommender.single_pass) == (
        'many', 0, False)
    assert recommender.adversary_parameters() == recommender.outer_parameters() == []
    history = fit(recommender, InteractionLoader(toy, 64, 4), epochs=10, lr=0.02, progress=False)
    assert history.epochs[-1]['loss'] < 0.9 * history.epochs[0]['loss']
    assert recommender.recommend([0, 1], k=3).item.shape == (2, 3)


def test_a_module_of_ones_own_says_what_it_needs(toy, batch):
    class Weighted(Squared):
        negatives, warmup_epochs, single_pass, needs_tables = 'one', 3, True, True

        def forward(self, pos, neg, batch, x):
            assert x.user is recommender.backbone.user_embedding.weight
            return super().forward(pos, neg, batch)

    recommender = Recommender(MF(toy, dim=4), Weighted(), Cosine(0.5))
    assert (recommender.negatives, recommender.warmup_epochs, recommender.single_pass) == (
        'one', 3, True)
    assert recommender.l2.negatives
    recommender.on_epoch_start(0)
    pos, neg = Cosine(0.5)(recommender.backbone(), batch)
    expected = (1 - pos).square().mean() + neg.square().mean()
    assert torch.allclose(recommender(batch), expected, atol=1e-6)


@pytest.mark.parametrize('build', [
    lambda b: Step(METHODS['sharpcf'](b)), lambda b: Step(METHODS['apr'](b)),
    lambda b: Step(METHODS['bc'](b)), lambda b: Step(METHODS['adaptau'](b)),
    lambda b: Step(METHODS['sgl'](b)), lambda b: Step(METHODS['ncl'](b)),
    lambda b: MinMaxStep(METHODS['advinfonce'](b)), lambda b: MinMaxStep(METHODS['advinfonce'](
        b, hardness='mlp'), interval=1),
    lambda b: SAMStep(METHODS['bpr'](b), warmup_epochs=1),
], ids=['sharpcf', 'apr', 'bc', 'adaptau', 'sgl', 'ncl', 'advinfonce', 'mlp', 'sam'])
def test_a_loop_without_epochs_is_an_error_that_says_what_to_call(toy, batch, build):
    step = build(LightGCN(toy, dim=4))
    before = copy.deepcopy(step.recommender.state_dict())
    with pytest.raises(RuntimeError, match="no epoch was started: call 'on_epoch_start'"):
        step(batch)
    for key, value in step.recommender.state_dict().items():
        assert torch.equal(value, before[key])
    # A loss that is only measured is that past the warm-up.
    recommender = copy.deepcopy(step.recommender).eval()
    with torch.no_grad():
        loss = recommender(batch)
        recommender.on_epoch_start(max(1, recommender.warmup_epochs))
        assert loss.isfinite()
        if not (isinstance(recommender, (methods.SGL, methods.NCL))
                or isinstance(recommender.criterion, criteria.AdapTau)):  # Epochs change these.
            assert torch.equal(loss, recommender(batch))
    assert recommender.current_epoch() == max(1, recommender.warmup_epochs)
    step.on_epoch_start(0, InteractionLoader(toy, 64, 4))
    assert step(batch).isfinite()


def test_methods_without_a_schedule_need_no_epochs(toy, batch):
    for name in ('bpr', 'infonce', 'directau', 'simgcl', 'xsimgcl', 'advinfonce'):
        recommender = METHODS[name](LightGCN(toy, dim=4))
        assert recommender.epoch is None and recommender(batch).isfinite()
        recommender.on_epoch_start(3)
        assert recommender.epoch == recommender.current_epoch() == 3


def test_a_criterion_of_ones_own_by_its_rows(toy, batch):
    class Cubed(criteria.Criterion):
        def default_similarity(self):
            return Cosine(0.5)

        def row_losses(self, pos, neg, batch):
            return (neg - pos.view(-1, 1)).pow(3).mean(1)

    recommender = Recommender(LightGCN(toy, dim=8), Cubed())
    z = F.normalize(recommender.backbone().user), F.normalize(recommender.backbone().item)
    u, i, j = z[0][batch.user], z[1][batch.item], z[1][batch.neg_item]
    gap = (u.unsqueeze(1) * (j - i.unsqueeze(1))).sum(-1) / 0.5
    assert torch.allclose(recommender(batch), gap.pow(3).mean(), atol=1e-5)
    assert recommender.similarity.temperature == 0.5


@pytest.mark.parametrize('l2_negatives', [None, False, True])
@pytest.mark.parametrize('criterion', [criteria.BPR, criteria.InfoNCE, Squared])
def test_loss_is_the_criterion_and_the_l2_term(toy, batch, criterion, l2_negatives):
    backbone = LightGCN(toy, dim=8)
    recommender = Recommender(backbone, criterion(), Cosine(0.5), 0.3, l2_negatives)
    counted = criterion is criteria.BPR if l2_negatives is None else l2_negatives
    expected = criterion()(*Cosine(0.5)(backbone(), batch), batch)
    x = backbone.x
    rows = [x.user[batch.user], x.item[batch.item], x.item[batch.neg_item]]
    expected = expected + 0.3 * sum(r.square().sum() for r in rows[:2 + counted]) / (2 * 64)
    assert torch.allclose(recommender(batch), expected, atol=1e-5)


def test_the_backbone_adds_its_penalty_once(toy, batch):
    losses = []
    for beta in (0., 0.5):
        torch.manual_seed(0)
        backbone = VGAE(toy, dim=8, beta=beta)
        recommender = Recommender(backbone, criteria.InfoNCE())
        torch.manual_seed(1)
        losses.append(recommender(batch))
    assert torch.allclose(losses[1] - losses[0], 0.5 * backbone.kl_loss(), atol=1e-5)


@pytest.mark.parametrize('name, num_neg', [('bir', 64), ('xir', 64 + 2048)])
def test_negatives_that_a_criterion_chooses_exclude_known_ones(toy, batch, name, num_neg):
    recommender = METHODS[name](MF(toy, dim=4))
    own = recommender.with_own_negatives(batch)
    known = {tuple(p) for p in toy[EDGE_TYPE].edge_index.t().tolist()}
    assert own.neg_item.shape == (num_neg, ) and torch.equal(own.neg_item[:64], batch.item)
    assert own.neg_mask.tolist() == [[(u, i) not in known for i in own.neg_item.tolist()]
                                     for u in batch.user.tolist()]
    assert METHODS['bpr'](MF(toy, dim=4)).with_own_negatives(batch) is batch


def test_embeddings_are_those_of_evaluation(toy):
    recommender = Recommender(VGAE(toy, dim=8), criteria.InfoNCE(), Cosine(0.3)).train()
    z = recommender.embeddings()
    assert torch.equal(z.user, recommender.embeddings().user) and not z.user.requires_grad
    assert recommender.training and recommender.backbone.training
    found = recommender.recommend([3], k=4)
    cosines = F.cosine_similarity(z.user[3], z.item[found.item[0]], dim=-1)
    assert torch.allclose(found.score[0], cosines / 0.3, atol=1e-5)


def test_bad_arguments(toy):
    with pytest.raises(ValueError, match="'l2' is -1"):
        Recommender(MF(toy, dim=4), criteria.BPR(), l2=-1)
    with pytest.raises(UnsupportedBackbone, match=r"'backbone' is MF\(30 users.* does not "
                       'propagate over the graph, but Recommender needs that; use LightGCN'):
        Recommender(MF(toy, dim=4), criteria.BPR(), requires=['graph'])
    for feature, backbone in (('graph', LightGCN(toy, dim=4)), ('noise', LightGCN(toy, dim=4)),
                              ('layers', VGAE(toy, dim=4))):
        Recommender(backbone, criteria.BPR(), requires=[feature])
    assert issubclass(UnsupportedBackbone, ValueError)


# What may have any sign is not here.
NUMBERS = [(name, key) for name in METHODS
           for key, parameter in inspect.signature(METHODS[name]).parameters.items()
           if type(parameter.default) in (int, float) and (name, key) not in (
               ('ccl', 'margin'), ('infonce', 'log_q'), ('advinfonce', 'exponent'))]


@pytest.mark.parametrize('name, key', NUMBERS)
def test_a_number_out_of_range_is_an_error_that_names_it(toy, name, key):
    backbone = BACKBONES[next(b for b in ('lightgcn', 'lightgcl', 'dccf') if supports(b, name))]
    with pytest.raises(ValueError, match=f"'{key}' is -1"):
        METHODS[name](backbone(toy, dim=4), **{key: -1})
