r"""Views without the interactions of some users and items."""
import torch
from torch import Tensor

from pyg_advcf.transforms.graph_view import GraphView, share


class NodeDrop(GraphView):
    r"""Isolates exactly :math:`\lfloor \rho n \rfloor` users and :math:`\lfloor \rho m \rfloor`
    items, drawn uniformly.

    From `"Self-supervised Graph Learning for Recommendation" <https://arxiv.org/abs/2010.10783>`_.
    All interactions of a dropped node are removed; the node itself keeps its id and is isolated.

    Args:
        ratio: :math:`\rho \in [0, 1)`; 0.1 by default, up to 0.5 in the paper.
        seed: Random seed: two calls draw the same.
        generator: Random number generator in place of ``seed``; successive calls then differ.

    Raises:
        ValueError: If ``ratio`` is out of range, or no interaction is left.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=99, num_items=80)[0]
        >>> view = NodeDrop(0.25)(data)
        >>> view['user'].num_nodes, view['item'].num_nodes
        (99, 80)
    """
    def draw(self, edge_index: Tensor, num_users: int, num_items: int,
             generator: torch.Generator) -> Tensor:
        stays = torch.ones(edge_index.size(1), dtype=torch.bool)
        for ids, size in zip(edge_index, (num_users, num_items)):
            kept = torch.ones(size, dtype=torch.bool)
            kept[torch.randperm(size, generator=generator)[:share(self.ratio, size)]] = False
            stays &= kept[ids.long()]
        return stays.nonzero().view(-1)
