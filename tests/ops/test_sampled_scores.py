import pytest
import torch
from largest import Largest

from pyg_advcf.ops.sampled_scores import (
    sampled_product,
    sampled_scores,
    sampled_scores_reference,
)

CASES = {  # users, items, batch, negatives
    'random': (30, 40, 16, 8),
    'one_user': (1, 5, 4, 3),
    'one_negative': (30, 40, 16, 1),
    'more_negatives_than_items': (30, 4, 8, 32),
    'empty': (30, 40, 0, 8),
}


def make(case, dtype, repeat=False):
    n, m, batch, num_neg = CASES[case]
    user_emb, item_emb = torch.randn(n, 16, dtype=dtype), torch.randn(m, 16, dtype=dtype)
    user, item = torch.randint(n, (batch, )), torch.randint(m, (batch, ))
    neg = torch.randint(m, (batch, num_neg))
    if repeat:
        neg[:] = item.view(-1, 1)
    return user_emb, item_emb, user, item, neg


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('kind', ['dot', 'cosine'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('repeat', [False, True])
def test_equals_reference(case, kind, dtype, repeat):
    user_emb, item_emb, *ids = make(case, dtype, repeat)
    results = []
    for function in (sampled_scores, sampled_scores_reference):
        tables = user_emb.clone().requires_grad_(), item_emb.clone().requires_grad_()
        pos, neg = function(*tables, *ids, kind, 0.3)
        weight = torch.linspace(-1, 1, neg.numel(), dtype=dtype).view(neg.shape)
        ((pos**2).sum() + (neg * weight).sum()).backward()
        results.append((pos, neg, *(t.grad for t in tables)))
    tolerance = 1e-4 if dtype == torch.float32 else 1e-10
    for ours, reference in zip(*results):
        assert ours.shape == reference.shape
        assert torch.allclose(ours, reference, atol=tolerance, rtol=tolerance)


def test_shared_negatives_equal_reference():
    user_emb, item_emb, user, item, _ = make('random', torch.float64)
    shared = torch.randint(40, (11, ))
    ours = sampled_scores(user_emb, item_emb, user, item, shared, 'cosine', 0.1)
    reference = sampled_scores_reference(user_emb, item_emb, user, item, shared, 'cosine', 0.1)
    for a, b in zip(ours, reference):
        assert torch.allclose(a, b)


def test_not_contiguous():
    a, b = torch.randn(8, 6).t(), torch.randn(8, 9).t()
    index = torch.randint(9, (4, 6)).t()
    expected = torch.einsum('bd,bnd->bn', a, b[index])
    assert torch.allclose(sampled_product(a, b, index), expected, atol=1e-5)


def test_half_precision_follows_the_reference():
    user_emb, item_emb, *ids = make('random', torch.bfloat16)
    pos, neg = sampled_scores(user_emb, item_emb, *ids)
    expected = sampled_scores_reference(user_emb, item_emb, *ids)
    assert pos.dtype == torch.bfloat16
    assert torch.allclose(neg, expected[1], atol=0.1)


def test_gradcheck():
    a = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    b = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([[0, 0, 4], [1, 4, 4], [3, 2, 1]])
    assert torch.autograd.gradcheck(lambda a, b: sampled_product(a, b, index), (a, b))
    assert torch.autograd.gradgradcheck(lambda a, b: sampled_product(a, b, index), (a, b))


def test_backward_is_deterministic():
    user_emb, item_emb, *ids = make('random', torch.float32)
    grads = []
    for _ in range(3):
        table = item_emb.clone().requires_grad_()
        sampled_scores(user_emb, table, *ids)[1].sum().backward()
        grads.append(table.grad)
    assert torch.equal(grads[0], grads[1]) and torch.equal(grads[0], grads[2])


def test_no_three_dimensional_temporary():
    # The largest tensor of forward and backward stays below [B, N, D].
    batch, num_neg, dim = 64, 32, 16
    a = torch.randn(100, dim, requires_grad=True)
    b = torch.randn(50, dim, requires_grad=True)
    ids = torch.randint(100, (batch, )), torch.randint(50, (batch, ))
    neg = torch.randint(50, (batch, num_neg))
    with Largest() as watch:
        pos, neg = sampled_scores(a, b, *ids, neg, 'cosine', 0.1)
        (pos.sum() + neg.exp().sum()).backward()
    assert 0 < watch.largest < batch * num_neg * dim / 4


@pytest.mark.parametrize('bad', [40, -1])
def test_negative_out_of_range(bad):
    user_emb, item_emb, user, item, neg = make('random', torch.float32)
    neg[3, 2] = bad
    with pytest.raises(ValueError, match=f"'neg_item' holds the id {bad}.*0, 40"):
        sampled_scores(user_emb, item_emb, user, item, neg)


def test_shapes_that_do_not_fit():
    index = torch.zeros(3, 2, dtype=torch.long)
    for a, b in ((torch.randn(2, 4), torch.randn(5, 4)), (torch.randn(3, 4), torch.randn(5, 6))):
        with pytest.raises(ValueError, match="'a', 'b' and 'index' have shapes"):
            sampled_product(a, b, index)
    with pytest.raises(ValueError, match='need to be alike'):
        sampled_product(torch.randn(3, 4), torch.randn(5, 4, dtype=torch.float64), index)


def test_bad_arguments():
    args = make('random', torch.float32)
    with pytest.raises(ValueError, match="'temperature' is 0"):
        sampled_scores(*args, 'dot', 0)
    with pytest.raises(ValueError, match="'kind' is 'cos'.*Did you mean 'cosine'"):
        sampled_scores(*args, 'cos')
