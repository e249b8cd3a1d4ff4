import pytest
import torch

from pyg_advcf import EDGE_TYPE, as_graph, interaction_graph
from pyg_advcf.transforms import EdgeDrop


@pytest.mark.parametrize('ratio, kept', [(0.1, 180), (0.3, 140), (0.5, 100), (0.999, 0)])
def test_keeps_the_exact_number(toy, ratio, kept):
    if kept == 0:
        with pytest.raises(ValueError, match="drops all of 200 edges; lower 'ratio'"):
            EdgeDrop(ratio)(toy)
        return
    assert EdgeDrop(ratio)(toy)[EDGE_TYPE].edge_index.size(1) == kept
    same, again = EdgeDrop(ratio).graphs(interaction_graph(toy), 2)
    assert same is again and same.size(1) == kept
    assert torch.unique(same.as_tensor(), dim=1).size(1) == kept


def test_every_edge_is_kept_equally_often():
    graph = as_graph(torch.stack([torch.zeros(10), torch.arange(10)]).long(), 1, 10)
    source = torch.Generator().manual_seed(0)
    count = torch.zeros(10)
    for _ in range(2000):
        view, = EdgeDrop(0.4).graphs(graph, 1, source)
        count[view.as_tensor()[1].long()] += 1
    # Six of ten each time: 1200 of 2000, with a standard deviation below 22.
    assert (count - 1200).abs().max() < 110


def test_repr():
    assert repr(EdgeDrop(0.2, seed=3)) == 'EdgeDrop(ratio=0.2, seed=3)'
    assert repr(EdgeDrop(0.2, generator=torch.Generator())) == 'EdgeDrop(ratio=0.2, generator)'
