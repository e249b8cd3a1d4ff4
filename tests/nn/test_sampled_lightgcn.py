r"""LightGCN over sampled neighbourhoods: exact with all neighbours, right on average with some."""
import copy

import pytest
import torch

from pyg_advcf import InteractionLoader, as_graph, evaluate, fit, methods
from pyg_advcf.nn import LightGCN, SampledLightGCN
from pyg_advcf.training import step_for
from pyg_advcf.transforms import RandomSplit


def pair(data, num_neighbors, skip_input=False, dim=4):
    torch.manual_seed(0)
    sampled = SampledLightGCN(data, dim, num_neighbors, skip_input=skip_input).double()
    whole = LightGCN(data, dim, len(num_neighbors), skip_input=skip_input).double()
    whole.load_state_dict(sampled.state_dict())
    return sampled, whole


def batch_of(data, size=24, num_neg=2):
    return next(iter(InteractionLoader(data, size, num_neg=num_neg, seed=3)))


@pytest.mark.parametrize('skip_input', [False, True])
@pytest.mark.parametrize('hops', [[-1], [-1, 50], [-1, -1, -1]])
def test_all_neighbours_give_the_whole_graph(toy, hops, skip_input):
    sampled, whole = pair(toy, hops, skip_input)
    batch = batch_of(toy)
    z, expected = sampled.encode(batch), whole()
    assert torch.equal(z.user_index.ids, batch.user.unique())
    for found, wanted in ((z.users(batch.user), expected.users(batch.user)),
                          (z.items(batch.neg_item), expected.items(batch.neg_item))):
        assert torch.allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize('name', ['infonce', 'bpr', 'apr', 'accf', 'advinfonce', 'sgl', 'invcf'])
def test_methods_with_all_neighbours_take_the_step_of_the_whole_graph(toy, name):
    data = RandomSplit(val=0., outer=0.1, per_user=False)(toy)
    build = {'apr': lambda b: methods.APR(b, epsilon=0.1, warmup_epochs=0),
             'accf': lambda b: methods.ACCF(b, epsilon=0.1), 'sgl': methods.SGL,
             'invcf': methods.InvCF}
    results = []
    for backbone in pair(data, [-1, -1]):
        torch.manual_seed(1)
        method = build.get(name, getattr(methods, name, None))(backbone).double()
        loader = InteractionLoader(data, 64, num_neg=3)
        step = step_for(method, loader, lr=0.02)
        torch.manual_seed(2)
        step.on_epoch_start(0, loader)
        losses = [float(step(batch)) for _, batch in zip(range(2), loader)]
        results.append((losses, backbone.x))
    (losses, x), (expected, tables) = results
    assert losses == pytest.approx(expected, rel=1e-6)
    assert torch.allclose(x.user, tables.user, atol=1e-7)
    assert torch.allclose(x.item, tables.item, atol=1e-7)


def test_the_estimate_is_right_in_expectation(toy):
    sampled, whole = pair(toy, [2, 3])
    batch = batch_of(toy, 12)
    expected = whole()
    torch.manual_seed(5)
    draws = [sampled.encode(batch) for _ in range(3000)]
    for read, ids in (('users', batch.user), ('items', batch.item), ('items', batch.neg_item)):
        values = torch.stack([getattr(z, read)(ids).detach() for z in draws])
        error = values.mean(0) - getattr(expected, read)(ids).detach()
        deviation = values.std(0) / len(draws)**0.5
        assert (values.std(0) > 0).any()
        assert (error.abs() <= 4.5 * deviation + 1e-12).all()
        # Not only within its noise, but small against the embeddings.
        assert error.norm() < 0.02 * getattr(expected, read)(ids).norm()


def test_gradients_of_linear_losses_are_right_in_expectation(toy):
    sampled, whole = pair(toy, [2, 2])
    batch = batch_of(toy, 12)
    direction = torch.randn(12, 4, dtype=torch.double)
    (whole().users(batch.user) * direction).sum().backward()
    expected = torch.cat([p.grad for p in whole.parameters()])
    torch.manual_seed(6)
    count = 2000
    for _ in range(count):
        (sampled.encode(batch).users(batch.user) * direction).sum().backward()
    found = torch.cat([p.grad for p in sampled.parameters()]) / count
    assert (found - expected).norm() < 0.05 * expected.norm()


def test_more_neighbours_are_closer(toy):
    errors = []
    for k in (1, 2, 4, 8):
        sampled, whole = pair(toy, [k, k])
        batch, expected = batch_of(toy), whole()
        torch.manual_seed(7)
        errors.append(float(torch.stack([
            (sampled.encode(batch).users(batch.user) - expected.users(batch.user)).square().sum()
            for _ in range(40)]).mean()))
    assert errors == sorted(errors, reverse=True) and errors[0] > 5 * errors[-1]


def test_one_encoder_has_one_sample_and_evaluation_none(toy):
    sampled, whole = pair(toy, [1, 1])
    batch = batch_of(toy)
    encode = sampled.encoder(batch)
    assert torch.equal(encode().user, encode().user)
    shift = sampled.x.map(torch.randn_like)
    moved = encode(sampled.x.map(torch.add, shift))
    assert torch.allclose(moved.user, encode().user + encode(shift).user, atol=1e-12)
    assert not torch.equal(encode().user, sampled.encode(batch).user)
    assert torch.allclose(sampled().user, whole().user)
    sampled.eval()
    assert torch.allclose(sampled.encode(batch).users(batch.user), whole().users(batch.user))


def test_views_have_a_sample_of_their_own(toy):
    sampled, whole = pair(toy, [-1, -1])
    batch = batch_of(toy)
    pairs = toy['user', 'interacts', 'item'].edge_index[:, ::2]
    view = as_graph(pairs, 30, 40)
    encode = sampled.encoder(batch)
    for graph in (view, [view, view], None):
        assert torch.allclose(encode(graph=graph).users(batch.user),
                              whole(graph=graph).users(batch.user), atol=1e-12)
    with pytest.raises(ValueError, match="'graph' is another one for each layer"):
        encode(graph=[view, whole.graph])
    with pytest.raises(ValueError, match='in training takes no noise; use LightGCN'):
        encode(noise=0.1)


def test_isolated_nodes_keep_their_own_embedding(toy):
    data = copy.copy(toy)
    data['user'].num_nodes = 31
    sampled, whole = pair(data, [3, 3])
    batch = batch_of(data)._replace(user=torch.full((24, ), 30))
    assert torch.allclose(sampled.encode(batch).users(batch.user), whole().users(batch.user))


def test_fit_trains_it_and_resumes_bit_for_bit(toy, tmp_path):
    def run(epochs, **kwargs):
        torch.manual_seed(0)
        method = methods.infonce(SampledLightGCN(toy, 8, [3, 2]))
        torch.manual_seed(1)
        history = fit(method, InteractionLoader(toy, 64, 4), epochs, lr=0.02, evaluate_every=1,
                      progress=False, **kwargs)
        return method, history

    method, history = run(6)
    assert history.epochs[-1]['loss'] < history.epochs[0]['loss']
    assert 0 < evaluate(method, toy, 'val', k=10)['val']['recall@10'] <= 1
    run(3, checkpoint=tmp_path / 'run.pt')
    resumed, _ = run(6, checkpoint=tmp_path / 'run.pt', resume=True)
    assert torch.equal(method.backbone.x.user, resumed.backbone.x.user)


@pytest.mark.parametrize('num_neighbors', [None, [], 3, [0], [-2], [1.5], ['x'], [True]])
def test_numbers_of_neighbours(toy, num_neighbors):
    with pytest.raises(ValueError, match="'num_neighbors' is"):
        SampledLightGCN(toy, num_neighbors=num_neighbors)
    with pytest.raises(methods.UnsupportedBackbone, match='noise could be added to'):
        methods.SimGCL(SampledLightGCN(toy))
