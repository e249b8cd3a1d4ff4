r"""Bipartite graphs, degenerate ones too, and the backends that operations are tested on."""
import importlib.util
import os

import torch

from pyg_advcf import as_graph, interaction_graph
from pyg_advcf.ops.backend import BACKENDS

GRAPHS = {
    'toy': lambda toy: interaction_graph(toy),
    'isolated': lambda toy: as_graph(torch.tensor([[1, 1], [0, 4]]), 4, 6),
    'one_user': lambda toy: as_graph(torch.tensor([[0, 0], [2, 1]]), 1, 3),
    'no_edges': lambda toy: as_graph(torch.empty(2, 0, dtype=torch.long), 3, 2),
}
# Those that take CPU tensors: `conftest.py` has Triton interpret its kernels where there is no GPU.
BACKENDS_HERE = [name for name in BACKENDS if name in ('torch', 'fused')
                 or importlib.util.find_spec(name)
                 and (name != 'triton' or os.environ.get('TRITON_INTERPRET') == '1')]
