r"""Homogeneous graphs and the outputs of RandomLinkSplit, converted to our form and back."""
import pytest
import torch
from torch_geometric.data import Data, HeteroData
from torch_geometric.transforms import RandomLinkSplit, ToUndirected

from pyg_advcf import (
    InteractionLoader,
    LightGCN,
    bipartite,
    evaluate,
    from_link_split,
    split_names,
    to_link_split,
)
from pyg_advcf.datasets import SyntheticExposure

BUYS, REV = ('customer', 'buys', 'article'), ('article', 'rev_buys', 'customer')
USERS, ITEMS = 30, 20


@pytest.fixture
def pairs():
    key = torch.randint(USERS * ITEMS, (300, ), generator=torch.Generator().manual_seed(0)).unique()
    key = key[torch.randperm(key.numel(), generator=torch.Generator().manual_seed(1))]
    return torch.stack([key // ITEMS, key % ITEMS])


@pytest.fixture
def shop(pairs):
    data = HeteroData()
    data['customer'].num_nodes, data['article'].x = USERS, torch.randn(ITEMS, 3)
    data['brand'].num_nodes = 4
    data[BUYS].edge_index = pairs
    data[BUYS].time = torch.arange(pairs.size(1))
    data['article', 'of', 'brand'].edge_index = torch.stack([torch.arange(ITEMS),
                                                             torch.arange(ITEMS) % 4])
    return data


def as_set(pairs):
    found = set(map(tuple, pairs.t().tolist()))
    assert len(found) == pairs.size(1)
    return found


def stacked(pairs, both=True):
    links = torch.stack([pairs[0], pairs[1] + USERS])
    return torch.cat([links, links.flip(0)], dim=1) if both else links


@pytest.mark.parametrize('directions', ['both', 'forward', 'backward', 'mixed'])
def test_users_and_items_of_a_homogeneous_graph(pairs, directions):
    links = stacked(pairs, both=False)
    weight = torch.rand(pairs.size(1))
    edge_index, weights = {
        'both': (stacked(pairs), torch.cat([weight, -weight])),
        'forward': (links, weight), 'backward': (links.flip(0), weight),
        'mixed': (torch.cat([links[:, :50], links[:, 50:].flip(0), links[:, :9].flip(0)], 1),
                  torch.cat([weight, -weight[:9]]))}[directions]
    x = torch.randn(USERS + ITEMS, 2)
    data = bipartite(Data(x=x, edge_index=edge_index, weight=weights, name='shop'), USERS, BUYS)
    assert data.edge_types == [BUYS] and data.node_types == ['customer', 'article']
    assert torch.equal(data[BUYS].edge_index, pairs)
    assert torch.equal(data[BUYS].weight, weight)
    assert torch.equal(data['customer'].x, x[:USERS]) and data['customer'].num_nodes == USERS
    assert torch.equal(data['article'].x, x[USERS:]) and data['article'].num_nodes == ITEMS
    assert data.name == 'shop'
    assert LightGCN(data, dim=4, num_layers=1)().item.shape == (ITEMS, 4)


def test_a_homogeneous_graph_that_is_not_bipartite(pairs):
    data = Data(edge_index=stacked(pairs), num_nodes=USERS + ITEMS)
    with pytest.raises(ValueError, match=r"'edge_index' joins the nodes \d+ and \d+, but with "
                                         "'num_users' = 29"):
        bipartite(data, USERS - 1)
    with pytest.raises(ValueError, match="'num_users' is 50, but needs to be at most 49"):
        bipartite(data, USERS + ITEMS)
    with pytest.raises(ValueError, match=r"'data' is HeteroData[\s\S]*knows its users and items"):
        bipartite(bipartite(data, USERS), USERS)
    with pytest.raises(ValueError, match="without 'edge_index' or 'num_nodes'"):
        bipartite(Data(num_nodes=3), 2)
    with pytest.raises(ValueError, match="'edge_index' holds ids from 0 to 49, but .* 40 nodes"):
        bipartite(Data(edge_index=stacked(pairs), num_nodes=40), USERS)
    for wrong in ('user', ('user', 'item'), ('user', 'knows', 'user'), (1, 2, 3), None):
        with pytest.raises(ValueError, match="'edge_type' is .* three names"):
            bipartite(data, USERS, wrong)
    data.edge_label_index, data.edge_label = data.edge_index[:, :4], torch.ones(3)
    with pytest.raises(ValueError, match=r"'edge_label' has shape \[3\], but needs to be \[4\]"):
        bipartite(data, USERS)
    with pytest.raises(ValueError, match=r"homogeneous Data; tell .* 'pyg_advcf.bipartite\(data"):
        InteractionLoader(data)


@pytest.mark.parametrize('disjoint', [0., 0.3])
@pytest.mark.parametrize('negatives', [0., 2.])
@pytest.mark.parametrize('split_labels', [False, True])
@pytest.mark.parametrize('undirected', [False, True])
def test_from_random_link_split(shop, disjoint, negatives, split_labels, undirected):
    if undirected:
        shop = ToUndirected()(shop)
    parts = RandomLinkSplit(
        num_val=0.1, num_test=0.2, edge_types=[BUYS], rev_edge_types=[REV] if undirected else None,
        disjoint_train_ratio=disjoint, neg_sampling_ratio=negatives, split_labels=split_labels)(
            shop)
    data = from_link_split(*parts, edge_type=BUYS)
    count = shop[BUYS].num_edges
    sets = {'train': as_set(data[BUYS].edge_index),
            **{name: as_set(data[BUYS][f'{name}_edge_label_index']) for name in ('val', 'test')}}
    assert set().union(*sets.values()) == as_set(shop[BUYS].edge_index)
    assert sum(map(len, sets.values())) == count  # So they are disjoint.
    assert abs(len(sets['val']) - 0.1 * count) < 2 and abs(len(sets['test']) - 0.2 * count) < 2
    assert split_names(data, edge_type=BUYS) == ['val', 'test']
    assert not [key for key in data[BUYS] if 'edge_label' in key and 'edge_label_index' not in key]
    assert torch.equal(data['article'].x, shop['article'].x)
    assert torch.equal(data['article', 'of', 'brand'].edge_index,
                       shop['article', 'of', 'brand'].edge_index)
    if disjoint == 0.:
        order = data[BUYS].time
        assert torch.equal(shop[BUYS].edge_index[:, order], data[BUYS].edge_index)
    else:
        assert 'time' not in data[BUYS]
    assert 'val_edge_label_index' not in parts[0][BUYS]  # The parts stay as they were.
    assert ('edge_label' in parts[0][BUYS]) == (not split_labels)
    found = evaluate(LightGCN(data, 4, 1, edge_type=BUYS), data, splits='test', k=5)
    assert list(found) == ['test']


@pytest.mark.parametrize('negatives', [0., 1.])
@pytest.mark.parametrize('split_labels', [False, True])
def test_from_the_split_of_a_homogeneous_graph(pairs, negatives, split_labels):
    graph = Data(edge_index=stacked(pairs), num_nodes=USERS + ITEMS)
    torch.manual_seed(1)
    parts = RandomLinkSplit(0.1, 0.1, is_undirected=True, neg_sampling_ratio=negatives,
                            split_labels=split_labels)(graph)
    data = from_link_split(*parts, num_users=USERS)
    store = data['user', 'interacts', 'item']
    sets = [as_set(store[key]) for key in ('edge_index', 'val_edge_label_index',
                                           'test_edge_label_index')]
    assert set().union(*sets) == as_set(pairs) and sum(map(len, sets)) == pairs.size(1)
    with pytest.raises(ValueError, match="'train' is a homogeneous Data; pass 'num_users'"):
        from_link_split(*parts)
    leaking = RandomLinkSplit(0.1, 0.1, is_undirected=False)(graph)
    with pytest.raises(ValueError, match=r"'val' holds out \d+ pairs that are in the training "
                                         "graph too; split the two directions"):
        from_link_split(*leaking, num_users=USERS)


def test_there_and_back():
    data = SyntheticExposure(num_users=60, num_items=50)[0]
    edge_type = ('user', 'interacts', 'item')
    parts = to_link_split(data)
    assert list(parts) == ['train', 'val', 'test_iid', 'test_ood']
    for name, part in parts.items():
        key = 'edge_index' if name == 'train' else f'{name}_edge_label_index'
        assert torch.equal(part[edge_type].edge_label_index, data[edge_type][key])
        assert torch.equal(part[edge_type].edge_index, data[edge_type].edge_index)
        assert part[edge_type].edge_label.tolist() == [1.] * data[edge_type][key].size(1)
        assert split_names(part) == []
    back = from_link_split(**parts)
    assert split_names(back) == split_names(data) == ['val', 'test_iid', 'test_ood']
    for key, value in data[edge_type].items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(back[edge_type][key], value)


def test_what_is_no_split(shop):
    train, val, _ = RandomLinkSplit(edge_types=[BUYS])(shop)
    with pytest.raises(ValueError, match="'val' has no 'edge_label_index' of the interactions"):
        from_link_split(train, shop, edge_type=BUYS)
    with pytest.raises(ValueError, match="'train' is None"):
        from_link_split(None)
    with pytest.raises(ValueError, match=r"'data' has the edge types \[.*buys.*of.*\] between"):
        from_link_split(train, val)
    with pytest.raises(ValueError, match="'train' holds a split 'val' already"):
        from_link_split(from_link_split(train, val, edge_type=BUYS), val, edge_type=BUYS)
    with pytest.raises(ValueError, match="'best' is no name of a split"):
        from_link_split(train, best=val, edge_type=BUYS)
    del val[BUYS]
    with pytest.raises(ValueError, match="'val' has the edge types .* without"):
        from_link_split(train, val, edge_type=BUYS)
