import pytest
import torch
import torch.nn.functional as F
from graphs import BACKENDS_HERE

from pyg_advcf.ops.normalize import normalize


@pytest.mark.parametrize('backend', BACKENDS_HERE)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('shape', [(7, 64), (1, 3), (0, 4)])
def test_equals_pytorch(backend, dtype, shape):
    x = torch.randn(shape[1], shape[0], dtype=dtype).t()  # Not contiguous.
    x[:1] = 0.
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    weight = torch.randn(shape, dtype=dtype)
    (normalize(a, backend) * weight).sum().backward()
    (F.normalize(b, dim=-1) * weight).sum().backward()
    assert torch.allclose(normalize(a, backend), F.normalize(b, dim=-1))
    assert torch.allclose(a.grad[1:], b.grad[1:], atol=1e-5)
    # Rows of zeros have a gradient of 1e12 times what arrives: finite, and the same.
    assert torch.allclose(a.grad[:1], b.grad[:1], rtol=1e-5)


@pytest.mark.parametrize('backend', BACKENDS_HERE)
def test_gradcheck(backend):
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: normalize(x, backend), x)
    assert torch.autograd.gradgradcheck(lambda x: normalize(x, backend), x)


@pytest.mark.parametrize('backend', BACKENDS_HERE)
def test_not_a_number_stays_one(backend):
    x = torch.tensor([[float('nan'), 1.], [3., 4.]])
    assert normalize(x, backend)[0].isnan().all()
    assert normalize(x, backend)[1].tolist() == pytest.approx([.6, .8])
