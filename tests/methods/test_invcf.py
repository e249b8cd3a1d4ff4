import pytest
import torch
from method_tools import assert_equal

from pyg_advcf import MF, Cosine, InteractionLoader, LightGCN, methods
from pyg_advcf.criteria import InfoNCE, InvCFLoss
from pyg_advcf.criteria.functional import infonce

PARTS = {'popularity': 0.5, 'independence': 0.5, 'invariance': 0.5}


@pytest.fixture(params=[(30, 40), (300, 400)], ids=['all rows', 'few rows'])
def data(request, toy_factory):
    # Among many users and items, a backbone computes only the rows that the batch names.
    return toy_factory(*request.param, 5 * request.param[0], held_out=False)


def popularity_table(method):
    r"""A row for every user and item, by a loop over the nodes."""
    return [torch.stack([table.weight[torch.unique(degree).tolist().index(d)] for d in
                         degree.tolist()])
            for table, degree in zip((method.popularity.user, method.popularity.item),
                                     method.backbone.degrees)]


@pytest.mark.parametrize('backbone', [MF, LightGCN])
@pytest.mark.parametrize('shared', [False, True])
def test_popularity_takes_the_path_of_the_preferences(data, backbone, shared):
    method = methods.InvCF(backbone(data, dim=8), **PARTS, l2=0.)
    negatives = 'in_batch' if shared else 'uniform'
    batch = next(iter(InteractionLoader(data, 20, 4, negatives=negatives)))
    x = method.backbone.x
    p = method.backbone(x=x.with_tables(*popularity_table(method)))
    torch.manual_seed(3)
    expected = method.criterion(method.backbone(), p, batch)
    torch.manual_seed(3)
    found = method(batch)
    assert torch.allclose(found, expected, atol=1e-5)
    parameters = list(method.parameters())
    assert len(parameters) == 4
    for a, b in zip(torch.autograd.grad(found, parameters),
                    torch.autograd.grad(expected, parameters)):
        assert torch.allclose(a, b, atol=1e-5) and a.ne(0).any()


@pytest.mark.parametrize('backbone', [MF, LightGCN])
def test_loss_at_given_embeddings_is_that_of_the_batch(data, backbone):
    # At the embeddings of a batch, at all of them, and at shifted ones.
    method = methods.InvCF(backbone(data, dim=8), **PARTS, l2=0.)
    batch = next(iter(InteractionLoader(data, 20, 4)))
    losses = []
    for compute in (lambda: method(batch),
                    lambda: method.ranking_loss(method.backbone.encode(batch), batch),
                    lambda: method.ranking_loss(method.backbone(), batch)):
        torch.manual_seed(3)
        losses.append(compute())
    assert_equal(losses[1:], [losses[0]] * 2, 1e-5)
    torch.manual_seed(3)
    moved = method.backbone().map(lambda t: t.sign() * t.square())
    assert not torch.allclose(method.ranking_loss(moved, batch), losses[0], atol=1e-3)


def test_without_its_parts_it_is_infonce(toy):
    batch = next(iter(InteractionLoader(toy, 32, 4)))
    model = LightGCN(toy, dim=8)
    method = methods.InvCF(model, 0.3, popularity=0., independence=0., invariance=0., l2=0.2)
    assert torch.equal(method(batch), methods.infonce(model, 0.3, l2=0.2)(batch))
    pos, neg = Cosine(0.3)(model(), batch)
    assert torch.allclose(method.ranking_loss(model(), batch), infonce(pos, neg), atol=1e-6)
    assert isinstance(method.criterion, InvCFLoss) and not isinstance(method.criterion, InfoNCE)


def test_ranks_by_the_preferences_alone(toy):
    model = LightGCN(toy, dim=8)
    method = methods.InvCF(model, 0.3)
    plain = methods.infonce(model, 0.3)
    assert torch.equal(method.recommend([0, 1, 2], k=5).item, plain.recommend([0, 1, 2], k=5).item)
    assert not method.l2.negatives and method.negatives == 'many'


@pytest.mark.parametrize('key', ['temperature', 'popularity', 'independence', 'invariance',
                                 'factors'])
def test_bad_arguments(toy, key):
    with pytest.raises(ValueError, match=f"'{key}' is -1"):
        methods.InvCF(MF(toy, dim=8), **{key: -1})
    if key == 'factors':
        with pytest.raises(ValueError, match="'factors' is 3, but embeddings of width 2"):
            methods.InvCF(MF(toy, dim=2), independence=0.5, factors=3)
