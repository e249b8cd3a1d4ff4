import math

import pytest
import torch
import torch.nn.functional as F
from criteria_reference import infonce as reference
from largest import Largest

from pyg_advcf import Embeddings
from pyg_advcf.criteria import FullInfoNCE, InBatchInfoNCE
from pyg_advcf.criteria.functional import bpr, infonce
from pyg_advcf.ops import sampled_scores


def scores(num_neg=5):
    return (torch.randn(6, dtype=torch.float64, requires_grad=True),
            torch.randn(6, num_neg, dtype=torch.float64, requires_grad=True))


def test_equals_the_loop_and_cross_entropy():
    pos, neg = scores()
    expected = torch.tensor(reference(pos.tolist(), neg.tolist()), dtype=torch.float64)
    assert torch.allclose(infonce(pos, neg, 'none'), expected, atol=1e-12)
    logits = torch.cat([pos.view(-1, 1), neg], dim=1)
    target = torch.zeros(6, dtype=torch.long)
    assert torch.allclose(infonce(pos, neg), F.cross_entropy(logits, target), atol=1e-12)


def test_identities():
    pos, neg = scores(1)
    assert torch.allclose(infonce(pos, neg), bpr(pos, neg), atol=1e-12)
    zero = torch.zeros(6, dtype=torch.float64)
    assert float(infonce(zero, torch.zeros(6, 5, dtype=torch.float64))) == pytest.approx(
        math.log(6), abs=1e-12)
    pos, neg = scores()
    loss = infonce(pos, neg, 'none')
    loss.sum().backward()
    assert torch.allclose(neg.grad.sum(1), -pos.grad, atol=1e-12)
    floor = (neg - pos.view(-1, 1)).amax(1).clamp(min=0)
    assert (loss >= floor).all() and (loss <= floor + math.log(6)).all()
    dcl = torch.logsumexp(neg, 1) - pos
    assert torch.allclose(loss, F.softplus(dcl), atol=1e-12)


def test_in_batch_equals_sampled_with_the_other_items():
    a = torch.randn(5, 8, dtype=torch.float64)
    b = torch.randn(5, 8, dtype=torch.float64)
    others = torch.tensor([[j for j in range(5) if j != i] for i in range(5)])
    pos, neg = sampled_scores(a, b, torch.arange(5), torch.arange(5), others, 'cosine', 0.2)
    criterion = InBatchInfoNCE(0.2)
    assert torch.allclose(criterion(a, b), infonce(pos, neg), atol=1e-12)
    order = torch.randperm(5)
    each = InBatchInfoNCE(0.2, reduction='none')
    assert torch.allclose(each(a[order], b[order]), each(a, b)[order], atol=1e-12)
    assert float(criterion(a[:1].expand(5, 8), a[:1].expand(5, 8))) == pytest.approx(math.log(5))


def test_in_batch_mask_log_q_and_symmetry():
    a, b = torch.randn(4, 8, dtype=torch.float64), torch.randn(4, 8, dtype=torch.float64)
    logits = F.normalize(a) @ F.normalize(b).t() / 0.5
    target = torch.arange(4)
    log_q = torch.rand(4, dtype=torch.float64).log()
    assert torch.allclose(InBatchInfoNCE(0.5)(a, b, log_q=log_q),
                          F.cross_entropy(logits - log_q, target), atol=1e-12)
    both = (F.cross_entropy(logits, target) + F.cross_entropy(logits.t(), target)) / 2
    assert torch.allclose(InBatchInfoNCE(0.5, symmetric=True)(a, b), both, atol=1e-12)
    mask = torch.zeros(4, 4, dtype=torch.bool)  # Only the diagonal is left: nothing to tell apart.
    assert float(InBatchInfoNCE(0.5)(a, b, mask=mask)) == 0
    with pytest.raises(ValueError, match='need to be the same'):
        InBatchInfoNCE(0.5)(a, b[:3])


@pytest.mark.parametrize('chunk_size', [1, 3, 7])
@pytest.mark.parametrize('symmetric', [False, True])
@pytest.mark.parametrize('masked', [False, True])
def test_in_batch_chunks_change_nothing(chunk_size, symmetric, masked):
    a, b = (torch.randn(7, 8, dtype=torch.float64, requires_grad=True) for _ in range(2))
    mask = torch.rand(7, 7) < 0.5 if masked else None
    log_q = torch.rand(7, dtype=torch.float64).log()
    results = []
    for size in (100, chunk_size):
        loss = InBatchInfoNCE(0.2, symmetric, size, 'none')(a, b, mask, log_q)
        results.append((loss, *torch.autograd.grad(loss.square().sum(), (a, b))))
    for whole, chunks in zip(*results):
        assert torch.allclose(whole, chunks, atol=1e-12)


def test_chunks_hold_a_fraction_of_the_scores():
    a, b = (torch.randn(256, 4, requires_grad=True) for _ in range(2))
    for size, most in ((256, 256 * 256), (16, 256 * 16)):
        with Largest() as watch:
            InBatchInfoNCE(0.2, chunk_size=size)(a, b).backward()
        assert watch.largest == most


@pytest.mark.parametrize('chunk_size', [1, 4, 100])
def test_full_equals_sampled_with_all_other_items(chunk_size):
    z = Embeddings(*(torch.randn(n, 8, dtype=torch.float64, requires_grad=True) for n in (6, 7)))
    user, item = torch.tensor([0, 1, 1, 5, 3]), torch.tensor([6, 0, 1, 2, 2])
    others = torch.tensor([[j for j in range(7) if j != i] for i in item.tolist()])
    expected = infonce(*sampled_scores(z.user, z.item, user, item, others, 'cosine', 0.3))
    expected_grad = torch.autograd.grad(expected, tuple(z))
    loss = FullInfoNCE(0.3, chunk_size)(z, user, item)
    assert torch.allclose(loss, expected, atol=1e-12)
    for ours, reference_grad in zip(torch.autograd.grad(loss, tuple(z)), expected_grad):
        assert torch.allclose(ours, reference_grad, atol=1e-12)


def test_full_leaves_masked_items_out_but_never_the_positive():
    z = Embeddings(torch.randn(2, 8, dtype=torch.float64), torch.randn(4, 8, dtype=torch.float64))
    user, item = torch.tensor([0, 1]), torch.tensor([2, 0])
    masked = (torch.tensor([0, 0, 1]), torch.tensor([2, 3, 1]))
    loss = FullInfoNCE(0.3, chunk_size=1, reduction='none')(z, user, item, masked)
    for row, kept in enumerate([[0, 1], [2, 3]]):
        pos, neg = sampled_scores(z.user, z.item, user[row:row + 1], item[row:row + 1],
                                  torch.tensor([kept]), 'cosine', 0.3)
        assert torch.allclose(loss[row], infonce(pos, neg), atol=1e-12)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_low_temperature_stays_finite(dtype):
    a = torch.randn(8, 16).to(dtype).requires_grad_()
    loss = InBatchInfoNCE(0.01)(a, -a)
    loss.backward()
    assert loss.isfinite() and a.grad.isfinite().all() and a.grad.abs().sum() > 0


def test_bad_arguments():
    with pytest.raises(ValueError, match="'temperature' is 0"):
        InBatchInfoNCE(0)
    with pytest.raises(ValueError, match="'chunk_size' is 0"):
        FullInfoNCE(0.1, 0)
