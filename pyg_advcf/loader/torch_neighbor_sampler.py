r"""Neighbourhood sampling in plain PyTorch, for PyG's loaders without pyg-lib or torch-sparse."""
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional, Union

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    HeteroSamplerOutput,
    NegativeSampling,
    NodeSamplerInput,
    SamplerOutput,
)
from torch_geometric.sampler.neighbor_sampler import edge_sample, node_sample
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_bool, check_instance, check_seed, shown

_HOMOGENEOUS = ('node', 'to', 'node')


class _Incoming(NamedTuple):
    r"""The edges of one type by destination; within it by time, if there is one."""
    start: Tensor
    source: Tensor
    edge: Tensor
    time: Optional[Tensor]


class _Nodes:
    r"""The sampled nodes of one type in the order of their discovery, each in its tree."""
    def __init__(self, size: int) -> None:
        self.size = size  # A key is tree * size + node.
        self.keys = torch.empty(0, dtype=torch.long)
        self.order = self.keys  # Places in `keys`, in the order of the keys.
        self.hops: list[int] = []

    def add(self, keys: Tensor, distinct: bool = False) -> None:
        r"""Appends the keys that are new; all of them, if they are known to be distinct."""
        if not distinct:
            keys = torch.unique(keys)
            keys = keys[~self._contains(keys)]
        self.keys = torch.cat([self.keys, keys])
        self.order = torch.argsort(self.keys, stable=True)
        self.hops.append(keys.numel())

    def _contains(self, keys: Tensor) -> Tensor:
        if self.keys.numel() == 0:
            return torch.zeros_like(keys, dtype=torch.bool)
        return self.keys[self.order[self._rank(keys)]] == keys

    def _rank(self, keys: Tensor) -> Tensor:
        ranks = torch.searchsorted(self.keys[self.order], keys)
        return ranks.clamp_(max=max(self.keys.numel() - 1, 0))

    def places(self, keys: Tensor) -> Tensor:
        r"""Where the keys, all of which were added, are among the nodes."""
        return self.order[self._rank(keys)] if keys.numel() > 0 else keys

    @property
    def frontier(self) -> Tensor:
        r"""The keys of the last hop."""
        return self.keys[self.keys.numel() - self.hops[-1]:]


def distinct_draws(count: Tensor, k: int, generator: Optional[torch.Generator]) -> tuple:
    r"""For each row ``min(count, k)`` distinct numbers below ``count``, uniformly.

    By Robert Floyd's algorithm, for all rows at once: memory is ``rows * k``, whatever the counts.

    Args:
        count: ``[rows]``.
        k: How many at most; all if negative.
        generator: Source of randomness.

    Returns:
        Rows and numbers, each ``[drawn]``.

    Example:
        >>> rows, numbers = distinct_draws(torch.tensor([2, 0, 9]), k=3, generator=None)
        >>> rows.tolist(), sorted(numbers[:2].tolist())
        ([0, 0, 2, 2, 2], [0, 1])
    """
    taken = count if k < 0 else count.clamp(max=k)
    rows = torch.repeat_interleave(torch.arange(count.numel()), taken)
    place = torch.arange(rows.numel()) - (taken.cumsum(0) - taken)[rows]
    numbers = place.clone()
    large = (count > taken).nonzero().view(-1)
    if large.numel() > 0:
        chosen = torch.full((large.numel(), k), -1)
        for j in range(k):
            top = count[large] - k + j
            draw = (torch.rand(large.numel(), dtype=torch.float64, generator=generator)
                    * (top + 1)).long().clamp_(max=top)
            repeated = (chosen[:, :j] == draw.unsqueeze(1)).any(dim=1)
            chosen[:, j] = torch.where(repeated, top, draw)
        numbers[torch.isin(rows, large)] = chosen.view(-1)
    return rows, numbers


class TorchNeighborSampler(BaseSampler):
    r"""Samples neighbourhoods as PyG's ``NeighborSampler``, without pyg-lib or torch-sparse.

    For :class:`torch_geometric.loader.LinkLoader` and
    :class:`~torch_geometric.loader.NodeLoader`; the mini-batches have the form of those of
    ``LinkNeighborLoader``. Incoming edges are followed, without replacement and with equal
    probability.

    Args:
        data: :class:`~torch_geometric.data.HeteroData` or :class:`~torch_geometric.data.Data` on
            CPU.
        num_neighbors: Neighbours of each node in each hop; ``-1`` for all. Or a dictionary of such
            lists by edge type, which leaves out edge types that it does not name.
        disjoint: Whether each seed has a neighbourhood of its own, so that nodes may repeat.
        time_attr: The attribute of edges (of all sampled types) that holds their times: then only
            edges not later than a seed are followed, and sampling is disjoint.
        seed: Seed of the draws; by default PyTorch's own generator is used.

    Raises:
        ValueError: If ``data`` has no edges, an argument is out of range, or an edge type or
            ``time_attr`` is missing.

    Example:
        >>> from torch_geometric.loader import LinkLoader
        >>> from torch_geometric.transforms import ToUndirected
        >>> from pyg_advcf import Batch
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = ToUndirected()(SyntheticExposure(num_users=99, num_items=40)[0])
        >>> loader = LinkLoader(
        ...     data, TorchNeighborSampler(data, [5, 5]), ('user', 'interacts', 'item'),
        ...     neg_sampling=NegativeSampling('triplet', amount=4), batch_size=16)
        >>> Batch.from_link(next(iter(loader))).neg_item.shape
        torch.Size([16, 4])
    """
    def __init__(
        self,
        data: Union[Data, HeteroData],
        num_neighbors: Union[Sequence[int], dict[EdgeType, Sequence[int]]],
        disjoint: bool = False,
        time_attr: Optional[str] = None,
        seed: Optional[int] = None,
    ) -> None:
        check_instance('data', data, (Data, HeteroData), 'a Data or HeteroData')
        self.hetero = isinstance(data, HeteroData)
        stores = ({t: data[t] for t in data.edge_types if 'edge_index' in data[t]} if self.hetero
                  else {_HOMOGENEOUS: data})
        if not isinstance(num_neighbors, dict):
            num_neighbors = dict.fromkeys(stores, num_neighbors)
        elif not num_neighbors or not set(num_neighbors) <= set(stores):
            raise ValueError(f"'num_neighbors' is {shown(num_neighbors)}, but its keys need to be "
                             f"among the edge types {list(stores)}")
        self.num_neighbors = {t: self._hops(hops) for t, hops in num_neighbors.items()}
        if len({len(hops) for hops in self.num_neighbors.values()}) != 1:
            raise ValueError(f"'num_neighbors' is {shown(num_neighbors)}, but needs one list of "
                             f"at least one hop, or equally long ones")
        self.disjoint = check_bool('disjoint', disjoint) or time_attr is not None
        self.sizes = ({t: data[t].num_nodes for t in data.node_types} if self.hetero
                      else {'node': data.num_nodes})
        self.generator = None
        if seed is not None:
            self.generator = torch.Generator().manual_seed(check_seed('seed', seed))
        self.incoming = {t: self._compress(stores[t], t, time_attr) for t in self.num_neighbors}

    @staticmethod
    def _hops(hops: Any) -> list[int]:
        if not isinstance(hops, (list, tuple)) or not hops or not all(
                isinstance(k, int) and k >= -1 for k in hops):
            raise ValueError(f"'num_neighbors' is {shown(hops)}, but needs to be a list of a "
                             f"number for each hop, -1 for all neighbours")
        return list(hops)

    def _compress(self, store: Any, edge_type: EdgeType, time_attr: Optional[str]) -> _Incoming:
        source, target = store.edge_index.cpu().long()
        time = None
        order = torch.arange(source.numel())
        if time_attr is not None:
            time = store.get(time_attr)
            if not isinstance(time, Tensor) or time.shape != source.shape:
                raise ValueError(f"'time_attr' is {time_attr!r}, but the edges {edge_type} have no "
                                 f"such attribute with a time for each of {source.numel()} edges")
            order = torch.argsort(time, stable=True)
        order = order[torch.argsort(target[order], stable=True)]
        start = torch.zeros(self.sizes[edge_type[2]] + 1, dtype=torch.long)
        start[1:] = torch.bincount(target, minlength=start.numel() - 1).cumsum(0)
        return _Incoming(start, source[order], order, time if time is None else time[order])

    def _sample(self, seeds: dict[str, Tensor],
                times: Optional[dict[str, Tensor]]) -> HeteroSamplerOutput:
        nodes = {node_type: _Nodes(size) for node_type, size in self.sizes.items()}
        tree_time, trees = [], 0
        for node_type, ids in seeds.items():
            tree = torch.zeros_like(ids)
            if self.disjoint:
                tree = trees + torch.arange(ids.numel())
                trees += ids.numel()
                if times is not None:
                    tree_time.append(times[node_type])
            nodes[node_type].add(tree * nodes[node_type].size + ids, distinct=True)
        for found in nodes.values():
            if not found.hops:
                found.add(found.keys, distinct=True)
        tree_time = torch.cat(tree_time) if tree_time else None
        edges: dict[EdgeType, list[tuple[Tensor, Tensor, Tensor]]] = {
            t: [] for t in self.num_neighbors}
        for hop in range(len(next(iter(self.num_neighbors.values())))):
            reached: dict[str, list[Tensor]] = {node_type: [] for node_type in nodes}
            for edge_type, hops in self.num_neighbors.items():
                sources, targets = nodes[edge_type[0]], nodes[edge_type[2]]
                frontier = targets.frontier
                tree, node = frontier // targets.size, frontier % targets.size
                incoming = self.incoming[edge_type]
                start, stop = incoming.start[node], incoming.start[node + 1]
                if tree_time is not None:
                    stop = _until(incoming.time, start, stop, tree_time[tree])
                rows, numbers = distinct_draws(stop - start, hops[hop], self.generator)
                place = start[rows] + numbers
                keys = tree[rows] * sources.size + incoming.source[place]
                reached[edge_type[0]].append(keys)
                edges[edge_type].append((keys, frontier[rows], incoming.edge[place]))
            for node_type, keys in reached.items():
                nodes[node_type].add(torch.cat(keys) if keys else torch.empty(0, dtype=torch.long))
        joined = {t: [torch.cat(parts) for parts in zip(*hops)] for t, hops in edges.items()}
        return HeteroSamplerOutput(
            node={t: found.keys % found.size for t, found in nodes.items()},
            row={t: nodes[t[0]].places(keys) for t, (keys, _, _) in joined.items()},
            col={t: nodes[t[2]].places(keys) for t, (_, keys, _) in joined.items()},
            edge={t: ids for t, (_, _, ids) in joined.items()},
            batch=({t: found.keys // found.size for t, found in nodes.items()}
                   if self.disjoint else None),
            num_sampled_nodes={t: found.hops for t, found in nodes.items()},
            num_sampled_edges={t: [ids.numel() for _, _, ids in hops]
                               for t, hops in edges.items()})

    def _sample_homogeneous(self, seed: Tensor, time: Optional[Tensor]) -> SamplerOutput:
        found = self._sample({'node': seed}, None if time is None else {'node': time})
        return SamplerOutput(
            *(getattr(found, name)[key] for name, key in (
                ('node', 'node'), ('row', _HOMOGENEOUS), ('col', _HOMOGENEOUS),
                ('edge', _HOMOGENEOUS))),
            batch=None if found.batch is None else found.batch['node'],
            num_sampled_nodes=found.num_sampled_nodes['node'],
            num_sampled_edges=found.num_sampled_edges[_HOMOGENEOUS])

    def sample_from_nodes(self, index: NodeSamplerInput,
                          **kwargs: Any) -> Union[SamplerOutput, HeteroSamplerOutput]:
        return node_sample(index, self._sample if self.hetero else self._sample_homogeneous)

    def sample_from_edges(
        self,
        index: EdgeSamplerInput,
        neg_sampling: Optional[NegativeSampling] = None,
    ) -> Union[SamplerOutput, HeteroSamplerOutput]:
        return edge_sample(index, self._sample if self.hetero else self._sample_homogeneous,
                           self.sizes if self.hetero else self.sizes['node'], self.disjoint,
                           neg_sampling=neg_sampling)


def _until(time: Tensor, start: Tensor, stop: Tensor, limit: Tensor) -> Tensor:
    r"""The end of what is not later than ``limit`` in each segment of rising times."""
    low, high = start.clone(), stop.clone()
    while bool((low < high).any()):
        middle = (low + high) // 2
        open_ = low < high
        early = open_ & (time[middle.clamp(max=time.numel() - 1)] <= limit)
        low = torch.where(early, middle + 1, low)
        high = torch.where(open_ & ~early, middle, high)
    return low
