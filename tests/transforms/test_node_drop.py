import pytest
import torch

from pyg_advcf import EDGE_TYPE, LightGCN, interaction_data, interaction_graph
from pyg_advcf.transforms import NodeDrop


@pytest.mark.parametrize('ratio, users, items', [(0.1, 3, 4), (0.25, 7, 10), (0.02, 0, 0)])
def test_isolates_the_exact_number(ratio, users, items):
    # With all pairs but those of one user: whoever lost an edge of it all was dropped.
    full = torch.cartesian_prod(torch.arange(29), torch.arange(40)).t()
    data = interaction_data(full, 30, 40)
    kept = NodeDrop(ratio, seed=1)(data)[EDGE_TYPE].edge_index
    users_left, items_left = torch.unique(kept[0]).numel(), torch.unique(kept[1]).numel()
    assert items_left == 40 - items and users_left in (29 - users, 30 - users)
    assert kept.size(1) == users_left * items_left  # Of those left, no edge is missing.


def test_dropped_nodes_keep_their_ids_and_stay_finite(toy):
    view, = NodeDrop(0.5).graphs(interaction_graph(toy), 1)
    model = LightGCN(toy, dim=4, num_layers=2)
    z = model(graph=view)
    assert z.user.isfinite().all() and z.item.isfinite().all()
    (z.user.sum() + z.item.sum()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    isolated = torch.ones(30, dtype=torch.bool)
    isolated[view.as_tensor()[0].long()] = False
    assert isolated.sum() >= 15
    assert torch.allclose(z.user[isolated], model.x.user[isolated] / 3)


def test_nothing_left():
    data = interaction_data(torch.tensor([[0], [0]]), 2, 2)
    with pytest.raises(ValueError, match="drops all of 1 edges"):
        for seed in range(50):
            NodeDrop(0.5, seed=seed)(data)
