import pytest
import torch
import torch.nn.functional as F

from pyg_advcf.ops.cross_entropy import product_cross_entropy


def problem(n=7, m=5, dtype=torch.float64):
    a, b = (torch.randn(k, 3, dtype=dtype, requires_grad=True) for k in (n, m))
    bias = torch.randn(m, dtype=dtype)
    target = torch.randint(m - 1, (n, ))
    bias[m - 1] = float('-inf')
    return a, b, target, torch.rand(n, dtype=dtype), bias


@pytest.mark.parametrize('chunk_size', [1, 3, 100, None])
@pytest.mark.parametrize('biased', [True, False])
def test_equals_plain_cross_entropy(chunk_size, biased):
    a, b, target, weight, bias = problem()
    bias = bias if biased else None
    scores = a @ b.t() if bias is None else a @ b.t() + bias
    expected = (F.cross_entropy(scores, target, reduction='none') * weight).sum()
    loss = product_cross_entropy(a, b, target, weight, bias, chunk_size)
    assert torch.allclose(loss, expected, atol=1e-12)
    for ours, theirs in zip(torch.autograd.grad(3 * loss, (a, b)),
                            torch.autograd.grad(3 * expected, (a, b))):
        assert torch.allclose(ours, theirs, atol=1e-12)
    assert torch.autograd.gradcheck(
        lambda a, b: product_cross_entropy(a, b, target, weight, bias, chunk_size), (a, b))


def test_second_derivatives_and_no_gradients():
    a, b, target, weight, bias = problem()
    assert torch.autograd.gradgradcheck(
        lambda a, b: product_cross_entropy(a, b, target, weight, bias, 3), (a, b))
    loss = product_cross_entropy(a, b.detach(), target, weight)
    assert loss.requires_grad and torch.autograd.grad(loss, a)[0].abs().sum() > 0
    with torch.no_grad():
        assert not product_cross_entropy(a, b, target, weight).requires_grad


def test_extremes_and_no_rows():
    a = torch.tensor([[100.], [-100.]], requires_grad=True)
    b = torch.tensor([[1.], [-1.]], requires_grad=True)
    loss = product_cross_entropy(a, b, torch.tensor([1, 1]), torch.ones(2))
    loss.backward()
    assert float(loss) == 200. and a.grad.isfinite().all() and b.grad.isfinite().all()
    nothing = product_cross_entropy(a[:0], b, torch.tensor([], dtype=torch.long), torch.ones(0))
    assert float(nothing) == 0


def test_compiles():
    a, b, target, weight, bias = problem(dtype=torch.float32)
    compiled = torch.compile(product_cross_entropy, backend='aot_eager', fullgraph=True)
    ours = torch.autograd.grad(compiled(a, b, target, weight, bias, 4), (a, b))
    theirs = torch.autograd.grad(product_cross_entropy(a, b, target, weight, bias, 4), (a, b))
    for x, y in zip(ours, theirs):
        assert torch.allclose(x, y, atol=1e-6)
