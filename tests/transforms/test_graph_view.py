import pytest
import torch
from graphs import GRAPHS

from pyg_advcf import EDGE_TYPE, LightGCN, as_graph, interaction_graph
from pyg_advcf.transforms import EdgeDrop, NodeDrop, RandomWalk
from pyg_advcf.transforms.graph_view import share, subgraph

VIEWS = [EdgeDrop, NodeDrop, RandomWalk]


def pairs(edge_index):
    return {tuple(p) for p in edge_index.t().tolist()}


@pytest.mark.parametrize('cls', VIEWS)
def test_nothing_dropped_is_the_identity(toy, cls):
    graph = interaction_graph(toy)
    assert all(view is graph for view in cls(0.).graphs(graph, 3))
    store = cls(0.)(toy)[EDGE_TYPE]
    for edge_index in store.get('layer_edge_index', [store.edge_index]):
        assert torch.equal(edge_index, toy[EDGE_TYPE].edge_index)


@pytest.mark.parametrize('cls', VIEWS)
def test_seed_and_generator(toy, cls):
    graph = interaction_graph(toy)

    def draw(view, generator=None):
        return pairs(view.graphs(graph, 1, generator)[0])

    view = cls(0.3, seed=1)
    assert draw(view) == draw(view) != draw(cls(0.3, seed=2))
    drawn = [draw(cls(0.3, generator=source)) for source in [torch.Generator().manual_seed(1)] * 2]
    assert drawn[0] == draw(view) != drawn[1]
    source = torch.Generator().manual_seed(1)
    assert [draw(view, source) for _ in range(2)] == drawn
    assert drawn[0] < pairs(graph)


@pytest.mark.parametrize('cls', VIEWS)
def test_as_a_transform_it_leaves_the_rest_alone(toy, cls):
    toy[EDGE_TYPE].time = torch.arange(200)
    before = toy[EDGE_TYPE].edge_index.clone()
    view = cls(0.3, seed=1)(toy)
    assert torch.equal(toy[EDGE_TYPE].edge_index, before) and 'layer_edge_index' not in (
        toy[EDGE_TYPE])
    store = view[EDGE_TYPE]
    assert torch.equal(before[:, store.time], store.edge_index)
    assert (view['user'].num_nodes, view['item'].num_nodes) == (30, 40)
    assert torch.equal(store.val_edge_label_index, toy[EDGE_TYPE].val_edge_label_index)


@pytest.mark.parametrize('cls', VIEWS)
def test_views_are_normalised_by_their_own_degrees(toy, cls):
    view, = cls(0.4).graphs(interaction_graph(toy), 1)
    assert view.is_sorted_by_row
    model = LightGCN(toy, dim=4, num_layers=2).double()
    a = torch.zeros(70, 70, dtype=torch.float64)
    user, item = view.as_tensor().long()
    a[user, item + 30] = a[item + 30, user] = 1
    assert torch.equal(a, a.t())
    scale = a.sum(1).clamp(min=1).rsqrt()
    a = scale.view(-1, 1) * a * scale
    x = torch.cat(tuple(model.x))
    out = torch.cat(tuple(model(graph=view)))
    assert torch.allclose(out, (x + a @ x + a @ a @ x) / 3, atol=1e-10)
    isolated = a.sum(1) == 0
    assert isolated.any() and torch.allclose(out[isolated], x[isolated] / 3, atol=1e-12)


@pytest.mark.parametrize('cls', VIEWS)
@pytest.mark.parametrize('name', ['isolated', 'one_user'])
def test_degenerate_graphs(toy, cls, name):
    graph = GRAPHS[name](toy)
    view, = cls(0.3).graphs(graph, 1)
    assert pairs(view) <= pairs(graph) and view.sparse_size() == graph.sparse_size()


@pytest.mark.parametrize('cls', VIEWS)
def test_bad_ratios(toy, cls):
    for ratio in (1., -0.1, float('nan')):
        with pytest.raises(ValueError, match="'ratio' is"):
            cls(ratio)
    one = as_graph(torch.tensor([[0], [0]]), 2, 2)
    with pytest.raises(ValueError, match=r"drops all of 1 edges; lower 'ratio'"):
        for seed in range(50):  # Dropped nodes may be the two without an edge.
            cls(0.5, seed=seed).graphs(one, 1)


def test_subgraph_and_share(toy):
    graph = interaction_graph(toy)
    keep = torch.tensor([0, 5, 199])
    assert torch.equal(subgraph(graph, keep).as_tensor(), graph.as_tensor()[:, keep])
    assert share(0.1, 30) == 3 and share(1 - 0.7, 10) == 3 and share(0.09, 10) == 0
