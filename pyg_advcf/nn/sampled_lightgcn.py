r"""LightGCN over sampled neighbourhoods, for graphs too large to propagate over in every step."""
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_count, check_instance
from pyg_advcf.batch import Batch, check_batch
from pyg_advcf.embeddings import Embeddings, Index
from pyg_advcf.loader.torch_neighbor_sampler import distinct_draws
from pyg_advcf.nn.backbone import Encoder, Graphs
from pyg_advcf.nn.lightgcn import LightGCN
from pyg_advcf.ops.structure import structure


class _Hop(NamedTuple):
    r"""Sampled edges from some nodes of one side to others of the other side."""
    neighbour: Tensor  # Of each edge: its place among the distinct neighbours.
    offset: Tensor  # Where the edges of each node begin.
    weight: Tensor  # Of each edge.
    ids: Tensor  # The distinct neighbours.


class _Sample(NamedTuple):
    r"""What is read of the tables, and the hops from the batch outwards, of users and items."""
    read: tuple[Tensor, Tensor]  # The rows of the tables, distinct.
    places: list[tuple[Tensor, Tensor]]  # Of each level: where its nodes are among these.
    hops: list[tuple[_Hop, _Hop]]


def _hop(pattern: tuple[Tensor, Tensor], degree: Tensor, other_degree: Tensor, ids: Tensor,
         k: int) -> _Hop:
    r"""At most ``k`` neighbours of each of ``ids``, weighted so that sums are right on average."""
    indptr, index = pattern
    count = degree[ids]
    rows, numbers = distinct_draws(count, k, None)
    neighbour = index[indptr[ids].long()[rows] + numbers].long()
    taken = count if k < 0 else count.clamp(max=k)
    weight = (count.double().sqrt() / taken)[rows] / other_degree[neighbour].sqrt()
    found = Index.of(neighbour, other_degree.numel())
    return _Hop(found.position[neighbour], taken.cumsum(0) - taken, weight, found.ids)


class SampledEncoder(Encoder):
    r"""The embeddings of a batch, estimated over neighbourhoods that are sampled once per graph.

    All calls of one encoder use the same sample, so it stays linear: the embeddings of a shift of
    the tables are the shift of the embeddings.

    Args:
        backbone: What computes the embeddings.
        batches: What is read.
    """
    def __init__(self, backbone: 'SampledLightGCN', *batches: Batch) -> None:
        super().__init__(backbone, backbone.x)
        batches = [check_batch(b, backbone.num_users, backbone.num_items) for b in batches]
        self.user = Index.of(torch.cat([b.user for b in batches]), backbone.num_users)
        self.item = Index.of(torch.cat([ids for b in batches for ids in (
            b.item, b.neg_item.reshape(-1))]), backbone.num_items)
        self._sampled: list[tuple[Any, _Sample]] = []

    def __call__(self, x: Optional[Embeddings] = None, graph: Optional[Graphs] = None,
                 **kwargs: Any) -> Embeddings:
        r"""The estimated embeddings of the tables ``x`` over ``graph``."""
        if kwargs:
            raise ValueError(f"{self.backbone!r} in training takes no {', '.join(kwargs)}; use "
                             f"LightGCN")
        sample = self._sample(graph)
        hops = sample.hops
        # One gradient as large as a table, not one for each level.
        x = [F.embedding(ids, table) for ids, table in zip(sample.read, self.backbone._tables(x))]
        z = [F.embedding(place, rows) for place, rows in zip(sample.places[-1], x)]
        first = float(not self.backbone.skip_input)
        for level in range(len(hops) - 1, -1, -1):
            z = [F.embedding_bag(hop.neighbour, other, hop.offset, mode='sum',
                                 per_sample_weights=hop.weight.to(other.dtype))
                 for hop, other in zip(hops[level], (z[1], z[0]))]
            scale = first if level == 0 else 1.
            if scale != 0.:
                z = [t + F.embedding(place, rows)
                     for t, place, rows in zip(z, sample.places[level], x)]
        return Embeddings(*(t / (len(hops) + first) for t in z), self.user, self.item)

    def _sample(self, graph: Optional[Graphs]) -> _Sample:
        for known, sample in self._sampled:
            if known is graph:
                return sample
        backbone, hops = self.backbone, []
        view, *others = backbone.graphs(graph, backbone.num_layers)
        if any(other is not view for other in others):
            # Layer l reads the first l graphs, so a hop has no graph of its own.
            raise ValueError(f"'graph' is another one for each layer, which {backbone!r} does not "
                             f"sample from; use LightGCN, or one graph for all layers")
        check_instance('graph', view, EdgeIndex, "a graph of 'pyg_advcf.as_graph'")
        by_user, by_item = (structure(view).pattern(transpose) for transpose in (False, True))
        degree = [indptr.diff().long() for indptr, _ in (by_user, by_item)]
        ids = [(self.user.ids, self.item.ids)]
        for k in backbone.num_neighbors:
            hops.append((_hop(by_user, degree[0], degree[1], ids[-1][0], k),
                         _hop(by_item, degree[1], degree[0], ids[-1][1], k)))
            ids.append((hops[-1][1].ids, hops[-1][0].ids))
        sides = [Index.of(torch.cat(side), size) for side, size in zip(
            zip(*ids), (backbone.num_users, backbone.num_items))]
        sample = _Sample(tuple(side.ids for side in sides), [
            tuple(side.position[i] for side, i in zip(sides, level)) for level in ids], hops)
        self._sampled.append((graph, sample))
        return sample


class SampledLightGCN(LightGCN):
    r"""LightGCN whose training step propagates over sampled neighbourhoods of its batch.

    A step costs what its batch and the numbers of neighbours say, whatever the size of the graph.
    In evaluation mode, and without a batch, it is :class:`LightGCN`. Of each node and hop, at most
    :math:`k` of its :math:`d` neighbours are drawn without replacement, and their sum is
    multiplied by :math:`d / k`. Each draw is independent of the others and the propagation linear,
    so that the embeddings are those of the whole graph in expectation; losses of them, which are
    not linear, are so the more closely the larger :math:`k`.

    A step is cheaper, and moves fewer rows with more noise: at 16 M edges full propagation is still
    the faster way to a given Recall, see the page on speed.

    It serves all methods that take one graph and no layers: not those that add noise to layers, nor
    views with a graph for each layer.
    Samples come from PyTorch's own generator, which checkpoints restore. CPU only: elsewhere the
    full propagation is the faster one, and is used.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        dim: Width of the embeddings.
        num_neighbors: Neighbours of each node in each layer, from the batch outwards; ``-1`` for
            all.
        init: See :class:`~pyg_advcf.nn.TableBackbone`.
        skip_input: See :class:`LightGCN`.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.
        user_encoder: See :class:`~pyg_advcf.nn.TableBackbone`.
        item_encoder: See :class:`~pyg_advcf.nn.TableBackbone`.

    Raises:
        ValueError: If ``num_neighbors`` is no list of numbers of at least 1, or -1.

    Example:
        >>> from pyg_advcf import InteractionLoader, fit, methods
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=99, num_items=40)[0]
        >>> model = SampledLightGCN(data, dim=8, num_neighbors=[10, 5])
        >>> history = fit(methods.infonce(model), InteractionLoader(data, num_neg=4), 2,
        ...               progress=False)
    """
    def __init__(
        self,
        data: HeteroData,
        dim: int = 64,
        num_neighbors: Sequence[int] = (10, 10),
        init: str = 'xavier_normal',
        skip_input: bool = False,
        edge_type: Optional[EdgeType] = None,
        user_encoder: Optional[nn.Module] = None,
        item_encoder: Optional[nn.Module] = None,
    ) -> None:
        if not isinstance(num_neighbors, (list, tuple)) or not num_neighbors:
            raise ValueError(f"'num_neighbors' is {num_neighbors!r}, but needs to be a list of a "
                             f"number for each layer, -1 for all neighbours")
        for k in num_neighbors:
            if k != -1 or isinstance(k, bool):
                check_count('num_neighbors', k)
        super().__init__(data, dim, len(num_neighbors), init, skip_input, edge_type, user_encoder,
                         item_encoder)
        self.num_neighbors = list(num_neighbors)

    @property
    def features(self) -> frozenset[str]:
        return super().features - {'layers', 'noise'}

    def encoder(self, *batches: Batch) -> Encoder:
        r"""See :meth:`pyg_advcf.nn.Backbone.encoder`: in training, over sampled neighbours."""
        if not batches or not self.training or self.x.user.device.type != 'cpu' or (
                torch.compiler.is_compiling()):
            return super().encoder(*batches)
        return SampledEncoder(self, *batches)

    def __repr__(self) -> str:
        return f'{super().__repr__()[:-1]}, num_neighbors={self.num_neighbors})'
