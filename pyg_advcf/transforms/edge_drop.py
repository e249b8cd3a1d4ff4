r"""Views without some of the interactions."""
import torch
from torch import Tensor

from pyg_advcf.transforms.graph_view import GraphView, share


class EdgeDrop(GraphView):
    r"""Keeps exactly :math:`\lfloor (1 - \rho) |O| \rfloor` interactions, uniformly at random.

    From `"Self-supervised Graph Learning for Recommendation" <https://arxiv.org/abs/2010.10783>`_.
    An interaction is dropped in both directions at once. Backbones normalise by the degrees of the
    view.

    Args:
        ratio: :math:`\rho \in [0, 1)`; 0.1 by default, up to 0.5 in the paper.
        seed: Random seed: two calls draw the same.
        generator: Random number generator in place of ``seed``; successive calls then differ.

    Raises:
        ValueError: If ``ratio`` is out of range, or no interaction is left.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=99, num_items=80)[0]
        >>> view = EdgeDrop(0.25)(data)
        >>> old, new = (d['user', 'interacts', 'item'].edge_index.size(1) for d in (data, view))
        >>> new == old * 3 // 4
        True
    """
    def draw(self, edge_index: Tensor, num_users: int, num_items: int,
             generator: torch.Generator) -> Tensor:
        num_edges = edge_index.size(1)
        order = torch.randperm(num_edges, generator=generator)
        return order[:share(1 - self.ratio, num_edges)].sort()[0]
