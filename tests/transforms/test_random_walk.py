import pytest
import torch

from pyg_advcf import EDGE_TYPE, LightGCN, interaction_graph
from pyg_advcf.transforms import RandomWalk


def dense(edge_index):
    a = torch.zeros(70, 70, dtype=torch.float64)
    user, item = edge_index.long()
    a[user, item + 30] = a[item + 30, user] = 1
    scale = a.sum(1).clamp(min=1).rsqrt()
    return scale.view(-1, 1) * a * scale


def test_layers_differ(toy):
    views = RandomWalk(0.2, seed=1).graphs(interaction_graph(toy), 3)
    kept = [{tuple(p) for p in view.as_tensor().t().tolist()} for view in views]
    assert [len(k) for k in kept] == [160] * 3
    assert kept[0] != kept[1] != kept[2] != kept[0]
    again = RandomWalk(0.2, seed=1).graphs(interaction_graph(toy), 3)
    assert all(torch.equal(a, b) for a, b in zip(views, again))


@pytest.mark.parametrize('fused', [True, False])
def test_each_layer_propagates_over_its_own_graph(toy, fused):
    model = LightGCN(toy, dim=4, num_layers=2).double()
    layers = (RandomWalk(0.3).graphs(model.graph, 2) if fused
              else RandomWalk(0.3, num_layers=2)(toy)[EDGE_TYPE].layer_edge_index)
    assert len(layers) == 2 and not torch.equal(layers[0], layers[1])
    first, second = (dense(g.as_tensor() if fused else g) for g in layers)
    x = torch.cat(tuple(model.x))
    expected = (x + first @ x + second @ first @ x) / 3
    assert torch.allclose(torch.cat(tuple(model(graph=layers))), expected, atol=1e-10)


def test_bad_arguments(toy):
    with pytest.raises(ValueError, match="'graph' holds 3 graphs, but LightGCN.* propagates 2"):
        LightGCN(toy, dim=4, num_layers=2)(graph=RandomWalk(0.3).graphs(interaction_graph(toy), 3))
    with pytest.raises(ValueError, match="'num_layers' is 0"):
        RandomWalk(0.1, num_layers=0)
    assert repr(RandomWalk(0.1, 2)) == 'RandomWalk(ratio=0.1, seed=0, num_layers=2)'
