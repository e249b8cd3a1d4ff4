r"""The base class of views of the training graph."""
from typing import Optional

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_count, check_generator, check_graph, check_ratio, check_seed
from pyg_advcf.interactions import EDGE_TYPE, num_nodes
from pyg_advcf.record import Recorded
from pyg_advcf.transforms.edges import keep_edges
from pyg_advcf.transforms.interaction_transform import InteractionTransform


def share(ratio: float, count: int) -> int:
    r""":math:`\lfloor \rho\, n \rfloor`; the small term keeps 0.1 * 30 from falling below 3.

    Example:
        >>> int(0.29 * 100), share(0.29, 100)
        (28, 29)
    """
    return int(ratio * count + 1e-9)


def subgraph(graph: EdgeIndex, keep: Tensor) -> EdgeIndex:
    r"""The graph of some edges and all nodes; ``keep`` are columns of ``graph``, ascending.

    Degrees are those of the result, so propagation over it is normalised by them.

    Example:
        >>> from pyg_advcf import as_graph
        >>> graph = as_graph(torch.tensor([[0, 0, 1], [0, 1, 1]]), 2, 2)
        >>> subgraph(graph, torch.tensor([0, 2])).as_tensor().tolist()
        [[0, 1], [0, 1]]
    """
    if keep.numel() == graph.size(1):
        return graph
    pairs = graph.as_tensor()[:, keep.to(graph.device)]
    # A selection in rising order of what is sorted by row is sorted by row.
    return EdgeIndex(pairs, sparse_size=graph.sparse_size(), sort_order='row')


class GraphView(Recorded, InteractionTransform):
    r"""Base class: a random part of the training graph, with all users, items and held-out pairs.

    Args:
        ratio: :math:`\rho \in [0, 1)`, the share that is dropped; 0 changes nothing.
        seed: Random seed: two calls draw the same.
        generator: Random number generator in place of ``seed``; successive calls then differ.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Attributes:
        per_layer: Whether :meth:`graphs` draws a different part for every propagation.

    Raises:
        ValueError: If ``ratio`` is out of range.
    """
    per_layer = False

    def __init__(
        self,
        ratio: float = 0.1,
        seed: int = 0,
        generator: Optional[torch.Generator] = None,
        edge_type: Optional[EdgeType] = None,
    ) -> None:
        super().__init__(edge_type)
        self.ratio = check_ratio('ratio', ratio, one=False,
                                 why='a view without edges has nothing to propagate over')
        self.seed = check_seed('seed', seed)
        self.generator = check_generator('generator', generator)

    def draw(self, edge_index: Tensor, num_users: int, num_items: int,
             generator: torch.Generator) -> Tensor:
        r"""The columns of ``edge_index`` that are kept, in ascending order."""
        raise NotImplementedError

    def keep(self, edge_index: Tensor, num_users: int, num_items: int,
             generator: torch.Generator) -> Tensor:
        r"""As :meth:`draw`, but an error if no edge is kept.

        Raises:
            ValueError: If no edge is left.
        """
        kept = self.draw(edge_index, num_users, num_items, generator)
        if kept.numel() == 0:
            raise ValueError(f"{self!r} drops all of {edge_index.size(1)} edges; lower 'ratio'")
        return kept

    def graphs(
        self,
        graph: EdgeIndex,
        count: int = 1,
        generator: Optional[torch.Generator] = None,
    ) -> list[EdgeIndex]:
        r"""A view of ``graph`` for each of ``count`` propagations: the same for all.

        Args:
            graph: As :func:`pyg_advcf.interaction_graph` returns it.
            count: How many.
            generator: Source of randomness; that of the constructor by default.

        Raises:
            ValueError: If no edge is left.
        """
        check_count('count', count)
        return [subgraph(graph, self._keep_of(graph, generator))] * count

    def _keep_of(self, graph: EdgeIndex, generator: Optional[torch.Generator]) -> Tensor:
        check_graph('graph', graph)
        check_generator('generator', generator)
        sizes = graph.get_sparse_size(0), graph.get_sparse_size(1)
        generator = self._source() if generator is None else generator
        return self.keep(graph.as_tensor().cpu(), *sizes, generator)

    def _source(self) -> torch.Generator:
        return (torch.Generator().manual_seed(self.seed) if self.generator is None
                else self.generator)

    def apply(self, data: HeteroData) -> HeteroData:
        edge_index = data[EDGE_TYPE].edge_index
        kept = self.keep(edge_index.cpu(), *num_nodes(data), self._source())
        return keep_edges(data, kept.to(edge_index.device))

    def __repr__(self) -> str:
        source = (f'seed={self.seed}' if self.generator is None else 'generator')
        return f'{self.__class__.__name__}(ratio={self.ratio}, {source})'
