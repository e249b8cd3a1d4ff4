import pytest
import torch
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import LinkLoader, NodeLoader
from torch_geometric.sampler import NegativeSampling
from torch_geometric.utils import bipartite_subgraph, k_hop_subgraph

from pyg_advcf.loader import TorchNeighborSampler
from pyg_advcf.loader.torch_neighbor_sampler import distinct_draws

BUYS, REV = ('user', 'buys', 'item'), ('item', 'rev_buys', 'user')


@pytest.fixture
def graph():
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randint(30 * 20, (150, ), generator=generator).unique()
    data = HeteroData()
    data['user'].num_nodes, data['item'].num_nodes = 30, 20
    data[BUYS].edge_index = torch.stack([pairs // 20, pairs % 20])
    data[REV].edge_index = data[BUYS].edge_index.flip(0)
    data[BUYS].time = data[REV].time = torch.randint(100, (pairs.numel(), ), generator=generator)
    return data


def loader(data, num_neighbors, **kwargs):
    sampler = {k: kwargs.pop(k) for k in ('disjoint', 'time_attr', 'seed') if k in kwargs}
    kwargs = {'neg_sampling': NegativeSampling('triplet', amount=3), 'batch_size': 16, **kwargs}
    return LinkLoader(data, TorchNeighborSampler(data, num_neighbors, **sampler), BUYS, **kwargs)


def edges(batch, data):
    r"""The edges of a mini-batch in the ids of the data, checked to be edges of the data."""
    for edge_type in (BUYS, REV):
        store = batch[edge_type]
        pairs = torch.stack([batch[edge_type[0]].n_id[store.edge_index[0]],
                             batch[edge_type[2]].n_id[store.edge_index[1]]])
        assert torch.equal(pairs, data[edge_type].edge_index[:, store.e_id])
        assert torch.equal(store.time, data[edge_type].time[store.e_id])
        yield edge_type, pairs


def test_draws_are_distinct_and_uniform():
    count = torch.tensor([5, 0, 3, 40])
    rows, numbers = distinct_draws(count, 4, torch.Generator().manual_seed(1))
    assert rows.tolist() == [0] * 4 + [2] * 3 + [3] * 4
    pairs = rows * 100 + numbers
    assert pairs.unique().numel() == pairs.numel() and (numbers < count[rows]).all()
    assert numbers[rows == 2].sort()[0].tolist() == [0, 1, 2]
    rows, numbers = distinct_draws(torch.full((6000, ), 6), 2, torch.Generator().manual_seed(2))
    share = torch.bincount(numbers, minlength=6) / 6000
    assert (share - 1 / 3).abs().max() < 0.03  # Standard deviation .006.
    assert distinct_draws(count, -1, None)[0].numel() == 48
    assert distinct_draws(count, 0, None)[0].numel() == 0


@pytest.mark.parametrize('disjoint', [False, True])
def test_all_neighbours_are_those_of_the_graph(graph, disjoint):
    for batch in loader(graph, [-1, -1], disjoint=disjoint):
        src, pos, neg = (batch['user'].src_index, batch['item'].dst_pos_index,
                         batch['item'].dst_neg_index)
        assert neg.shape == (src.numel(), 3)
        assert torch.equal(
            torch.stack([batch['user'].n_id[src], batch['item'].n_id[pos]]),
            graph[BUYS].edge_index[:, batch[BUYS].input_id])
        if disjoint:
            # Each seed has a tree of its own: all edges stay within it.
            assert batch['user'].n_id.unique().numel() < batch['user'].n_id.numel()
            for edge_type, _ in edges(batch, graph):
                row, col = batch[edge_type].edge_index
                assert torch.equal(batch[edge_type[0]].batch[row], batch[edge_type[2]].batch[col])
            continue
        for node_type in ('user', 'item'):
            ids = batch[node_type].n_id
            assert ids.unique().numel() == ids.numel()
        items = torch.cat([pos, neg.reshape(-1)])
        seeds = {'user': batch['user'].n_id[src].unique(),
                 'item': batch['item'].n_id[items].unique()}
        # Every incoming edge of the nodes that are at most one hop away.
        one = {t: seeds[t] for t in seeds}
        for edge_type, _ in edges(batch, graph):
            into = torch.isin(graph[edge_type].edge_index[1], seeds[edge_type[2]])
            one[edge_type[0]] = torch.cat([one[edge_type[0]],
                                           graph[edge_type].edge_index[0, into]]).unique()
        for edge_type, pairs in edges(batch, graph):
            expected = torch.isin(graph[edge_type].edge_index[1], one[edge_type[2]])
            assert torch.equal(batch[edge_type].e_id.sort()[0], expected.nonzero().view(-1))
            assert pairs.size(1) == expected.sum()


def test_numbers_of_neighbours_and_seeds_of_draws(graph):
    kwargs = dict(neg_sampling=None, batch_size=8)
    first, again, other = (next(iter(loader(graph, [2, 1], seed=s, **kwargs))) for s in (1, 1, 2))
    assert torch.equal(first[BUYS].e_id, again[BUYS].e_id)
    assert not torch.equal(first[BUYS].e_id, other[BUYS].e_id)
    for edge_type in (BUYS, REV):
        hops = first[edge_type].num_sampled_edges
        assert sum(hops) == first[edge_type].edge_index.size(1)
        counts = torch.bincount(first[edge_type].edge_index[1])
        assert counts.max() <= 2
        reached = first[edge_type[2]].num_sampled_nodes
        assert hops[0] <= 2 * reached[0] and hops[1] <= reached[1]
    named = next(iter(loader(graph, {REV: [3]}, **kwargs)))
    assert named[BUYS].edge_index.size(1) == 0 < named[REV].edge_index.size(1)


def test_no_edge_is_later_than_its_seed(graph):
    time = graph[BUYS].time
    batch = next(iter(loader(graph, [-1, -1], time_attr='time', edge_label_time=time,
                             neg_sampling=None, batch_size=150)))
    seeds = time[batch[BUYS].input_id]
    kept = 0
    for edge_type, _ in edges(batch, graph):
        tree = batch[edge_type[2]].batch[batch[edge_type].edge_index[1]]
        assert (batch[edge_type].time <= seeds[tree]).all()
        kept += tree.numel()
    assert kept > 300
    # Nothing that is allowed is left out: the first hop of every seed.
    for number, item in enumerate(batch[BUYS].edge_label_index[1].tolist()):
        own = batch[BUYS].edge_index[1] == item
        expected = ((graph[BUYS].edge_index[1] == batch['item'].n_id[item])
                    & (time <= seeds[number])).sum()
        assert own.sum() == expected


def test_homogeneous_graphs_and_nodes(graph):
    user, item = graph[BUYS].edge_index
    data = Data(edge_index=torch.cat([torch.stack([user, item + 30]),
                                      torch.stack([item + 30, user])], 1), num_nodes=50)
    sampler = TorchNeighborSampler(data, [-1, -1])
    batch = next(iter(NodeLoader(data, sampler, input_nodes=torch.tensor([3, 40]), batch_size=2)))
    expected = k_hop_subgraph([3, 40], 2, data.edge_index)[0]
    assert batch.n_id[:2].tolist() == [3, 40]
    assert torch.equal(batch.n_id.sort()[0], expected)
    found = batch.n_id[batch.edge_index]
    assert torch.equal(found, data.edge_index[:, batch.e_id])
    links = LinkLoader(data, sampler, edge_label_index=data.edge_index[:, :5], batch_size=5,
                       neg_sampling=NegativeSampling('binary', amount=2))
    batch = next(iter(links))
    assert torch.equal(batch.n_id[batch.edge_label_index[:, :5]], data.edge_index[:, :5])
    assert batch.edge_label.tolist() == [1.] * 5 + [0.] * 10


def test_the_subgraph_of_all_nodes_is_the_graph(graph):
    batch = next(iter(loader(graph, [-1], neg_sampling=None, batch_size=1000)))
    kept = bipartite_subgraph((batch['user'].n_id, batch['item'].n_id), graph[BUYS].edge_index,
                              size=(30, 20))[0]
    assert batch[BUYS].edge_index.size(1) == kept.size(1) == graph[BUYS].edge_index.size(1)


@pytest.mark.parametrize('kwargs, words', [
    ({'num_neighbors': []}, "'num_neighbors' is the list"),
    ({'num_neighbors': [1.5]}, "'num_neighbors' is the list"),
    ({'num_neighbors': [-2]}, "-1 for all neighbours"),
    ({'num_neighbors': {('a', 'b', 'c'): [1]}}, "among the edge types"),
    ({'num_neighbors': {BUYS: [1], REV: [1, 2]}}, "equally long"),
    ({'time_attr': 'when'}, "'time_attr' is 'when'"),
    ({'disjoint': 1}, "'disjoint' is 1"),
    ({'data': None}, "'data' is None"),
])
def test_bad_arguments(graph, kwargs, words):
    with pytest.raises(ValueError, match=words):
        TorchNeighborSampler(**{'data': graph, 'num_neighbors': [2], **kwargs})
