import pytest
import torch
from graphs import BACKENDS_HERE

from pyg_advcf.ops.segments import regular, sddmm, segment_sum, transposed

PATTERNS = {  # Lengths of the rows, number of columns.
    'random': ([3, 0, 70, 1, 5, 2], 40),
    'one_row': ([7], 3),
    'empty_rows': ([0, 0, 0], 5),
    'no_rows': ([], 5),
    'one_column': ([4, 2], 1),
}


def make(name, dim, dtype, id_dtype=torch.int64):
    lengths, size = PATTERNS[name]
    indptr = torch.tensor([0, *torch.tensor(lengths, dtype=torch.long).cumsum(0).tolist()])
    index = torch.randint(size, (sum(lengths), ))  # Columns repeat, in any order.
    row = torch.repeat_interleave(torch.tensor(lengths, dtype=torch.long))
    tables = torch.randn(len(lengths), dim).to(dtype), torch.randn(size, dim).to(dtype)
    return (indptr.to(id_dtype), index.to(id_dtype)), row, index, *tables


@pytest.mark.parametrize('backend', BACKENDS_HERE)
@pytest.mark.parametrize('name', PATTERNS)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('dim', [64, 5])
@pytest.mark.parametrize('id_dtype', [torch.int32, torch.int64])
def test_equal_loops(backend, name, dtype, dim, id_dtype):
    pattern, row, column, a, b = make(name, dim, dtype, id_dtype)
    weight = torch.randn(row.numel()).to(dtype)
    plain, weighted = torch.zeros_like(a), torch.zeros_like(a)
    dots = torch.zeros(row.numel(), dtype=dtype)
    for e, (r, c) in enumerate(zip(row.tolist(), column.tolist())):
        plain[r] += b[c]
        weighted[r] += weight[e] * b[c]
        dots[e] = (a[r] * b[c]).sum()
    tolerance = dict(atol=1e-4 if dtype == torch.float32 else 1e-12)
    assert torch.allclose(segment_sum(b, *pattern, None, backend), plain, **tolerance)
    assert torch.allclose(segment_sum(b, *pattern, weight, backend), weighted, **tolerance)
    assert torch.allclose(sddmm(a, b, *pattern, backend), dots, **tolerance)
    strided = [torch.stack([t, t], 1)[:, 0] for t in pattern]
    assert torch.allclose(segment_sum(b, *strided, weight, backend), weighted, **tolerance)
    assert torch.allclose(sddmm(a, b, *strided, backend), dots, **tolerance)


@pytest.mark.parametrize('backend', BACKENDS_HERE)
@pytest.mark.parametrize('shape', [(6, 7), (1, 3), (5, 1), (0, 4)])
def test_transposed_is_a_stable_sort(backend, shape):
    index, weight = torch.randint(9, shape), torch.randn(shape)
    indptr, row, out = transposed(index, 9, weight, backend)
    entries = sorted((int(index[r, n]), r, n) for r in range(shape[0]) for n in range(shape[1]))
    assert indptr.tolist() == [sum(j < k for j, _, _ in entries) for k in range(10)]
    assert row.tolist() == [r for _, r, _ in entries]
    assert out.tolist() == [float(weight[r, n]) for _, r, n in entries]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_triton_sums_halves_in_single_precision(dtype):
    if 'triton' not in BACKENDS_HERE:
        pytest.skip('needs triton')
    # Ones sum to 3072, which both types hold; added up in 16 bits they stop at 256 or 2048.
    x = torch.ones(1, 3, dtype=dtype)
    index = torch.zeros(3072, dtype=torch.long)
    assert segment_sum(x, torch.tensor([0, 3072]), index, None, 'triton').tolist() == [[3072.] * 3]
    a = torch.ones(1, 3072, dtype=dtype)
    dots = sddmm(a, a, torch.tensor([0, 1]), torch.zeros(1, dtype=torch.long), 'triton')
    assert dots.item() == 3072.


def test_regular():
    assert regular(torch.empty(3, 4)).tolist() == [0, 4, 8, 12]
    assert regular(torch.empty(0, 4)).tolist() == [0]
