r"""Bipartite graphs that the operations are tested on, degenerate ones among them."""
import torch

from pyg_advcf import as_graph, interaction_graph

GRAPHS = {
    'toy': lambda toy: interaction_graph(toy),
    'isolated': lambda toy: as_graph(torch.tensor([[1, 1], [0, 4]]), 4, 6),
    'one_user': lambda toy: as_graph(torch.tensor([[0, 0], [2, 1]]), 1, 3),
    'no_edges': lambda toy: as_graph(torch.empty(2, 0, dtype=torch.long), 3, 2),
}
