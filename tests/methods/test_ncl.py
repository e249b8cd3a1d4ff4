import pytest
import torch
import torch.nn.functional as F

from pyg_advcf import MF, InteractionLoader, LightGCN, Step, fit, methods
from pyg_advcf.training import load_safely


@pytest.fixture
def batch(toy):
    return next(iter(InteractionLoader(toy, 64)))


def nce(a, b, target, temperature):
    return F.cross_entropy(F.normalize(a, dim=1) @ F.normalize(b, dim=1).t() / temperature, target)


def test_without_weights_it_is_bpr(toy, batch):
    losses = []
    for build, kwargs in ((methods.bpr, {}),
                          (methods.NCL, {'structure_weight': 0., 'prototype_weight': 0.}),
                          # Prototypes begin later.
                          (methods.NCL, {'structure_weight': 0.})):
        torch.manual_seed(0)
        method = build(LightGCN(toy, dim=4).double(), **kwargs)
        method.on_epoch_start(0)
        losses.append(method(batch))
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize('hops, num_layers', [(1, 2), (1, 3), (2, 4)])
def test_structure_contrasts_an_even_layer_with_the_tables(toy, batch, hops, num_layers):
    backbone = LightGCN(toy, dim=4, num_layers=num_layers).double()
    method = methods.NCL(backbone, 0.2, structure_weight=0.7, prototype_weight=0., alpha=1.5,
                         hops=hops)
    layers = backbone(return_layers=True).layers
    (user, item), (user_0, item_0) = layers[2 * hops], layers[0]
    users, items = batch.user.unique(), batch.item.unique()
    expected = methods.bpr(backbone)(batch) + 0.7 * (
        nce(user[users], user_0, users, 0.2) + 1.5 * nce(item[items], item_0, items, 0.2))
    assert torch.allclose(method(batch), expected, atol=1e-10)


def test_prototypes_come_with_their_epoch_and_are_contrasted_with_the_tables(toy, batch):
    backbone = LightGCN(toy, dim=4).double()
    method = methods.NCL(backbone, 0.2, structure_weight=0., prototype_weight=0.7,
                         num_clusters=6, warmup_epochs=2).double()
    bpr = methods.bpr(backbone)(batch)
    for epoch in range(2):
        method.on_epoch_start(epoch)
        assert torch.equal(method(batch), bpr)
    method.on_epoch_start(2)
    expected = bpr
    for criterion, x, ids in ((method.user_prototypes, backbone.x.user, batch.user.unique()),
                              (method.item_prototypes, backbone.x.item, batch.item.unique())):
        assert criterion.size.sum() == x.size(0) and (criterion.size > 0).sum() > 3
        expected = expected + 0.7 * nce(x[ids], criterion.centroid[criterion.size > 0],
                                        torch.searchsorted((criterion.size > 0).nonzero().view(-1),
                                                           criterion.cluster[ids]), 0.2)
    assert torch.allclose(method(batch), expected, atol=1e-10)


def test_a_resumed_run_is_the_uninterrupted_one(toy, tmp_path):
    ends = []
    for epochs in ((6, ), (4, 6)):
        for part in epochs:
            torch.manual_seed(0)
            method = methods.NCL(LightGCN(toy, dim=4), prototype_weight=0.1, num_clusters=5,
                                 warmup_epochs=1)
            fit(Step(method, lr=0.05), InteractionLoader(toy, 64), epochs=part, evaluate_every=2,
                patience=None, checkpoint=tmp_path / f'{len(epochs)}.pt', resume=part == 6,
                progress=False)
        ends.append(load_safely(tmp_path / f'{len(epochs)}.pt', '')['step']['recommender'])
    for key, value in ends[0].items():
        assert torch.equal(value, ends[1][key])
    assert ends[0]['user_prototypes.centroid'].any()


def test_prototypes_alone_take_any_backbone(toy, batch):
    method = methods.NCL(MF(toy, dim=4), structure_weight=0., prototype_weight=1.,
                         num_clusters=3, warmup_epochs=0)
    method.on_epoch_start(0)
    method(batch).backward()
    assert all(p.grad.isfinite().all() for p in method.parameters())


def test_bad_arguments(toy):
    with pytest.raises(ValueError, match="1 layers, but neighbours by 'hops' = 1 need 2"):
        methods.NCL(LightGCN(toy, dim=2, num_layers=1))
    with pytest.raises(ValueError, match="'backbone' is MF.* has no layers, but NCL needs that"):
        methods.NCL(MF(toy, dim=2))
    with pytest.raises(ValueError, match="'num_clusters' is 31, but there are only 30 nodes"):
        methods.NCL(LightGCN(toy, dim=2), num_clusters=31)
    assert methods.NCL(LightGCN(toy, dim=2)).item_prototypes.num_clusters == 4
    with pytest.raises(ValueError, match="'temperature' is 0"):
        methods.NCL(LightGCN(toy, dim=2), temperature=0)
    with pytest.raises(ValueError, match="'alpha' is -1"):
        methods.NCL(LightGCN(toy, dim=2), alpha=-1)
    assert methods.NCL(LightGCN(toy, dim=2), alpha=1.5).contrast.item_weight == 1.5
