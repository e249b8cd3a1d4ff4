r"""Views with other interactions in every layer."""
from typing import Optional

import torch
from torch_geometric import EdgeIndex
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_count, check_generator
from pyg_advcf.interactions import EDGE_TYPE, num_nodes
from pyg_advcf.transforms.edge_drop import EdgeDrop
from pyg_advcf.transforms.graph_view import subgraph


class RandomWalk(EdgeDrop):
    r"""An :class:`EdgeDrop` of its own for every layer.

    From `"Self-supervised Graph Learning for Recommendation" <https://arxiv.org/abs/2010.10783>`_.
    A message-passing layer over its own part of the edges is one step of a random walk. As a
    transform it leaves ``edge_index`` as it is, and adds
    ``data['user', 'interacts', 'item'].layer_edge_index``, a list of ``[2, E']``: pass it to a
    backbone as ``graph``.

    Args:
        ratio: :math:`\rho \in [0, 1)`; 0.1 by default, up to 0.5 in the paper.
        num_layers: Number of layers, for the use as a transform.
        seed: Random seed: two calls draw the same.
        generator: Random number generator in place of ``seed``; successive calls then differ.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Raises:
        ValueError: If an argument is out of range, or no interaction is left.

    Example:
        >>> from pyg_advcf import LightGCN
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=99, num_items=80)[0]
        >>> view = RandomWalk(0.25, num_layers=2)(data)
        >>> layers = view['user', 'interacts', 'item'].layer_edge_index
        >>> z = LightGCN(data, dim=8, num_layers=2)(graph=layers)
    """
    per_layer = True

    def __init__(
        self,
        ratio: float = 0.1,
        num_layers: int = 3,
        seed: int = 0,
        generator: Optional[torch.Generator] = None,
        edge_type: Optional[EdgeType] = None,
    ) -> None:
        super().__init__(ratio, seed, generator, edge_type)
        self.num_layers = check_count('num_layers', num_layers)

    def graphs(
        self,
        graph: EdgeIndex,
        count: int = 1,
        generator: Optional[torch.Generator] = None,
    ) -> list[EdgeIndex]:
        r"""A view of ``graph`` for each of ``count`` propagations, drawn independently.

        Args:
            graph: As :func:`pyg_advcf.interaction_graph` returns it.
            count: How many.
            generator: Source of randomness; that of the constructor by default.

        Raises:
            ValueError: If no edge is left.
        """
        check_count('count', count)
        check_generator('generator', generator)
        # One source for all: a source anew for each would draw the same each time.
        generator = self._source() if generator is None else generator
        return [subgraph(graph, self._keep_of(graph, generator)) for _ in range(count)]

    def apply(self, data: HeteroData) -> HeteroData:
        edge_index = data[EDGE_TYPE].edge_index
        source = self._source()
        kept = [self.keep(edge_index.cpu(), *num_nodes(data), source)
                for _ in range(self.num_layers)]
        data[EDGE_TYPE].layer_edge_index = [edge_index[:, k.to(edge_index.device)] for k in kept]
        return data

    def __repr__(self) -> str:
        return f'{super().__repr__()[:-1]}, num_layers={self.num_layers})'
