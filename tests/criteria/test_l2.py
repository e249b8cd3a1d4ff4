import pytest
import torch
from partial import rows_of, scattered

from pyg_advcf import Batch, Embeddings
from pyg_advcf.criteria import EmbeddingL2

BATCH = Batch(torch.tensor([0, 0]), torch.tensor([1, 2]), torch.tensor([[2, 2], [0, 1]]),
              torch.tensor([0, 1]))


@pytest.mark.parametrize('negatives', [False, True])
def test_counts_the_rows_of_the_batch(negatives):
    x = Embeddings(torch.randn(3, 4, requires_grad=True), torch.randn(4, 4, requires_grad=True))
    loss = EmbeddingL2(0.5, negatives)(x, BATCH)
    rows = [x.user[0], x.user[0], x.item[1], x.item[2]]
    if negatives:
        rows += [x.item[2], x.item[2], x.item[0], x.item[1]]
    assert torch.allclose(loss, 0.5 * sum(r.square().sum() for r in rows) / 4)
    loss.backward()
    assert x.user.grad[1:].eq(0).all() and x.item.grad[3].eq(0).all()


@pytest.mark.parametrize('num_neg', [0, 1, 5])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_many_negatives_cost_no_copies_and_count_the_same(num_neg, dtype):
    # Up to as many ids as items are gathered, more are counted; not contiguous either.
    neg_item = torch.randint(7, (num_neg, 600)).t()
    batch = Batch(torch.randint(9, (600, )), torch.randint(7, (600, )), neg_item,
                  torch.arange(600))
    x = Embeddings(*(torch.randn(n, 3).to(dtype).requires_grad_() for n in (9, 7)))
    same = Embeddings(*(t.detach().double().requires_grad_() for t in x))
    loss = EmbeddingL2(0.5, negatives=True)(x, batch)
    rows = torch.cat([same.user[batch.user], same.item[batch.item],
                      same.item[neg_item].flatten(0, 1)])
    expected = 0.5 * rows.square().sum() / 1200
    tolerance = 1e-5 if dtype.itemsize > 2 else 2e-2
    assert torch.allclose(loss.double(), expected, rtol=tolerance)
    for found, wanted in zip(torch.autograd.grad(loss, tuple(x)),
                             torch.autograd.grad(expected, tuple(same))):
        assert torch.allclose(found.double(), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize('negatives', [False, True])
@pytest.mark.parametrize('num_neg', [1, 40])
def test_embeddings_of_some_rows_give_the_same(negatives, num_neg):
    x = Embeddings(*(torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (12, 30)))
    batch = scattered(Batch(torch.randint(6, (5, )), torch.randint(15, (5, )),
                            torch.randint(14, (5, num_neg)), torch.arange(5)))
    part, = rows_of(batch, x)
    results = []
    for embeddings in (x, part):
        loss = EmbeddingL2(0.5, negatives)(embeddings, batch)
        results.append((loss, *torch.autograd.grad(loss, tuple(x))))
    for whole, found in zip(*results):
        assert torch.allclose(whole, found, atol=1e-12)


def test_gradcheck():
    user, item = (torch.randn(n, 2, dtype=torch.float64, requires_grad=True) for n in (3, 4))
    many = BATCH._replace(neg_item=torch.randint(4, (2, 5)))
    assert torch.autograd.gradcheck(lambda *x: EmbeddingL2(1., True)(Embeddings(*x), many),
                                    (user, item))
    assert torch.autograd.gradgradcheck(lambda *x: EmbeddingL2(1., True)(Embeddings(*x), many),
                                        (user, item))


def test_negative_weight():
    with pytest.raises(ValueError, match="'weight' is -1"):
        EmbeddingL2(-1)
