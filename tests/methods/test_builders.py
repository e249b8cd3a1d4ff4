r"""Methods that are a criterion over a backbone: what their builders put together."""
import copy
import inspect
import re

import pytest
import torch
import torch.nn.functional as F

from pyg_advcf import (
    MF,
    Batch,
    Cosine,
    Dot,
    InteractionLoader,
    LightGCN,
    MinMaxStep,
    Recommender,
    Step,
    criteria,
    degrees,
    fit,
    methods,
)
from pyg_advcf.criteria.advinfonce import HARDNESS
from pyg_advcf.criteria.functional import base_temperature, user_temperature
from pyg_advcf.methods import ViewRecommender
from pyg_advcf.nn import DCCF, LightGCL, UltraGCN
from pyg_advcf.registry import METHODS
from pyg_advcf.training import SAMStep

BUILDERS = [name for name, build in METHODS.items() if not inspect.isclass(build)]
OWN_BACKBONE = {'dccf': DCCF, 'lightgcl': LightGCL, 'ultragcn': UltraGCN}
GROUP = torch.arange(30) % 4


def adaptau_by_hand(backbone):
    criterion = criteria.AdapTau(30, beta=2., warmup_epochs=3)
    criterion.update(base_temperature(backbone.graph))
    return Recommender(backbone, criterion, Cosine(1.), 0.3)


# No argument has its default, so that one which is not passed on is noticed.
BY_HAND = {
    'bpr': ({}, lambda b: Recommender(b, criteria.BPR(), Dot(), 0.3, True)),
    'bce': ({'neg_weight': 2.}, lambda b: Recommender(b, criteria.BCE(2.), Dot(), 0.3, True)),
    'hinge': ({'margin': 2.}, lambda b: Recommender(b, criteria.Hinge(2.), Dot(), 0.3, True)),
    'warp': ({'margin': 2.}, lambda b: Recommender(b, criteria.WARP(40, 2.), Dot(), 0.3, False)),
    'infonce': ({'temperature': 0.3, 'log_q': 0.6}, lambda b: Recommender(
        b, criteria.InfoNCE(log_q=0.6, popularity=b.degrees[1]), Cosine(0.3), 0.3, False)),
    'dcl': ({'temperature': 0.3}, lambda b: Recommender(
        b, criteria.DCL(), Cosine(0.3), 0.3, False)),
    'infol1o': ({'temperature': 0.3}, lambda b: Recommender(
        b, criteria.InfoL1O(), Cosine(0.3), 0.3, False)),
    'supcon': ({'temperature': 0.3}, lambda b: Recommender(
        b, criteria.SupCon(), Cosine(0.3), 0.3, False)),
    'ccl': ({'weight': 2., 'margin': 0.1}, lambda b: Recommender(
        b, criteria.CCL(2., 0.1), Cosine(1.), 0.3, False)),
    'bsl': ({'temperature': 0.3, 'pos_temperature': 0.7}, lambda b: Recommender(
        b, criteria.BSL(0.7, 0.3), Cosine(1.), 0.3, False)),
    'directau': ({'gamma': 2., 'unique': True}, lambda b: Recommender(
        b, criteria.DirectAU(2., True), Cosine(1.), 0.3, False)),
    'adaptau': ({'beta': 2., 'warmup_epochs': 3}, adaptau_by_hand),
    'sdro': ({'temperature': 0.3, 'step': 0.5, 'rate': 0.2, 'group': GROUP},
             lambda b: Recommender(b, criteria.SDRO(GROUP, 0.5, 0.2), Cosine(0.3), 0.3, False)),
    'bir': ({'num_draws': 3}, lambda b: Recommender(
        b, criteria.BIR(b.degrees[1], 3), Dot(), 0.3, False)),
    'xir': ({'cache_size': 16, 'weight': 0.2}, lambda b: Recommender(
        b, criteria.XIR(b.degrees[1], 16, 0.2), Dot(), 0.3, False)),
    'advinfonce': ({'temperature': 0.3, 'k': 2., 'hardness': 'reverse', 'adversary_l2': 0.1,
                    'exponent': 0.7},
                   lambda b: Recommender(b, criteria.AdvInfoNCE(
                       30, 40, 8, 2., 'reverse', adversary_l2=0.1), Cosine(0.3), 0.3, False)),
    'uniform': ({'temperature': 0.3, 'k': 2.}, lambda b: Recommender(
        b, criteria.AdvInfoNCE(30, 40, 8, 2., 'uniform'), Cosine(0.3), 0.3, False)),
    'ultragcn': ({'weights': (0.1, 0.2, 0.3, 0.4), 'neg_weight': 7.}, lambda b: Recommender(
        b, criteria.ConstrainedBCE(*(t.float() for t in criteria.constraint_weights(*b.degrees)),
                                   (0.1, 0.2, 0.3, 0.4), 7.), Dot(), 0.3, False)),
    'lightgcl': ({'temperature': 0.3, 'weight': 0.7, 'scope': 'all', 'official_loss': True},
                 lambda b: ViewRecommender(b, criteria.ClampedViewInfoNCE(0.3), 0.7,
                                           criteria.BPR(), Dot(), 0.3)),
    'dccf': ({'temperature': 0.3, 'weight': 0.7}, lambda b: ViewRecommender(
        b, criteria.ViewInfoNCE(0.3), 0.7, criteria.BPR(), Dot(), 0.3)),
}


@pytest.mark.parametrize('name', BUILDERS)
def test_equals_the_parts_put_together_by_hand(toy, name):
    kwargs, by_hand = BY_HAND[name]
    kwargs = {**kwargs, 'l2': 0.3}
    takes = inspect.signature(METHODS[name]).parameters
    assert {'backbone', *kwargs} == set(takes)
    assert all(isinstance(value, torch.Tensor) or value != takes[key].default
               for key, value in kwargs.items())
    backbone = OWN_BACKBONE.get(name, MF)(toy, dim=8)
    batch = next(iter(InteractionLoader(toy, 32, 5)))
    built = []
    for build in (lambda b: METHODS[name](b, **kwargs), by_hand):
        torch.manual_seed(1)  # A criterion may have parameters of its own.
        built.append(build(backbone))
        built[-1].on_epoch_start(0)
    found, expected = built
    assert type(found) is type(expected) and repr(found) == repr(expected)
    assert found.backbone is backbone
    assert (found.l2.weight, found.l2.negatives) == (expected.l2.weight, expected.l2.negatives)
    results = []
    for recommender in built:
        backbone.zero_grad()
        torch.manual_seed(2)  # A criterion may draw.
        loss = recommender(batch)
        loss.backward()
        results.append([loss, *(p.grad.clone() for p in backbone.parameters()),
                        *recommender.criterion.state_dict().values()])
        if recommender.adversary_parameters():
            z = recommender.similarity.prepare(backbone())
            results[-1].append(recommender.adversary_loss(batch, z)[0])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)
    assert results[0][0] > 0 or name == 'directau'


@pytest.mark.parametrize('name', BUILDERS)
def test_scores_by_default_as_its_criterion_was_published(toy, name):
    recommender = METHODS[name](OWN_BACKBONE.get(name, MF)(toy, dim=8))
    by_default = Recommender(recommender.backbone, recommender.criterion)
    assert repr(recommender.similarity) == repr(by_default.similarity)
    assert recommender.l2.negatives == by_default.l2.negatives == (recommender.negatives == 'one')


@pytest.mark.parametrize('name', BUILDERS)
def test_is_found_by_name_and_explains_every_argument(name):
    build = METHODS[name]
    assert build is getattr(methods, name) and build.__name__ == name
    text = inspect.getdoc(build)
    section = text.split('\nArgs:\n')[1].split('\nRaises:\n')[0]
    explained = dict(re.findall(r'^    (\w+): (.+)', section, re.M))
    assert list(explained) == list(inspect.signature(build).parameters)
    assert all(len(meaning) > 10 for meaning in explained.values())
    assert f'methods.{name}(' in text.split('\nExample:\n')[1]


def test_bpr_equals_the_formula(toy):
    method = methods.bpr(LightGCN(toy, dim=8), l2=0.)
    batch = next(iter(InteractionLoader(toy, 32)))
    z = method.backbone()
    u, i, j = z.user[batch.user], z.item[batch.item], z.item[batch.neg_item[:, 0]]
    assert torch.allclose(method(batch), F.softplus((u * (j - i)).sum(1)).mean(), atol=1e-6)


def test_bce_equals_the_formula(toy):
    method = methods.bce(MF(toy, dim=8), neg_weight=2., l2=0.)
    batch = next(iter(InteractionLoader(toy, 32)))
    z = method.backbone()
    u, i, j = z.user[batch.user], z.item[batch.item], z.item[batch.neg_item[:, 0]]
    expected = F.softplus(-(u * i).sum(1)) + 2 * F.softplus((u * j).sum(1))
    assert torch.allclose(method(batch), expected.mean(), atol=1e-6)


def test_infonce_equals_the_formula(toy):
    method = methods.infonce(MF(toy, dim=8), temperature=0.3, l2=0.)
    batch = next(iter(InteractionLoader(toy, 32, 5)))
    z = method.backbone()
    items = torch.cat([batch.item.view(-1, 1), batch.neg_item], dim=1)
    logits = F.cosine_similarity(z.user[batch.user].unsqueeze(1), z.item[items], dim=-1) / 0.3
    expected = F.cross_entropy(logits, torch.zeros(32, dtype=torch.long))
    assert torch.allclose(method(batch), expected, atol=1e-5)


def test_infonce_with_in_batch_negatives(toy):
    method = methods.infonce(MF(toy, dim=8), temperature=0.3, l2=0.)
    batch = next(iter(InteractionLoader(toy, 32, negatives='in_batch')))
    z = method.backbone()
    logits = F.normalize(z.user[batch.user]) @ F.normalize(z.item[batch.item]).t() / 0.3
    keep = batch.neg_mask | torch.eye(32, dtype=torch.bool)
    expected = F.cross_entropy(logits.masked_fill(~keep, float('-inf')), torch.arange(32))
    assert torch.allclose(method(batch), expected, atol=1e-5)


DOT = ('bce', 'bpr', 'hinge', 'warp')
ON_SCORES = (*DOT, 'adaptau', 'bsl', 'ccl', 'dcl', 'infol1o', 'infonce', 'sdro', 'supcon',
             'uniform')


def make(name, backbone, data):
    method = METHODS[name](backbone(data, dim=8), l2=0.)
    method.on_epoch_start(100)
    return method


@pytest.fixture(params=[(30, 40, 'all'), (300, 400, 'few')], ids=lambda p: p[2])
def data(request, toy_factory):
    # Among many users and items, a backbone computes only the rows that the batch names.
    users, items, _ = request.param
    return toy_factory(users, items, 5 * users, held_out=False)


@pytest.mark.parametrize('backbone', [MF, LightGCN])
@pytest.mark.parametrize('name', ON_SCORES)
def test_is_the_criterion_on_scores(data, backbone, name):
    method = make(name, backbone, data)
    batch = next(iter(InteractionLoader(data, 20, 4, sampler='user')))
    criterion, z = copy.deepcopy(method.criterion), method.backbone()
    ids = torch.cat([batch.item.view(-1, 1), batch.neg_item], dim=1)
    u, j = z.user[batch.user].unsqueeze(1), z.item[ids]
    scores = ((u * j).sum(-1) if name in DOT
              else F.cosine_similarity(u, j, dim=-1) / method.similarity.temperature)
    expected = criterion(scores[:, 0], scores[:, 1:], batch)
    found = method(batch)
    assert torch.allclose(found, expected, atol=1e-5)
    for a, b in zip(torch.autograd.grad(found, tuple(method.backbone.x)),
                    torch.autograd.grad(expected, tuple(method.backbone.x))):
        assert torch.allclose(a, b, atol=1e-5)
    for a, b in zip(method.criterion.buffers(), criterion.buffers()):
        assert torch.allclose(a, b, atol=1e-5)  # Recorded under the ids of the whole data.


@pytest.mark.parametrize('backbone', [MF, LightGCN])
def test_directau(data, backbone):
    method = make('directau', backbone, data)
    batch = next(iter(InteractionLoader(data, 20, 1)))
    assert torch.allclose(method(batch), method.criterion(method.backbone(), batch), atol=1e-5)
    other = batch._replace(neg_item=(batch.neg_item + 1) % data['item'].num_nodes)
    assert torch.allclose(method(batch), method(other), atol=1e-5)


@pytest.mark.parametrize('backbone', [MF, LightGCN])
@pytest.mark.parametrize('name', ['bir', 'xir'])
def test_resampled_negatives_are_those_of_the_batch(data, backbone, name):
    method = make(name, backbone, data)
    if name == 'xir':
        method.criterion.cache = method.criterion.cache[:50]
    batch = next(iter(InteractionLoader(data, 20, 3)))
    criterion, z = copy.deepcopy(method.criterion), method.backbone()
    pool = batch.item if name == 'bir' else torch.cat([batch.item, criterion.cache])
    known = {tuple(p) for p in method.backbone.graph.as_tensor().t().tolist()}
    mask = torch.tensor([[(u, i) not in known for i in pool.tolist()] for u in batch.user.tolist()])
    u = z.user[batch.user]
    neg = (u @ z.item[pool].t()).masked_fill(~mask, float('-inf'))
    torch.manual_seed(3)
    pooled = batch._replace(neg_item=pool, neg_mask=mask)
    expected = criterion((u * z.item[batch.item]).sum(1), neg, pooled)
    torch.manual_seed(3)
    found = method(batch)
    assert torch.allclose(found, expected, atol=1e-5) and found > 0
    assert torch.equal(method.criterion.state_dict().get('cache', pool),
                       criterion.state_dict().get('cache', pool))
    # Whatever the loader draws: in-batch negatives are the same ones.
    known_to_loader = InteractionLoader(data, 20, negatives='in_batch').collate(batch.id)
    for one in (criterion, method.criterion):
        one.eval()
    method.criterion.load_state_dict(criterion.state_dict())
    losses = []
    for other in (batch, known_to_loader):
        torch.manual_seed(4)
        losses.append(method(other))
    assert torch.allclose(*losses)


def test_xir_counts_anew_every_epoch(toy):
    method = methods.xir(MF(toy, dim=8), cache_size=16)
    for batch in InteractionLoader(toy, 64):
        method(batch)
    cache = method.criterion.cache.clone()
    assert method.criterion.drawn.sum() > 0
    method.on_epoch_start(1)
    assert method.criterion.drawn.sum() == 0 and torch.equal(method.criterion.cache, cache)


def test_sdro_reads_the_groups_off_the_data(toy):
    method = methods.sdro(MF(toy, dim=8))
    assert method.criterion.group.unique().numel() > 1
    assert torch.equal(methods.sdro(MF(toy, dim=8), group=GROUP).criterion.group, GROUP)


def test_batches_may_be_plain_tensors(toy):
    batch = Batch(torch.tensor([0, 0]), torch.tensor([1, 2]), torch.tensor([[3, 2], [4, 3]]),
                  torch.tensor([0, 1]))
    for name in (*ON_SCORES, 'advinfonce', 'bc', 'bir', 'directau', 'invcf', 'xir'):
        assert make(name, MF, toy)(batch).isfinite()


@pytest.mark.parametrize('backbone', [MF, LightGCN])
def test_adaptau_sets_the_temperatures_of_every_epoch(toy, backbone):
    method = methods.adaptau(backbone(toy, dim=8), warmup_epochs=2)
    step, loader = Step(method, lr=0.05), InteractionLoader(toy, 64, 4)
    graph, criterion = method.backbone.graph, method.criterion
    warm = base_temperature(graph).float()
    assert criterion.base == warm and criterion.temperature.eq(warm).all()
    assert method.warmup_epochs == step.warmup_epochs == 2
    bases = []
    for epoch in range(4):
        loss, count = criterion.loss.clone(), criterion.count.clone()
        z = None if epoch < 2 else method.embeddings()
        step.on_epoch_start(epoch, loader)
        base = base_temperature(graph, z).float()
        assert torch.equal(criterion.base, base)
        assert torch.equal(criterion.temperature, user_temperature(
            loss, count, base.double()).float())
        assert (criterion.temperature.unique().numel() > 5) == (epoch > 0)
        assert criterion.loss.eq(0).all()
        bases.append(float(base))
        for batch in loader:
            step(batch)
        assert int(criterion.count.sum()) == 200
    assert bases[0] == bases[1] and len(set(bases)) == 3


def test_adaptau_raises_the_temperature_as_cosines_drift_apart(toy):
    method = methods.adaptau(MF(toy, dim=8), warmup_epochs=0)
    step, loader, bases = Step(method, lr=0.05), InteractionLoader(toy, 64, 4), []
    for epoch in range(30):
        step.on_epoch_start(epoch, loader)
        bases.append(float(method.criterion.base))
        for batch in loader:
            step(batch)
    assert bases[-1] > 3 * bases[0]


def test_adaptau_takes_no_negative_warm_up(toy):
    with pytest.raises(ValueError, match="'warmup_epochs' is -1"):
        methods.adaptau(MF(toy, dim=8), warmup_epochs=-1)


@pytest.mark.parametrize('name', ['adaptau', 'sdro', 'xir'])
def test_what_records_is_not_called_twice_a_step(toy, name):
    method = METHODS[name](MF(toy, dim=8))
    assert method.single_pass
    with pytest.raises(ValueError, match='records'):
        SAMStep(method)


def adversarial(toy, **kwargs):
    torch.manual_seed(0)
    return methods.advinfonce(LightGCN(toy, dim=8), temperature=0.3, **kwargs)


def test_advinfonce_without_adversary_and_k_one_is_infonce(toy):
    batch = next(iter(InteractionLoader(toy, 32, 5)))
    method = adversarial(toy, k=1, hardness='uniform')
    torch.manual_seed(0)
    plain = methods.infonce(LightGCN(toy, dim=8), temperature=0.3)
    assert torch.allclose(method(batch), plain(batch), atol=1e-6)
    torch.manual_seed(0)
    control = methods.uniform(LightGCN(toy, dim=8), temperature=0.3, k=1)
    assert torch.equal(control(batch), method(batch))


@pytest.mark.parametrize('hardness', ['embed', 'mlp'])
def test_the_loss_leaves_the_hardness_frozen(toy, hardness):
    batch = next(iter(InteractionLoader(toy, 32, 5)))
    method = adversarial(toy, hardness=hardness)
    method(batch).backward()
    assert method.adversary_parameters()
    assert all(p.grad is None for p in method.adversary_parameters())
    assert method.backbone.user_embedding.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('hardness', HARDNESS)
@pytest.mark.parametrize('negatives', ['uniform', 'in_batch'])
def test_every_hardness_trains(toy, hardness, negatives):
    method = adversarial(toy, hardness=hardness)
    learns = hardness in ('embed', 'mlp', 'reverse')
    assert bool(method.adversary_parameters()) == learns
    loader = InteractionLoader(toy, 64, 5, negatives=negatives)
    step = (MinMaxStep(method, interval=1, offset=0, lr=0.01) if learns
            else Step(method, lr=0.01))
    history = fit(step, loader, epochs=6, progress=False)
    assert history.epochs[-1]['loss'] < history.epochs[0]['loss']
    assert ('adversary_loss' in history.epochs[-1]) == learns


def test_adversary_loss_does_not_reach_the_recommender(toy):
    method = methods.advinfonce(MF(toy, dim=8), hardness='mlp')
    batch = next(iter(InteractionLoader(toy, 32, 5)))
    z = method.similarity.prepare(method.backbone())
    loss, log = method.adversary_loss(batch, z)
    loss.backward()
    assert method.backbone.user_embedding.weight.grad is None
    assert method.backbone.item_embedding.weight.grad is None
    assert all(p.grad.abs().sum() > 0 for p in method.adversary_parameters())
    assert set(log) == {'kl_uniform_p', 'kl_p_uniform'}


def test_adversary_loss_is_that_of_the_criterion_on_the_scores(toy):
    # The embeddings are prepared once per pass; the scores are those of the similarity anyway.
    method = adversarial(toy, adversary_l2=0.5)
    batch = next(iter(InteractionLoader(toy, 32, 5)))
    z = method.backbone()
    found, log = method.adversary_loss(batch, method.similarity.prepare(z))
    expected, same = method.criterion.adversary_loss_and_log(*method.similarity(z, batch), batch)
    assert torch.allclose(found, expected, atol=1e-5)
    for key, value in same.items():
        assert torch.allclose(log[key], value, atol=1e-6)


@pytest.fixture
def batch(toy):
    return next(iter(InteractionLoader(toy, 64)))


def test_dccf_without_weight_is_bpr(toy, batch):
    backbone = DCCF(toy, dim=4, num_intents=3).double()
    assert torch.equal(methods.dccf(backbone, weight=0.)(batch),
                       methods.bpr(backbone, l2=0.1)(batch))


def test_dccf_contrasts_the_propagation_with_each_other_view(toy, batch):
    backbone = DCCF(toy, dim=4, num_intents=3).double()
    method = methods.dccf(backbone, temperature=0.6, weight=0.7, l2=0.02)
    expected = methods.bpr(backbone, l2=0.02)(batch)
    z = backbone(return_views=True)
    assert len(z.views) == 2
    for views in z.views:
        for other in (views.intents, views.masked, views.masked_intents):
            for a, b, ids in zip(views.propagated, other,
                                 (batch.user.unique(), batch.item.unique())):
                expected = expected + 0.7 * F.cross_entropy(
                    F.normalize(a[ids], dim=1) @ F.normalize(b[ids], dim=1).t() / 0.6,
                    torch.arange(ids.numel()))
    assert torch.allclose(method(batch), expected, atol=1e-10)


def test_lightgcl_without_weight_is_bpr(toy, batch):
    backbone = LightGCL(toy, dim=4).double()
    assert torch.equal(methods.lightgcl(backbone, weight=0.)(batch), methods.bpr(backbone)(batch))


@pytest.mark.parametrize('scope', ['batch', 'all'])
def test_lightgcl_contrasts_the_low_rank_view(toy, batch, scope):
    backbone = LightGCL(toy, dim=4).double()
    method = methods.lightgcl(backbone, 0.3, weight=0.7, scope=scope)
    z = backbone(return_layers=True)
    view = backbone.low_rank_view(z)
    expected = methods.bpr(backbone)(batch)
    for g, e, ids in zip(view, z, (batch.user.unique(), batch.item.unique())):
        others, target = (e, ids) if scope == 'all' else (e[ids], torch.arange(ids.numel()))
        expected = expected + 0.7 * F.cross_entropy(
            F.normalize(g[ids], dim=1) @ F.normalize(others, dim=1).t() / 0.3, target)
    assert torch.allclose(method(batch), expected, atol=1e-10)


@pytest.mark.parametrize('size', [0.1, 3.])  # Whether the bound of 5 is reached.
def test_lightgcl_with_the_official_loss(toy, batch, size):
    backbone = LightGCL(toy, dim=4, init='normal_0.1').double()
    for p in backbone.parameters():
        p.data *= size / 0.1
    method = methods.lightgcl(backbone, 0.2, weight=0.7, official_loss=True)
    z = backbone(return_layers=True)
    view = backbone.low_rank_view(z)
    expected, bounded = methods.bpr(backbone)(batch), 0
    for g, e, ids in zip(view, z, (batch.user, batch.item)):
        scores = g[ids] @ e.t() / 0.2
        own = scores[torch.arange(64), ids]
        bounded += int((own.abs() > 5).sum())
        expected = expected + 0.7 * (scores.exp().sum(1).log().mean() - own.clamp(-5, 5).mean()
                                     if size < 1 else
                                     scores.logsumexp(1).mean() - own.clamp(-5, 5).mean())
    assert (bounded > 0) == (size > 1)
    assert torch.allclose(method(batch), expected, atol=1e-9)


@pytest.mark.parametrize('backbone', [MF, UltraGCN])
def test_ultragcn_equals_a_loop_over_the_pairs(toy, backbone):
    batch = next(iter(InteractionLoader(toy, 8, num_neg=3)))
    model = backbone(toy, dim=4, init='normal_0.1').double()
    method = methods.ultragcn(model, (0.1, 0.2, 0.3, 0.4), neg_weight=7., l2=0.).double()
    d_user, d_item = degrees(toy)

    def beta(u, i):
        return float(((d_user[u] + 1) / (d_item[i] + 1)).double().sqrt() / d_user[u])

    total = 0.
    for u, i, negatives in zip(batch.user, batch.item, batch.neg_item):
        x = model.x.user[u]
        total = total + (0.1 + 0.2 * beta(u, i)) * F.softplus(-x @ model.x.item[i])
        for j in negatives:
            total = total + 7 / 3 * (0.3 + 0.4 * beta(u, j)) * F.softplus(x @ model.x.item[j])
    expected = total / 8
    if backbone is UltraGCN:
        expected = expected + model.penalty(batch)
    assert torch.allclose(method(batch), expected, atol=1e-6)


@pytest.mark.parametrize('build, message', [
    (lambda toy: methods.dccf(LightGCN(toy, dim=2)),
     "has no intents and masks.*use pyg_advcf.nn.DCCF"),
    (lambda toy: methods.dccf(DCCF(toy, dim=2), temperature=0), "'temperature' is 0"),
    (lambda toy: methods.lightgcl(LightGCN(toy, dim=2)),
     "has no low-rank view.*use pyg_advcf.nn.LightGCL"),
    (lambda toy: methods.lightgcl(LightGCL(toy, dim=2), temperature=0), "'temperature' is 0"),
    (lambda toy: methods.lightgcl(LightGCL(toy, dim=2), temperature=0, official_loss=True),
     "'temperature' is 0"),
    (lambda toy: methods.lightgcl(LightGCL(toy, dim=2), weight=-1), "'weight' is -1"),
    (lambda toy: methods.ultragcn(MF(toy, dim=2), (0., -1., 0., 0.)), r"'weights\[1\]' is -1"),
    (lambda toy: methods.ultragcn(MF(toy, dim=2), neg_weight=-1), "'neg_weight' is -1"),
    (lambda toy: methods.bpr(MF(toy, dim=2), l2=-1), "'l2' is -1"),
    (lambda toy: methods.infonce(MF(toy, dim=2), temperature=0), "'temperature' is 0"),
])
def test_bad_arguments(toy, build, message):
    with pytest.raises(ValueError, match=message):
        build(toy)
