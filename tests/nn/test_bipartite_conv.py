import pytest
import torch
from torch_geometric.nn import LGConv

from pyg_advcf import EDGE_TYPE, as_graph, interaction_graph
from pyg_advcf.nn import BipartiteConv


def dense(edge_index, n, m):
    a = torch.zeros(n, m, dtype=torch.float64)
    a[edge_index[0], edge_index[1]] = 1
    row, col = a.sum(1, keepdim=True), a.sum(0, keepdim=True)
    return torch.where(a > 0, a / (row * col).sqrt().clamp(min=1e-30), a)


@pytest.mark.parametrize('fused', [True, False])
def test_equals_dense(toy, fused):
    edge_index = toy[EDGE_TYPE].edge_index
    x = torch.randn(30, 8, dtype=torch.float64), torch.randn(40, 8, dtype=torch.float64)
    user, item = BipartiteConv()(x, interaction_graph(toy) if fused else edge_index)
    a = dense(edge_index, 30, 40)
    assert torch.allclose(user, a @ x[1], atol=1e-12)
    assert torch.allclose(item, a.t() @ x[0], atol=1e-12)


@pytest.mark.parametrize('fused', [True, False])
def test_edge_weights_scale_the_messages(toy, fused):
    graph = interaction_graph(toy)  # Its edges are sorted, and so is the order of the weights.
    edge_index = graph.as_tensor().long()
    x = torch.randn(30, 8, dtype=torch.float64), torch.randn(40, 8, dtype=torch.float64)
    weight = torch.rand(200, dtype=torch.float64)
    user, item = BipartiteConv()(x, graph if fused else edge_index, weight)
    a = dense(edge_index, 30, 40)
    a[edge_index[0], edge_index[1]] *= weight
    assert torch.allclose(user, a @ x[1], atol=1e-12)
    assert torch.allclose(item, a.t() @ x[0], atol=1e-12)


def test_fused_and_message_path_agree_with_gradients(toy):
    results = []
    for edge_index in (interaction_graph(toy), toy[EDGE_TYPE].edge_index):
        x = torch.randn(30, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
        y = torch.randn(40, 8, generator=torch.Generator().manual_seed(2)).requires_grad_()
        user, item = BipartiteConv()((x, y), edge_index)
        (user.square().sum() + item.sin().sum()).backward()
        results.append((user, item, x.grad, y.grad))
    for fused, message in zip(*results):
        assert torch.allclose(fused, message, atol=1e-5)


def test_equals_lgconv(toy):
    edge_index = toy[EDGE_TYPE].edge_index
    x = torch.randn(70, 8)
    both = edge_index + torch.tensor([[0], [30]])
    expected = LGConv()(x, torch.cat([both, both.flip(0)], dim=1))
    user, item = BipartiteConv()((x[:30], x[30:]), interaction_graph(toy))
    assert torch.allclose(torch.cat([user, item]), expected, atol=1e-5)


def test_isolated_nodes_receive_zeros():
    graph = as_graph(torch.tensor([[0], [1]]), 2, 3)
    user, item = BipartiteConv()((torch.ones(2, 4), torch.ones(3, 4)), graph)
    assert user[1].eq(0).all() and item[[0, 2]].eq(0).all()
    assert user[0].eq(1).all() and item[1].eq(1).all()
