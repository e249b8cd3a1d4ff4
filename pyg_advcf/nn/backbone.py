r"""What all backbones share: the training graph, the parts that a batch reads, recommendation."""
from collections.abc import Sequence
from typing import Any, Optional, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf import ranking
from pyg_advcf._checks import (
    check_count,
    check_instance,
    check_pairs,
    check_user_ids,
    reads_values,
)
from pyg_advcf._modes import evaluation_mode
from pyg_advcf.batch import Batch, check_batch
from pyg_advcf.embeddings import Embeddings, Index, check_embeddings
from pyg_advcf.interactions import (
    as_graph,
    candidate_mask,
    interaction_graph,
    known_pairs,
    num_nodes,
    resolve_edge_type,
    split_names,
    validate,
)
from pyg_advcf.nn.similarity import Dot, Similarity, check_similarity
from pyg_advcf.ops.spmm import graph_degrees
from pyg_advcf.pairs import PairSet
from pyg_advcf.ranking import Recommendations
from pyg_advcf.record import Recorded

# What a method may require of a backbone: what one without it lacks, and which ones have it.
FEATURES = {
    'graph': ('does not propagate over the graph',
              'LightGCN, VGAE, LightGCL or DCCF, with at least one layer'),
    'layers': ('has no layers', 'LightGCN, VGAE, LightGCL or DCCF, with at least one layer'),
    'noise': ('has no layers that noise could be added to',
              'LightGCN, VGAE or LightGCL, with at least one layer'),
    'low_rank_view': ('has no low-rank view to contrast with', 'pyg_advcf.nn.LightGCL'),
    'intents': ('has no intents and masks to contrast', 'pyg_advcf.nn.DCCF'),
}

# What to propagate over: one graph, or one for each propagation.
Graphs = Union[Tensor, Sequence[Tensor]]


class Encoder:
    r"""The map from embedding tables to final embeddings, as far as some batches read it.

    ``encoder()`` returns the same as the backbone, possibly fewer rows of it. It takes the
    keywords of :meth:`Backbone.forward`, such as ``graph``; several calls share the work of finding
    out which rows are read.

    Args:
        backbone: What computes the embeddings.
        x: The tables, or the rows of them that are read.
        **fixed: Keywords of :meth:`Backbone.forward` that every call uses.

    Attributes:
        x: The tables, or the rows of them, that a call starts from.
    """
    def __init__(self, backbone: 'Backbone', x: Embeddings, **fixed: Any) -> None:
        self.backbone, self.x, self.fixed = backbone, x, fixed

    def __call__(self, x: Optional[Embeddings] = None, **kwargs: Any) -> Embeddings:
        r"""The final embeddings of the tables ``x``, with the rows of ``self.x``."""
        return self.backbone(x=self.x if x is None else x, **self.fixed, **kwargs)


def rows_read(
    batches: Sequence[Batch],
    num_users: int,
    num_items: int,
) -> tuple[Optional[Index], Optional[Index]]:
    r"""The users and the items that some batches read.

    ``None`` stands for all of a side: where the batches hold half as many ids or more (repeated
    ones too), finding the distinct ones does not pay.

    Example:
        >>> batch = Batch(*(torch.tensor(t) for t in ([7, 7], [3, 2], [[1], [3]], [0, 1])))
        >>> users, items = rows_read([batch], num_users=10, num_items=4)
        >>> users.ids, items  # Four ids of items: more than half of them.
        (tensor([7]), None)
    """
    batches = [check_batch(batch) for batch in batches]
    users = torch.cat([batch.user for batch in batches])
    items = torch.cat([ids for batch in batches
                       for ids in (batch.item, batch.neg_item.reshape(-1))])
    return (Index.of(users, num_users) if users.numel() < num_users // 2 else None,
            Index.of(items, num_items) if items.numel() < num_items // 2 else None)


def check_backbone(argument: str, backbone: 'Backbone') -> 'Backbone':
    r"""Returns ``backbone`` if it is one."""
    return check_instance(argument, backbone, Backbone,
                          'a backbone of pyg_advcf.nn, such as LightGCN(data)')


class Backbone(Recorded, nn.Module):
    r"""Base class: maps layer-0 embeddings :math:`E^0` to final ones over the training graph.

    A subclass has the layer-0 embeddings as :attr:`x`; :class:`~pyg_advcf.nn.TableBackbone`, which
    most derive from, has tables or encoders of features.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        dim: Width :math:`D` of the embeddings.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Attributes:
        edge_type: The edges of ``data`` that are the interactions.
        graph: The training graph, an :class:`~torch_geometric.EdgeIndex` (users, items).
        linear: Whether :math:`f(E + \Delta) = f(E) + f(\Delta)`, so that a perturbation can be
            propagated on its own.
        depth: Number of propagations of a pass; 0 if the model does not propagate over the graph.

    Raises:
        ValueError: If ``data`` is not a valid set of interactions, or ``dim`` is below 1.
    """
    linear = False
    depth = 0

    def __init__(self, data: HeteroData, dim: int = 64,
                 edge_type: Optional[EdgeType] = None) -> None:
        super().__init__()
        self.edge_type = resolve_edge_type(data, edge_type)
        data = validate(data, self.edge_type)
        self.dim = check_count('dim', dim)
        self.num_users, self.num_items = num_nodes(data)
        # Not part of the `state_dict`: the data bring the graph along.
        self.register_buffer('graph', interaction_graph(data), persistent=False)
        self.register_buffer('candidate_mask', candidate_mask(data),
                             persistent=False)
        # What is not recommended: the graph's own pairs, or those of the split `outer` too.
        self.register_buffer('_known', as_graph(known_pairs(data), self.num_users, self.num_items)
                             if 'outer' in split_names(data) else None, persistent=False)

    @property
    def x(self) -> Embeddings:
        r"""The layer-0 embeddings :math:`E^0`."""
        raise NotImplementedError

    @property
    def known(self) -> PairSet:
        r"""The pairs that are not recommended: the training graph, and the split ``outer``."""
        return PairSet.from_graph(self.graph if self._known is None else self._known)

    @property
    def degrees(self) -> tuple[Tensor, Tensor]:
        r"""Training degree of every user and every item (an item's popularity), int64."""
        return graph_degrees(self.graph)

    @property
    def num_interactions(self) -> int:
        r"""Number of training interactions."""
        return self.graph.size(1)

    @property
    def features(self) -> frozenset[str]:
        r"""What a method may require that this backbone has; names of ``FEATURES``."""
        return frozenset({'graph'} if self.depth > 0 else ())

    def forward(
        self,
        graph: Optional[Graphs] = None,
        x: Optional[Embeddings] = None,
    ) -> Embeddings:
        r"""Computes the final embeddings :math:`Z = f(E^0)`.

        Args:
            graph: What to propagate over, for example a view; the training graph by default. A
                sequence of ``depth`` graphs gives each propagation its own.
            x: Overrides the trainable tables, so that a perturbed table takes the same path.
        """
        raise NotImplementedError

    def graphs(self, graph: Optional[Graphs], count: int) -> list[Tensor]:
        r"""The graph of each of ``count`` propagations.

        Raises:
            ValueError: If ``graph`` is a sequence of another length.
        """
        graph = self.graph if graph is None else graph
        if isinstance(graph, Tensor):
            return [self._graph(graph)] * count
        check_instance('graph', graph, (list, tuple), "a graph of 'pyg_advcf.as_graph', pairs "
                       "[2, E], or a list of them")
        if len(graph) != count:
            raise ValueError(f"'graph' holds {len(graph)} graphs, but {self!r} propagates {count} "
                             f"times; pass one graph, or one for each propagation")
        return [self._graph(each) for each in graph]

    def _graph(self, graph: Tensor) -> Tensor:
        if isinstance(graph, EdgeIndex):
            # A graph that is sorted by row is used as it is, so its sizes have to be known.
            size = [graph.get_sparse_size(dim) if graph.is_sorted_by_row else known
                    for dim, known in enumerate(graph.sparse_size())]
            if any(found not in (None, own)
                   for found, own in zip(size, (self.num_users, self.num_items))):
                raise ValueError(f"'graph' is of {size[0]} users and {size[1]} items, but {self!r} "
                                 f"needs one of as many users and items")
            if graph.is_sorted_by_row:
                return graph
        if not isinstance(graph, Tensor) or reads_values(graph):
            check_pairs('graph', graph, self.num_users, self.num_items)
        return graph

    def _tables(self, x: Optional[Embeddings]) -> Embeddings:
        r"""What a pass starts from: ``x`` if it has the rows and the width of the tables."""
        if x is None:
            return self.x
        check_embeddings('x', x, self.num_users, self.num_items)
        if x.user.size(1) != self.dim:
            raise ValueError(f"'x' has width {x.user.size(1)}, but {self!r} has 'dim' = {self.dim}")
        return x

    def penalty(self, batch: Batch, z: Optional[Embeddings] = None) -> Optional[Tensor]:
        r"""What this backbone adds to the loss of any method, or ``None``.

        Args:
            batch: The batch of the loss.
            z: The embeddings behind the loss, where the penalty can be read from them instead of
                being computed again.
        """
        return None

    def encoder(self, *batches: Batch) -> Encoder:
        r"""The map from the tables to the embeddings that ``batches`` read; all if there are none.

        A backbone may compute the rows that the batches read and no others, with the same scores
        and gradients. The embeddings know which rows they hold, so ids stay those of the data.
        """
        return Encoder(self, self.x)

    def encode(self, *batches: Batch, **kwargs: Any) -> Embeddings:
        r"""The final embeddings that suffice to score ``batches``; all if there are none.

        Args:
            *batches: Batches whose users and items have to be among the rows.
            **kwargs: Keywords of :meth:`forward`, such as ``graph``.
        """
        return self.encoder(*batches)(**kwargs)

    def views(self) -> tuple[Embeddings, Sequence[tuple[Embeddings, Embeddings]]]:
        r"""Embeddings of all nodes, and pairs of views of them that the backbone has of its own.

        Raises:
            NotImplementedError: If it has none.
        """
        raise NotImplementedError(f'{self!r} has no views of its own')

    @torch.no_grad()
    def embeddings(self) -> Embeddings:
        r"""Final embeddings of all users and items in evaluation mode, detached."""
        with evaluation_mode(self):
            return self().detach()

    @torch.no_grad()
    def recommend(
        self,
        user_ids: Tensor,
        k: int = 10,
        similarity: Optional[Similarity] = None,
        batch_size: int = ranking.BATCH_SIZE,
        z: Optional[Embeddings] = None,
        progress: bool = True,
    ) -> Recommendations:
        r"""The ``k`` best items of each user, training items (and non-candidates) left out.

        Args:
            user_ids: ``[B]``, integers of any width, or a list of them.
            k: Length of the lists.
            similarity: :class:`~pyg_advcf.nn.Dot` by default; pass the one of training.
            batch_size: Users scored at once; memory grows with ``batch_size * num_items`` for each
                thread of PyTorch, which all rank. The lists do not depend on their number.
            z: Embeddings to rank with; computed if absent.
            progress: Whether to show a progress bar, if ranking takes longer than some seconds.

        Raises:
            ValueError: If a user id is out of range, ``k`` or ``batch_size`` is below 1, or the
                embeddings do not fit the data, are not finite, or are so large that scores might
                not be.
        """
        check_count('k', k)
        check_count('batch_size', batch_size)
        device = self.graph.device
        user_ids = check_user_ids('user_ids', user_ids, self.num_users).to(device)
        similarity = check_similarity('similarity', Dot() if similarity is None else similarity)
        z = self.embeddings() if z is None else z
        z = ranking.rankable('z', z, similarity, self.num_users, self.num_items,
                             self.degrees[1])
        found = ranking.recommend(z, user_ids, k, self.known, self.candidate_mask, batch_size,
                                  progress)
        score = found.score / similarity.temperature
        if not bool((score.isfinite() | (found.item < 0)).all()):
            raise ValueError(f"'similarity' is {similarity!r}, whose scores exceed the largest "
                             f"{score.dtype}; raise its temperature")
        return Recommendations(found.item, score)

    def __repr__(self) -> str:
        return (f'{self.__class__.__name__}({self.num_users} users, {self.num_items} items, '
                f'dim={self.dim})')


def check_fits(backbone: Backbone, data: HeteroData) -> None:
    r"""Raises if ``backbone`` was made for other numbers of users and items than ``data`` have."""
    found, wanted = (backbone.num_users, backbone.num_items), num_nodes(data)
    if found != wanted:
        raise ValueError(f"'data' has {wanted[0]} users and {wanted[1]} items, but the backbone "
                         f"embeds {found[0]} and {found[1]}; pass the data that it was made of")


def read_rows(table: Tensor, index: Optional[Index]) -> Tensor:
    r"""The rows of ``table`` that ``index`` names; all of them for ``None``."""
    return table if index is None else F.embedding(index.ids, table)
