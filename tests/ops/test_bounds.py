r"""Ids beyond their range are errors, also in compiled code and in direct calls."""
import numpy as np
import pytest
import torch
from graphs import BACKENDS_HERE

from pyg_advcf import LightGCN, as_graph, methods
from pyg_advcf.batch import Batch
from pyg_advcf.embeddings import Embeddings, Index
from pyg_advcf.ops import bounds, layer_sums, propagate, sampled_product, sampled_scores, spmm
from pyg_advcf.ops.cross_entropy import chunked_cross_entropy, product_cross_entropy
from pyg_advcf.ops.normalize import normalize
from pyg_advcf.ops.structure import structure
from pyg_advcf.ops.top_k import top_k

ops = torch.ops.pyg_advcf
BAD = [-1, 3, 2**20, -2**40]


def with_id(shape, place, bad):
    ids = torch.zeros(shape, dtype=torch.long)
    ids[place] = bad
    return ids


@pytest.mark.parametrize('bad', BAD)
@pytest.mark.parametrize('backend', BACKENDS_HERE)
def test_operations_check_their_ids(bad, backend):
    x, w = torch.randn(3, 4), torch.randn(2, 2)
    index = with_id((2, 2), (1, 0), bad)
    for call in (lambda: ops.sampled_product(x[:2], x, index, backend),
                 lambda: ops.gather_sum(w, x, index, backend),
                 lambda: ops.scatter_sum(w, x[:2], index, 3, backend)):
        with pytest.raises(ValueError, match=f"'index' holds the id {bad}"):
            call()
    forms = structure(as_graph(torch.tensor([[0, 1, 2], [0, 1, 2]]), 3, 3))
    good = *forms.pattern(False), *forms.pattern(True)
    rows = with_id(2, 1, bad)
    with pytest.raises(ValueError, match=f"'rows' holds the id {bad}"):
        ops.spmm(x, *good, rows, None, backend)
    with pytest.raises(ValueError, match=f"'source' holds the id {bad}"):
        ops.spmm(x[:2], *good, None, rows, backend)
    with pytest.raises(ValueError, match=f"'item_rows' holds the id {bad}"):
        ops.propagate(x, x, *good, None, rows, None, None, 2, backend)
    with pytest.raises(ValueError, match=f"'user_source' holds the id {bad}"):
        ops.propagate(x[:2], x, *good, None, None, rows, None, 2, backend)
    with pytest.raises(ValueError, match="'rows' repeats ids: 2 are given, 1 are distinct"):
        ops.spmm(x, *good, torch.tensor([1, 1]), None, backend)


@pytest.mark.parametrize('backend', BACKENDS_HERE)
@pytest.mark.parametrize('place', range(4))
def test_operations_check_their_patterns(backend, place):
    x = torch.randn(3, 4)
    forms = structure(as_graph(torch.tensor([[0, 1, 2], [0, 1, 2]]), 3, 3))
    good = [t.clone() for t in (*forms.pattern(False), *forms.pattern(True))]
    ops.propagate(x, x, *good, *[None] * 4, 2, backend)
    for bad in (-1, 3, 2**20):  # An id, or a pointer that the next one is below.
        pattern = [t.clone() for t in good]
        pattern[place][1] = bad
        with pytest.raises(ValueError, match="holds the id|needs to ascend from 0 to 3"):
            ops.propagate(x, x, *pattern, *[None] * 4, 2, backend)
        with pytest.raises(ValueError, match="holds the id|needs to ascend from 0 to 3"):
            ops.sddmm(x, x, *pattern, torch.arange(3, dtype=torch.int32), backend)
        if place < 2:
            with pytest.raises(ValueError, match="holds the id|needs to ascend from 0 to 3"):
                ops.spmm(x, *pattern, None, None, backend)
        else:  # The pattern of the gradient.
            y = x.clone().requires_grad_()
            with pytest.raises(ValueError, match="holds the id|needs to ascend from 0 to 3"):
                ops.spmm(y, *pattern, None, None, backend).sum().backward()
    # A change after the check is noticed.
    good[place][1] = -5
    with pytest.raises(ValueError, match="holds the id|needs to ascend from 0 to 3"):
        ops.propagate(x, x, *good, *[None] * 4, 2, backend)


def test_operations_of_the_compiled_loops_check_their_shapes():
    x, long = torch.rand(2, 4), torch.rand(3, 4)
    for edges, points in ((long, x), (x[:, :0], x), (x, x.double()), (x.long(), x), (x[0], x)):
        with pytest.raises(ValueError, match="'(edges|points)'"):
            ops.merge(edges, points)
    with pytest.raises(ValueError, match="'x' has dtype torch.int64"):
        ops.normalize(x.long())
    for grad, unit, norm in ((long, x, x[:, 0]), (x, x, long[:, 0]), (x, x.double(), x[:, 0])):
        with pytest.raises(ValueError, match="'(grad|norm|unit)'"):
            ops.normalize_backward(grad, unit, norm)
    # Strides, which threads are not told, do not matter.
    wide = torch.rand(4, 2).t()
    assert torch.allclose(ops.normalize_backward(wide, wide, wide[:, 0], ),
                          ops.normalize_backward(*(t.contiguous() for t in (wide, wide,
                                                                            wide[:, 0]))))


@pytest.mark.parametrize('backend', ['eager', 'aot_eager'])
@pytest.mark.parametrize('bad', [-1, 99])
@pytest.mark.parametrize('place', ['user', 'item', 'neg_item'])
def test_compiled_methods_check_the_ids_of_a_batch(toy, backend, bad, place):
    torch.compiler.reset()
    method = methods.infonce(LightGCN(toy, dim=4, num_layers=1))
    batch = Batch(torch.tensor([1, 2]), torch.tensor([3, 4]), torch.tensor([[5], [6]]),
                  torch.tensor([0, 1]))
    compiled = torch.compile(method, backend=backend)
    assert torch.allclose(compiled(batch), method(batch), atol=1e-6)
    ids = getattr(batch, place).clone()
    ids.view(-1)[1] = bad
    for call in (compiled, method):
        with pytest.raises(ValueError, match=f"holds the id {bad}"):
            call(batch._replace(**{place: ids}))


@pytest.mark.parametrize('backend', [None, 'eager', 'aot_eager'])
def test_embeddings_check_ids(backend):
    torch.compiler.reset()
    index = Index.of(torch.tensor([0, 2]), 3)
    for z in (Embeddings(torch.randn(3, 2), torch.randn(3, 2)),
              Embeddings(torch.randn(2, 2), torch.randn(2, 2), index, index)):
        for function in (z.users, z.items):
            call = function if backend is None else torch.compile(function, backend=backend)
            assert call(torch.tensor([2, 0])).shape == (2, 2)
            for bad in (-1, 3):
                with pytest.raises(ValueError, match=f"'ids' holds the id {bad}"):
                    call(torch.tensor([0, bad]))
            assert call(torch.tensor(2)).shape == (2, )
    with pytest.raises(ValueError, match='hold no row for the id 1'):
        call(torch.tensor([1]))


@pytest.mark.parametrize('backend', ['eager', 'aot_eager'])
def test_compiled_operations_check_ids(backend):
    torch.compiler.reset()
    x, graph = torch.randn(3, 4), as_graph(torch.tensor([[0, 1, 2], [0, 1, 2]]), 3, 3)
    fine, bad = torch.tensor([0, 1]), torch.tensor([0, 3])
    for function in (lambda ids: sampled_product(x[:2], x, ids.view(2, 1)),
                     lambda ids: sampled_scores(x, x, ids, fine, fine)[0],
                     lambda ids: sampled_scores(x, x, fine, ids, fine)[0],
                     lambda ids: sampled_scores(x, x, fine, fine, ids)[1],
                     lambda ids: spmm(graph, x, rows=ids),
                     lambda ids: propagate(graph, x, x, 2, (ids, None))[0],
                     lambda ids: layer_sums(graph, x, x, [[1., 1.]], 0., (None, ids))[0][1],
                     lambda ids: product_cross_entropy(x[:2], x, ids, torch.ones(2)),
                     lambda ids: chunked_cross_entropy(x[:2], x, ids, 1)):
        compiled = torch.compile(function, backend=backend)
        assert torch.allclose(compiled(fine), function(fine), atol=1e-6)
        for call in (compiled, function):
            with pytest.raises(ValueError, match='holds the id 3'):
                call(bad)


def test_ids_of_a_step_are_sought_once(monkeypatch):
    seen = []
    monkeypatch.setattr(bounds._range, 'find',
                        lambda ids, find=bounds._range.find: seen.append(ids.shape) or find(ids))
    tables = [torch.randn(9, 4, requires_grad=True) for _ in range(2)]
    user, item, neg = torch.arange(5), torch.arange(5), torch.randint(9, (5, 7))
    pos, scores = sampled_scores(*tables, user, item, neg)
    (pos.sum() + scores.sin().sum()).backward()
    assert sorted(seen) == [(5, ), (5, ), (5, 7)]


def test_wrong_arguments():
    x, graph = torch.randn(3, 4), as_graph(torch.tensor([[0, 1, 2], [0, 1, 2]]), 3, 3)
    ids = torch.zeros(3, 1, dtype=torch.long)
    tables = [None, x.tolist(), x.numpy(), x.long(), x.bool(), x.to(torch.complex64), x[0],
              x.to_sparse(), x.to('meta'), x.unsqueeze(0)]
    for bad in tables:
        for call in (lambda bad: spmm(graph, bad), lambda bad: propagate(graph, bad, x, 1),
                     lambda bad: layer_sums(graph, x, bad, [[1.]]),
                     lambda bad: sampled_product(bad, x, ids), lambda bad: normalize(bad),
                     lambda bad: sampled_scores(x, bad, ids[0], ids[0], ids[:1]),
                     lambda bad: top_k(bad, 1),
                     lambda bad: product_cross_entropy(bad, x, ids[:, 0], torch.ones(3)),
                     lambda bad: chunked_cross_entropy(x, bad, ids[:, 0], 2)):
            with pytest.raises(ValueError, match="'.*' (is|has) .*(needs to be|no values)"):
                call(bad)
    for bad in (None, ids.tolist(), np.zeros((3, 1), int), ids.double(), ids.bool(),
                ids.view(3, 1, 1), ids.double().requires_grad_()):
        with pytest.raises(ValueError, match="'index' (is|has) .*needs to be"):
            sampled_product(x, x, bad)
        with pytest.raises(ValueError, match="'rows' (is|has) .*needs to be"):
            spmm(graph, x, rows=bad if bad is not None else 3)
    with pytest.raises(ValueError, match="'index' is a tensor of torch.int16.*int64 or int32"):
        ops.sampled_product(x, x, ids.short(), 'torch')
    assert torch.equal(sampled_product(x, x, ids.short()), sampled_product(x, x, ids))
    for call in (sampled_product, torch.compile(sampled_product, backend='eager')):
        with pytest.raises(ValueError, match="'index' is"):  # Nothing to read, and elsewhere.
            call(x, x, ids[:, :0].to('meta'))
    with pytest.raises(ValueError, match="'user' is torch.float32 on cpu and 'item' torch.float64"):
        propagate(graph, x, x.double(), 1)
    for bad in (None, torch.arange(2), (None, ), 'xy'):
        with pytest.raises(ValueError, match="'rows(\\[0\\])?' is .*needs to be"):
            propagate(graph, x, x, 1, bad)
    for k in (0, -1, 1.5, None, True):
        with pytest.raises(ValueError, match="'k' is"):
            top_k(x, k)
    with pytest.raises(ValueError, match="'scores' holds NaN"):
        top_k(x.index_fill(1, torch.tensor([2]), float('nan')), 2)
    for backend in (3, ['numba'], np.array(['numba', 'torch'])):
        with pytest.raises(ValueError, match="'backend' is .*not known.*Choose one of"):
            spmm(graph, x, backend=backend)
    for weights in (None, 3., [['x']], torch.zeros(2, 2), [[float('nan'), 1.]]):
        with pytest.raises(ValueError, match="'weights' is"):
            layer_sums(graph, x, x, weights)
    for scale in ([1.] * 3, torch.ones(2), torch.ones(3, dtype=torch.complex64)):
        with pytest.raises(ValueError, match="'row_scale' (is|has)"):
            spmm(graph, x, row_scale=scale)
    with pytest.raises(ValueError, match="'transpose' is 'no'"):
        spmm(graph, x, transpose='no')
