r"""Graphs that this library has not made: compressed once, in any order, checked."""
import copy
import gc

import pytest
import torch
from torch_geometric import EdgeIndex

from pyg_advcf import as_graph
from pyg_advcf.ops import layer_sums, propagate, sddmm, spmm
from pyg_advcf.ops import structure as module
from pyg_advcf.ops.spmm import spmm_reference
from pyg_advcf.ops.structure import structure

N, M = 5, 7


def edges(count=14):
    keys = torch.randperm(N * M)[:count].sort()[0]
    return torch.stack([keys // M, keys % M])


def by_column(pairs):
    return pairs[:, torch.sort(pairs[1], stable=True)[1]]


GRAPHS = {
    'by_column': lambda e: EdgeIndex(by_column(e), sparse_size=(N, M), sort_order='col'),
    'by_column_cached': lambda e: EdgeIndex(by_column(e), sparse_size=(N, M),
                                            sort_order='col').fill_cache_(),
    # PyTorch Geometric leaves the pointers of the other order in it.
    'sorted_by_pyg': lambda e: EdgeIndex(by_column(e), sparse_size=(N, M), sort_order='col'
                                         ).fill_cache_().sort_by('row')[0],
    'unsorted': lambda e: EdgeIndex(e[:, torch.randperm(e.size(1))], sparse_size=(N, M)),
    'falsely_sorted': lambda e: EdgeIndex(e[:, torch.randperm(e.size(1))], sparse_size=(N, M),
                                          sort_order='row'),
    'rows_alone': lambda e: EdgeIndex(e.flip(1)[:, torch.sort(e.flip(1)[0], stable=True)[1]],
                                      sparse_size=(N, M), sort_order='row'),
    '64_bits': lambda e: EdgeIndex(e, sparse_size=(N, M), sort_order='row'),
    'transposed_twice': lambda e: as_graph(e, N, M).flip(0).flip(0),
    'transposed': lambda e: as_graph(by_column(e).flip(0), M, N).flip(0),
    'repeated': lambda e: EdgeIndex(e.repeat_interleave(2, 1), sparse_size=(N, M),
                                    sort_order='row'),
}


@pytest.mark.parametrize('name', GRAPHS)
@pytest.mark.parametrize('backend', ['torch', 'fused', 'numba'])
def test_any_order_is_right(name, backend):
    if backend == 'numba':
        pytest.importorskip('numba')
    graph = GRAPHS[name](edges())
    user, item = (torch.randn(n, 3, dtype=torch.double, requires_grad=True) for n in (N, M))
    weight = torch.randn(graph.size(1), dtype=torch.double, requires_grad=True)
    u, i = graph.as_tensor().long()
    rows = torch.tensor([3, 0])
    for ours, theirs, leaves in (
            (spmm(graph, item, edge_weight=weight, backend=backend),
             spmm_reference(graph, item, edge_weight=weight), (item, weight)),
            (spmm(graph, user, True, edge_weight=weight, backend=backend),
             spmm_reference(graph, user, True, weight), (user, weight)),
            (spmm(graph, item, rows=rows, backend=backend), spmm_reference(graph, item)[rows],
             (item, )),
            (sddmm(graph, user, item, backend), (user[u] * item[i]).sum(1), (user, item))):
        assert torch.allclose(ours, theirs, atol=1e-12)
        scale = torch.linspace(-1, 1, ours.numel(), dtype=torch.double).view(ours.shape)
        for a, b in zip(*(torch.autograd.grad((out * scale).sum(), leaves)
                          for out in (ours, theirs))):
            assert torch.allclose(a, b, atol=1e-12)
    same = EdgeIndex(torch.stack([u, i])[:, torch.sort(u * M + i)[1]], sparse_size=(N, M))
    for function in (lambda g: propagate(g, user, item, 2, (rows, None), backend),
                     lambda g: layer_sums(g, user, item, [[0., 1., 2.]], backend=backend)[0]):
        for a, b in zip(function(graph), function(same)):
            assert torch.allclose(a, b, atol=1e-12)


def test_undirected_flag_changes_nothing():
    pairs = torch.tensor([[0, 0, 2], [1, 2, 2]])  # Which it is not.
    graph = EdgeIndex(pairs, sparse_size=(3, 3), sort_order='row', is_undirected=True).fill_cache_()
    x = torch.randn(3, 2)
    for transpose in (False, True):
        assert torch.allclose(spmm(graph, x, transpose), spmm_reference(graph, x, transpose))


def test_refused():
    x, y = torch.randn(N, 2), torch.randn(M, 2)
    pairs = edges()
    bad = [(EdgeIndex(pairs, sort_order='row'), r"sparse size \(None, None\)"),
           (EdgeIndex(pairs, sparse_size=(-1, M)), r"sparse size \(-1, 7\)"),
           (pairs, "'graph' is a tensor.*'pyg_advcf.as_graph'"), (pairs.tolist(), 'is the list'),
           (None, 'is None')]
    for side, ids in ((0, (-1, N, 2**30)), (1, (-1, M, 2**30))):
        for id_ in ids:
            for kind in (torch.int32, torch.int64):
                other = pairs.to(kind, copy=True)
                other[side, 3] = id_
                bad.append((EdgeIndex(other, sparse_size=(N, M), sort_order='row'),
                            rf"'graph\[{side}\]' holds the id {id_}"))
    for graph, message in bad:
        for call in (lambda g: spmm(g, y), lambda g: spmm(g, x, True, edge_weight=torch.ones(14)),
                     lambda g: sddmm(g, x, y), lambda g: propagate(g, x, y, 2),
                     lambda g: layer_sums(g, x, y, [[1., 1.]])):
            with pytest.raises(ValueError, match=message):
                call(graph)


@pytest.mark.parametrize('cached', [False, True])
def test_changes_are_noticed(cached):
    graph = as_graph(edges(), N, M)
    if cached:
        graph.fill_cache_()
    y = torch.randn(M, 2)
    found = structure(graph)
    assert structure(graph) is found  # Made once.
    for change in (lambda: graph.__setitem__((1, 0), 6), lambda: graph.as_tensor()[1].fill_(3),
                   lambda: graph[0].fill_(2)):
        change()
        assert structure(graph) is not found
        assert torch.allclose(spmm(graph, y), spmm_reference(graph, y), atol=1e-6)
    graph.as_tensor()[0, 2] = N
    with pytest.raises(ValueError, match=r"'graph\[0\]' holds the id 5"):
        spmm(graph, y)
    graph.sparse_resize_(N + 1, M)
    assert spmm(graph, y).size(0) == N + 1
    # And caches of PyTorch Geometric that were changed are not read.
    graph = as_graph(edges(), N, M).fill_cache_()
    graph._indptr.fill_(2**20)
    graph._T_index[0].fill_(-1)
    assert torch.allclose(spmm(graph, y), spmm_reference(graph, y), atol=1e-6)


@pytest.mark.parametrize('function', [
    lambda g, x, y: propagate(g, x, y, 2)[0], lambda g, x, y: layer_sums(g, x, y, [[0., 1.]])[0][0],
    lambda g, x, y: spmm(g, y), lambda g, x, y: sddmm(g, x, y)])
def test_a_change_before_the_backward_pass_is_an_error(function):
    graph = as_graph(edges(), N, M)
    out = function(graph, *(torch.randn(n, 2, requires_grad=True) for n in (N, M)))
    graph.as_tensor()[1, 0] = 0
    with pytest.raises(RuntimeError, match='modified by an inplace operation'):
        out.sum().backward()


def test_a_graph_first_used_in_inference_mode_can_be_trained_over():
    graph, y = as_graph(edges(), N, M), torch.randn(M, 2, requires_grad=True)
    with torch.inference_mode():
        spmm(graph, y)
    spmm(graph, y).sum().backward()
    assert torch.equal(y.grad[:, 0], structure(graph).colptr.diff().float())
    with torch.inference_mode():  # Changes of such a graph have no version.
        graph = as_graph(edges(), N, M)
        spmm(graph, y)
        graph.as_tensor()[1].fill_(1)
        assert torch.equal(spmm(graph, y), spmm_reference(graph, y))


def test_nothing_is_kept_of_a_graph_that_is_gone():
    graph = as_graph(edges(), N, M)
    key = id(graph)
    structure(graph)
    assert key in module._structures._entries
    other = copy.deepcopy(graph)
    assert torch.equal(structure(other).col, structure(graph).col)
    assert structure(other) is not structure(graph)
    del graph
    gc.collect()
    assert key not in module._structures._entries


def test_compiled_code_compresses_once():
    torch.compiler.reset()
    graph, y = as_graph(edges(), N, M), torch.randn(M, 2)
    compiled = torch.compile(lambda y: spmm(graph, y), backend='aot_eager')
    made = structure(graph)
    for _ in range(2):
        assert torch.allclose(compiled(y), spmm_reference(graph, y), atol=1e-6)
    assert structure(graph) is made
    graph.as_tensor()[1, 0] = M
    with pytest.raises(ValueError, match=r"'graph\[1\]' holds the id 7"):
        compiled(y)
