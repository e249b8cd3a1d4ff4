import math

import pytest
import torch
from partial import rows_of

from pyg_advcf import Batch, Embeddings
from pyg_advcf.criteria.hardness import (
    BucketHardness,
    EmbedHardness,
    MLPHardness,
    PopularityHardness,
    RandomHardness,
    UniformHardness,
)

BATCH = Batch(torch.tensor([0, 2]), torch.tensor([1, 1]), torch.tensor([[0, 3, 4], [2, 0, 0]]),
              torch.tensor([0, 1]))
SHARED = BATCH._replace(neg_item=torch.tensor([0, 3, 4]))


def test_embed():
    model = EmbedHardness(3, 5, 8)
    expected = torch.einsum('bd,bnd->bn', model.user.weight[BATCH.user],
                            model.item.weight[BATCH.neg_item])
    assert torch.allclose(model(BATCH), expected, atol=1e-6)
    assert torch.allclose(model(SHARED)[0], expected[0], atol=1e-6)


def test_tables_begin_xavier_normal():
    model = EmbedHardness(300, 500, 40)
    for _ in range(2):
        for table, rows in ((model.user.weight, 300), (model.item.weight, 500)):
            assert table.shape == (rows, 40)
            std = math.sqrt(2 / (rows + 40))
            assert float(table.detach().std()) == pytest.approx(std, rel=0.05)
            assert abs(float(table.detach().mean())) < 0.002
        before = [p.detach().clone() for p in model.parameters()]
        model.reset_parameters()
        assert not any(torch.equal(p, old) for p, old in zip(model.parameters(), before))


def test_mlp_has_one_layer_of_width_four_a_side():
    model = MLPHardness(8)
    assert [tuple(p.shape) for p in model.parameters()] == [(4, 8), (4, ), (4, 8), (4, )]
    assert model.user.bias is not None and MLPHardness(8, hidden=6).item.weight.shape == (6, 8)
    before = [p.detach().clone() for p in model.parameters()]
    model.reset_parameters()
    assert not any(torch.equal(p, old) for p, old in zip(model.parameters(), before))


def test_random_probabilities_are_uniform_draws_over_their_sum():
    torch.manual_seed(5)
    r = torch.rand(2, 3)
    torch.manual_seed(5)
    p = torch.softmax(RandomHardness()(BATCH), dim=1)
    assert torch.allclose(p, r / r.sum(1, keepdim=True), atol=1e-6)


def test_mlp_detaches_its_features():
    model = MLPHardness(8)
    x = Embeddings(torch.randn(3, 8, requires_grad=True), torch.randn(5, 8, requires_grad=True))
    g = model(BATCH, x)
    expected = torch.einsum('bd,bnd->bn', model.user(x.user[BATCH.user]).relu(),
                            model.item(x.item[BATCH.neg_item]).relu())
    assert torch.allclose(g, expected, atol=1e-6)
    assert torch.allclose(model(SHARED, x)[0], expected[0], atol=1e-6)
    g.sum().backward()
    assert x.user.grad is None and x.item.grad is None
    assert model.user.weight.grad is not None and model.item.weight.grad is not None
    with pytest.raises(ValueError, match=r'x=backbone\.x'):
        model(BATCH)


@pytest.mark.parametrize('shared', [False, True])
def test_mlp_on_some_rows_of_the_tables(shared):
    model = MLPHardness(8)
    x = Embeddings(torch.randn(5, 8), torch.randn(9, 8))
    batch = Batch(torch.tensor([1, 4]), torch.tensor([7, 3]), torch.tensor([[8, 2, 8], [3, 2, 7]]),
                  torch.tensor([0, 1]))
    batch = batch._replace(neg_item=batch.neg_item[0]) if shared else batch
    part, = rows_of(batch, x)
    assert torch.allclose(model(batch, part), model(batch, x), atol=1e-6)


def test_fixed_models():
    assert UniformHardness()(BATCH).eq(0).all()
    g = RandomHardness()(BATCH)
    assert g.shape == (2, 3) and g.isfinite().all() and not torch.equal(g, RandomHardness()(BATCH))
    # Degrees 5, 1, 1, 9, 0 are the buckets 2, 1, 1, 3, 0.
    model = BucketHardness(torch.tensor([5, 1, 1, 9, 0]))
    assert torch.allclose(model(BATCH), torch.tensor([[2., 3, 0], [1, 2, 2]]) /
                          torch.tensor([[9.], [6.]]))
    assert torch.allclose(model(SHARED)[1], torch.tensor([2., 3, 0]) / 9)
    rare = BATCH._replace(neg_item=torch.full((2, 3), 4))
    assert model(rare).eq(0).all()


def test_popularity_is_a_power_of_the_degree():
    degree = torch.tensor([5, 1, 1, 9, 0])
    for exponent in (-1., 0., 0.5):
        model = PopularityHardness(degree, exponent)
        for batch in (BATCH, SHARED):
            items = batch.neg_item.expand(2, -1)
            assert torch.allclose(model(batch), exponent * (degree[items] + 1.).log())
    with pytest.raises(ValueError, match="'exponent' is nan"):
        PopularityHardness(degree, float('nan'))
