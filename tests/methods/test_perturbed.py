import pytest
import torch
from method_tools import BACKBONES, assert_equal

from pyg_advcf import Dot, Embeddings, InteractionLoader
from pyg_advcf.criteria.functional import bpr
from pyg_advcf.methods.perturbed import perturbed
from pyg_advcf.transforms import FastGradient, ProjectedGradient, RandomNoise

PERTURBATIONS = [FastGradient(0.3), FastGradient(0.3, 'global'),
                 ProjectedGradient(0.3, steps=3, step_size=0.2)]


@pytest.fixture(params=[4, 64], ids=['few rows', 'all rows'])
def batch(toy, request):
    return next(iter(InteractionLoader(toy, request.param)))


def build(backbone, data):
    torch.manual_seed(3)
    return BACKBONES[backbone](data).double()


def loss_of(batch):
    return lambda z: bpr(*Dot()(z, batch))


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize('perturbation', PERTURBATIONS, ids=str)
def test_both_embeddings_and_their_gradients(toy, batch, backbone, perturbation):
    # Without shortcuts: whole tables, the perturbation by the public transform.
    model, objective = build(backbone, toy), loss_of(batch)
    found = perturbed(model, objective, perturbation, batch)
    delta = perturbation.delta(model.x, lambda x: objective(model(x=x)))
    moved = model(x=Embeddings(*(t + d for t, d in zip(model.x, delta))))
    for z, expected in ((found.z, model()), (found.z_adv, moved)):
        for ids, ours, theirs in ((batch.user, z.users, expected.users),
                                  (batch.item, z.items, expected.items),
                                  (batch.neg_item, z.items, expected.items)):
            assert torch.allclose(ours(ids), theirs(ids), atol=1e-12)
        assert_equal(*(torch.autograd.grad(objective(x), list(model.parameters()),
                                           retain_graph=True) for x in (z, expected)))
    assert objective(found.z_adv) > objective(found.z)
    assert found.batch is batch and found.outer_batch is None
    assert not any(t.requires_grad for t in found.perturbation)


@pytest.mark.parametrize('backbone', BACKBONES)
def test_the_perturbation_is_a_shift_of_what_the_encoder_starts_from(toy, batch, backbone):
    model, objective = build(backbone, toy), loss_of(batch)
    found = perturbed(model, objective, FastGradient(0.3), batch)
    for shift, table in zip(found.perturbation, found.encode.x):
        assert shift.shape == table.shape
    again = found.encode(found.encode.x.map(torch.add, found.perturbation))
    assert_equal(found.z_adv, again)
    assert_equal(found.z, found.encode())


@pytest.mark.parametrize('backbone', BACKBONES)
def test_a_known_perturbation_is_used_as_it_is(toy, batch, backbone):
    model, objective = build(backbone, toy), loss_of(batch)
    one = perturbed(model, objective, FastGradient(0.3), batch)

    def breaks(z):
        raise AssertionError('nothing has to be searched for')

    two = perturbed(model, breaks, FastGradient(7.), batch, fixed=one.perturbation)
    assert_equal(two.perturbation, one.perturbation)
    assert_equal(two.z_adv, one.z_adv)


@pytest.mark.parametrize('backbone', BACKBONES)
def test_without_a_perturbation_only_the_clean_embeddings_are_there(toy, batch, backbone):
    model = build(backbone, toy)
    found = perturbed(model, loss_of(batch), None, batch)
    assert found.z_adv is None and found.perturbation is None
    assert torch.allclose(found.z.users(batch.user), model().user[batch.user], atol=1e-12)


@pytest.mark.parametrize('backbone', BACKBONES)
def test_further_pairs_are_encoded_and_do_not_matter(toy, batch, backbone):
    model, objective = build(backbone, toy), loss_of(batch)
    other = next(iter(InteractionLoader(toy, 4, 3, seed=9)))  # With more negatives.
    alone = perturbed(model, objective, FastGradient(0.3), batch)
    found = perturbed(model, objective, FastGradient(0.3), batch, other)
    assert found.outer_batch is other
    assert torch.allclose(objective(found.z_adv), objective(alone.z_adv), atol=1e-12)
    delta = FastGradient(0.3).delta(model.x, lambda x: objective(model(x=x)))
    moved = model(x=Embeddings(*(t + d for t, d in zip(model.x, delta))))
    assert torch.allclose(loss_of(other)(found.z_adv), loss_of(other)(moved), atol=1e-12)


@pytest.mark.parametrize('backbone', ['mf', 'lightgcn'])
def test_whole_tables_on_request(toy, backbone):
    batch = next(iter(InteractionLoader(toy, 2)))
    model, objective = build(backbone, toy), loss_of(batch)
    few = perturbed(model, objective, FastGradient(0.3), batch)
    whole = perturbed(model, objective, FastGradient(0.3), batch, whole=True)
    assert few.z.user.size(0) == batch.user.unique().numel() < 30
    assert whole.z.is_complete and whole.z_adv.is_complete and whole.z.user.size(0) == 30
    assert torch.allclose(objective(few.z_adv), objective(whole.z_adv), atol=1e-12)


def test_noise_is_spread_over_the_tables(toy):
    for size in (2, 64):  # Whether few rows are read or all.
        batch = next(iter(InteractionLoader(toy, size)))
        found = perturbed(build('mf', toy), loss_of(batch), RandomNoise(0.5, 'global'), batch)
        assert found.z.is_complete and found.z_adv.is_complete
        assert found.z.user.size(0) == 30 and found.z.item.size(0) == 40
        shift = torch.cat([b - a for a, b in zip(found.z, found.z_adv)])
        assert float(shift.detach().norm()) == pytest.approx(0.5)


def test_keywords_reach_the_backbone(toy, batch):
    model = build('lightgcn', toy)
    found = perturbed(model, loss_of(batch), FastGradient(0.3), batch, return_layers=True)
    for z in (found.z, found.z_adv):
        assert len(z.layers) == 3
    moved = found.encode.x.map(torch.add, found.perturbation)
    for ours, theirs in zip(found.z_adv.layers, found.encode(moved, return_layers=True).layers):
        assert_equal(ours, theirs)


@pytest.mark.parametrize('backbone', BACKBONES)
def test_works_where_gradients_are_off_and_touches_none(toy, batch, backbone):
    model, objective = build(backbone, toy), loss_of(batch)
    for p in model.parameters():
        p.grad = torch.full_like(p, 7.)
    with torch.no_grad():
        found = perturbed(model, objective, FastGradient(0.3), batch)
        assert float(objective(found.z_adv)) > float(objective(found.z))
    assert all((p.grad == 7.).all() for p in model.parameters())
