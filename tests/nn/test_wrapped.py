import copy
import math

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCNConv, SAGEConv, to_hetero
from torch_geometric.nn import LightGCN as PyGLightGCN

from pyg_advcf import InteractionLoader, evaluate, fit, methods
from pyg_advcf.nn import MF, LightGCN, Wrapped
from pyg_advcf.training import step_for
from pyg_advcf.transforms import RandomSplit

BUYS = ('customer', 'buys', 'article')


@pytest.fixture
def data(toy):
    return RandomSplit(val=0., outer=0.1, per_user=False)(toy)


def pyg(data, dim=8):
    torch.manual_seed(1)
    return PyGLightGCN(data['user'].num_nodes + data['item'].num_nodes, dim, num_layers=2)


def ours(data, model, dim=8):
    backbone = LightGCN(data, dim, num_layers=2)
    with torch.no_grad():
        for table, own in zip(backbone.x, model.embedding.weight.split(
                [backbone.num_users, backbone.num_items])):
            table.copy_(own)
    return backbone


def batch_of(data, num_neg=5):
    return next(iter(InteractionLoader(data, 32, num_neg=num_neg, seed=2)))


METHODS = {
    'bpr': lambda backbone: methods.bpr(backbone, l2=1e-3),
    'infonce': methods.infonce,
    'advinfonce': methods.advinfonce,
    'apr': lambda backbone: methods.APR(backbone, epsilon=0.2, warmup_epochs=0),
    'accf': lambda backbone: methods.ACCF(backbone, weighting='none'),
    'directau': methods.directau,
}


@pytest.mark.parametrize('linear', [False, True])
@pytest.mark.parametrize('name', METHODS)
def test_pygs_lightgcn_gives_the_loss_and_the_gradient_of_ours(data, name, linear):
    model = pyg(data)
    torch.manual_seed(5)
    wrapped = METHODS[name](Wrapped(model, data, linear=linear))
    torch.manual_seed(5)
    own = METHODS[name](ours(data, model))
    for p, q in zip(wrapped.criterion.parameters(), own.criterion.parameters()):
        q.data.copy_(p.data)
    batch = batch_of(data)
    for method in (wrapped, own):
        method.on_epoch_start(0)
        method(batch).backward()
    loss, expected = (float(m(batch).detach()) for m in (wrapped, own))
    assert loss == pytest.approx(expected, rel=1e-4)
    found = model.embedding.weight.grad
    # The table of ours is split in two.
    whole = torch.cat([t.grad for t in own.backbone.x])
    assert found.norm() > 1e-5
    assert torch.allclose(found, whole, rtol=1e-3, atol=1e-6 + 1e-4 * float(whole.abs().max()))


@pytest.mark.parametrize('name', ['accf', 'sharpcf', 'sgl', 'infonce', 'advinfonce'])
def test_methods_train_it(data, name):
    build = {'accf': lambda b: methods.ACCF(b, epsilon=0.1), 'sgl': methods.SGL,
             'sharpcf': lambda b: methods.SharpCF(b, warmup_epochs=2, lag=1)}
    model = pyg(data)
    before = model.embedding.weight.detach().clone()
    method = build.get(name, METHODS.get(name))(Wrapped(model, data))
    loader = InteractionLoader(data, 32, num_neg=4)
    history = fit(method, loader, epochs=5, lr=0.02, evaluate_every=1, progress=False)
    assert not torch.equal(model.embedding.weight, before)
    assert math.isfinite(history.epochs[-1]['loss'])
    assert history.epochs[-1]['loss'] != history.epochs[0]['loss']
    assert set(evaluate(method, data, 'val', k=5)) == {'val'}
    assert method.recommend([0, 1], k=3).item.shape == (2, 3)


def test_the_bilevel_step_learns_weights_over_it(data):
    torch.manual_seed(0)
    method = methods.ACCF(Wrapped(pyg(data), data), epsilon=0.1)
    step = step_for(method, InteractionLoader(data, 32), lr=0.01)
    network = copy.deepcopy(method.criterion.network)
    before = method.backbone.module.embedding.weight.detach().clone()
    step(batch_of(data, 1))
    assert not torch.equal(method.backbone.module.embedding.weight, before)
    assert any(not torch.equal(p, q) for p, q in zip(network.parameters(),
                                                     method.criterion.network.parameters()))


class SAGE(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.first, self.second = SAGEConv((-1, -1), 16), SAGEConv((-1, -1), dim)

    def forward(self, x, edge_index):
        return self.second(self.first(x, edge_index).relu(), edge_index)


@pytest.fixture
def features(data):
    generator = torch.Generator().manual_seed(3)
    for side, width in (('user', 5), ('item', 7)):
        data[side].x = torch.randn(data[side].num_nodes, width, generator=generator)
    return data


def test_a_heterogeneous_module_over_features(features):
    metadata = (['user', 'item'],
                [('user', 'interacts', 'item'), ('item', 'rev_interacts', 'user')])
    torch.manual_seed(2)
    model = to_hetero(SAGE(6), metadata)
    backbone = Wrapped(model, features, hetero=True)
    assert backbone.dim == 6 and [t.size(1) for t in backbone.x] == [5, 7]
    pairs = features['user', 'interacts', 'item'].edge_index
    out = model({k: features[k].x for k in ('user', 'item')},
                {metadata[1][0]: pairs, metadata[1][1]: pairs.flip(0)})
    for found, expected in zip(backbone(), (out['user'], out['item'])):
        assert torch.allclose(found, expected, atol=1e-5)
    # The perturbation moves the features; the loss is raised by it.
    method = methods.APR(backbone, epsilon=0.3, warmup_epochs=0)
    batch = batch_of(features, 1)
    plain = methods.bpr(backbone, l2=0.)
    raised = methods.APR(backbone, alpha=math.inf, epsilon=0.3, warmup_epochs=0, l2=0.)
    assert float(raised(batch).detach()) > float(plain(batch).detach()) + 1e-3
    method(batch).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_two_tables_and_other_names(toy):
    class Own(nn.Module):
        def __init__(self, users, items):
            super().__init__()
            self.users, self.items = nn.Embedding(users, 4), nn.Embedding(items, 4)

        def both(self, edge_index):
            self.seen = edge_index
            return self.users.weight * 2, self.items.weight

    model = Own(toy['user'].num_nodes, toy['item'].num_nodes)
    backbone = Wrapped(model, toy, table=('users.weight', 'items.weight'), call='both', linear=True)
    assert torch.equal(backbone().user, 2 * model.users.weight)
    moved = backbone(x=backbone.x.map(lambda t: t + 1))
    assert torch.equal(moved.item, model.items.weight + 1)
    count = toy['user', 'interacts', 'item'].edge_index.size(1)
    assert model.seen.shape == (2, 2 * count)
    assert int(model.seen[1, :count].min()) >= toy['user'].num_nodes


def test_what_does_not_fit(data, features):
    with pytest.raises(ValueError, match=r"'table' has \[9\] rows, but 'data' has"):
        Wrapped(PyGLightGCN(9, 4, 1), data)
    with pytest.raises(ValueError, match="'module' has no parameter 'tables.weight'"):
        Wrapped(pyg(data), data, table='tables.weight')
    with pytest.raises(ValueError, match="'call' is 'embed', but LightGCN has no such method"):
        Wrapped(pyg(data), data, call='embed')
    for wrong in (3, [1, 2], {}, ''):
        with pytest.raises(ValueError, match="'table' is .*, but 'module' has no parameter"):
            Wrapped(pyg(data), data, table=wrong)
        with pytest.raises(ValueError, match="'call' is .*, but LightGCN has no such method"):
            Wrapped(pyg(data), data, call=wrong)
    with pytest.raises(ValueError, match="'module' is None"):
        Wrapped(None, data)
    with pytest.raises(ValueError, match="'module' returned a tensor of"):
        Wrapped(pyg(data), data, call='forward')
    plain = copy.copy(data)
    del plain['user'].x
    with pytest.raises(ValueError, match="the users of 'data' have no features 'x'"):
        Wrapped(GCNConv(5, 4), plain)
    with pytest.raises(methods.UnsupportedBackbone, match='noise could be added to'):
        methods.SimGCL(Wrapped(pyg(data), data))


class Both(nn.Module):
    def __init__(self, width, size, dim):
        super().__init__()
        self.linear, self.table = nn.Linear(width, dim), nn.Embedding(size, dim)

    def forward(self, x):
        return self.linear(x) + self.table.weight


@pytest.mark.parametrize('cls', [MF, LightGCN])
def test_encoders_of_features(features, cls):
    backbone = cls(features, 6, user_encoder=nn.Linear(5, 6),
                   item_encoder=Both(7, features['item'].num_nodes, 6))
    x = backbone.x
    assert torch.equal(x.user, backbone.user_embedding.encoder(features['user'].x))
    for build in (lambda b: methods.ACCF(b, weighting='none'), methods.infonce,
                  lambda b: methods.bpr(b, l2=1e-2), lambda b: methods.ACCF(b)):
        method = build(backbone)
        step = step_for(method, InteractionLoader(features, 32, num_neg=3), lr=0.01)
        before = [p.detach().clone() for p in backbone.parameters()]
        step(batch_of(features, 3))
        assert all(not torch.equal(p, q) for p, q in zip(before, backbone.parameters()))
    names = {name for name, _ in backbone.named_parameters()}
    assert names == {'user_embedding.encoder.weight', 'user_embedding.encoder.bias',
                     *(f'item_embedding.encoder.{n}' for n in (
                         'linear.weight', 'linear.bias', 'table.weight'))}
    old = backbone.x.user.detach().clone()
    backbone.reset_parameters()
    assert not torch.equal(backbone.x.user, old)
    # The penalty is that of the layer-0 embeddings.
    batch = batch_of(features, 1)
    rows = (backbone.x.user[batch.user], backbone.x.item[batch.item],
            backbone.x.item[batch.neg_item[:, 0]])
    expected = sum(float(r.detach().square().sum()) for r in rows) / (2 * batch.user.numel())
    assert float(methods.bpr(backbone, l2=1.).penalty(batch).detach()) == pytest.approx(expected)


def test_encoders_that_do_not_fit(features):
    with pytest.raises(ValueError, match=r"'user_encoder' maps the features to \[\d+, 3\]"):
        MF(features, 6, user_encoder=nn.Linear(5, 3))
    with pytest.raises(ValueError, match="'item_encoder' is 3"):
        MF(features, 6, item_encoder=3)
    del features['item'].x
    with pytest.raises(ValueError, match="'item_encoder' is given, but 'data' has no features"):
        MF(features, 6, item_encoder=nn.Linear(7, 6))
