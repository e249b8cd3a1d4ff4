r"""Interactions of any name give what the same interactions give under the library's own names."""
import copy

import pytest
import torch
from torch_geometric.data import Data, HeteroData
from torch_geometric.transforms import ToUndirected

from pyg_advcf import (
    InteractionLoader,
    Step,
    as_graph,
    degrees,
    diagnostics,
    evaluate,
    fit,
    held_out,
    interaction_graph,
    known_pairs,
    methods,
    metrics,
    nn,
    resolve_edge_type,
    split_names,
    transforms,
    validate,
)
from pyg_advcf.interactions import EDGE_TYPE, as_interactions, candidate_mask, num_nodes
from pyg_advcf.loader import NegativeSampler
from pyg_advcf.nn.ultragcn import item_neighbours

BUYS, SEES = ('customer', 'buys', 'article'), ('customer', 'sees', 'article')
REV = ('article', 'rev_buys', 'customer')
OF, KNOWS = ('article', 'of', 'brand'), ('customer', 'knows', 'customer')


def renamed(toy, several=True):
    r"""The same interactions in a larger graph."""
    data = HeteroData()
    data['customer'].num_nodes = toy['user'].num_nodes
    data['article'].x = torch.arange(toy['item'].num_nodes).float().view(-1, 1)
    data['brand'].num_nodes = 5
    data['article'].candidate_mask = torch.arange(toy['item'].num_nodes) != 3
    toy['item'].candidate_mask = data['article'].candidate_mask
    for key, value in toy[EDGE_TYPE].items():
        data[BUYS][key] = value
    data[REV].edge_index = data[BUYS].edge_index.flip(0)
    items, users = (torch.arange(data[t].num_nodes) for t in ('article', 'customer'))
    data[KNOWS].edge_index = torch.stack([users, users.roll(1)])
    if several:
        data[OF].edge_index = torch.stack([items, items % 5])
        data[SEES].edge_index = torch.stack([users, users])
    return data


@pytest.fixture
def shop(toy):
    return renamed(toy)


def test_the_only_edge_type_between_two_node_types(toy):
    assert resolve_edge_type(toy) == EDGE_TYPE
    data = renamed(toy, several=False)
    assert resolve_edge_type(data) == BUYS
    assert num_nodes(data) == num_nodes(toy)
    assert resolve_edge_type(ToUndirected()(toy)) == EDGE_TYPE
    del data[BUYS]
    assert resolve_edge_type(data) == REV  # The only one that is left.


@pytest.mark.parametrize('edge_type', [BUYS, list(BUYS), '__'.join(BUYS)])
def test_ways_to_name_it(shop, edge_type):
    assert resolve_edge_type(shop, edge_type) == BUYS
    del shop[SEES]
    assert resolve_edge_type(shop, ('customer', 'article')) == BUYS


def test_several_are_an_error_that_lists_them(shop):
    names = r"'customer', 'buys', 'article'.*'article', 'of', 'brand'.*'customer', 'sees'"
    for call in (resolve_edge_type, validate, nn.LightGCN, InteractionLoader, degrees,
                 transforms.RandomSplit(0.1), transforms.KCore(1)):
        with pytest.raises(ValueError, match=f"{names}.*with 'edge_type'") as error:
            call(shop)
        assert 'rev_buys' not in str(error.value) and 'knows' not in str(error.value)
    with pytest.raises(ValueError, match=r"'edge_type' is \('customer', 'article'\), which is no "
                                         "one of them"):
        validate(shop, ('customer', 'article'))
    for wrong in (EDGE_TYPE, KNOWS, 'buys', 3):
        with pytest.raises(ValueError, match="'edge_type' is .*, which is none of them"):
            validate(shop, wrong)
    with pytest.raises(ValueError, match="'data' is a homogeneous Data"):
        validate(Data(edge_index=shop[BUYS].edge_index))


def test_nodes_that_nothing_counts(shop):
    del shop['customer'].num_nodes
    with pytest.raises(ValueError, match=r"set data\['customer'\].num_nodes, or features "
                                         r"data\['customer'\].x"):
        nn.MF(shop, edge_type=BUYS)
    shop['customer'].x = torch.ones(30, 2)
    assert nn.MF(shop, edge_type=BUYS).num_users == 30
    shop['customer'].num_nodes = 'many'
    with pytest.raises(ValueError, match=r"data\['customer'\].num_nodes' is 'many'"):
        nn.MF(shop, edge_type=BUYS)


@pytest.mark.parametrize('function', [
    split_names, known_pairs, num_nodes, candidate_mask, degrees, interaction_graph,
    item_neighbours,
    lambda data, edge_type=None: held_out(data, 'val', edge_type),
    lambda data, edge_type=None: NegativeSampler(data, edge_type=edge_type).known.keys,
    lambda data, edge_type=None: list(InteractionLoader(data, 50, 3, edge_type=edge_type))[2],
    lambda data, edge_type=None: InteractionLoader(data, 9, split='val', edge_type=edge_type).user,
])
def test_functions_of_data(toy, shop, function):
    expected, found = function(toy), function(shop, edge_type=BUYS)
    expected, found = (v if isinstance(v, tuple) else (v, ) for v in (expected, found))
    for a, b in zip(expected, found, strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.mark.parametrize('cls', [nn.MF, nn.LightGCN, nn.LightGCL, nn.DCCF, nn.UltraGCN, nn.VGAE])
def test_backbones_train_and_rank_alike(toy, shop, cls):
    results = []
    for data, edge_type in ((toy, None), (shop, BUYS)):
        torch.manual_seed(0)
        backbone = cls(data, dim=4, edge_type=edge_type)
        method = methods.bpr(backbone)
        torch.manual_seed(1)
        fit(method, InteractionLoader(data, 64, edge_type=edge_type), 2, lr=0.05, progress=False)
        # The model knows which edges it was built for.
        results.append((evaluate(method, data, k=5, progress=False),
                        method.recommend([0, 3], k=4).item.tolist(),
                        metrics.alignment_uniformity(method, data)))
    assert backbone.edge_type == BUYS
    assert results[0] == results[1]


def test_models_of_their_own_kind(toy, shop):
    method = methods.advinfonce(nn.LightGCN(shop, dim=4, edge_type=BUYS))
    own = methods.advinfonce(nn.LightGCN(toy, dim=4))
    own.load_state_dict(method.state_dict())
    found, expected = (metrics.evaluate_by_degree(m, d, (0, 5, 20), 'test_iid', k=5)
                       for m, d in ((method, shop), (own, toy)))
    assert found == expected
    masks = {'even': torch.arange(30) % 2 == 0}
    assert (metrics.evaluate_by_user(method, shop, masks, k=5)
            == metrics.evaluate_by_user(own, toy, masks, k=5))
    torch.manual_seed(3)
    report = diagnostics.hardness_report(method, shop, bins=3)
    torch.manual_seed(3)
    expected = diagnostics.hardness_report(own, toy, bins=3)
    assert str(report) == str(expected)
    shop[BUYS].injected = toy[EDGE_TYPE].injected = torch.arange(200) % 9 == 0
    accf = methods.ACCF(nn.LightGCN(toy, 4))
    found = diagnostics.weight_report(accf, toy)
    accf.backbone.edge_type = BUYS
    assert diagnostics.weight_report(accf, shop) == found
    # Plain embeddings do not know.
    with pytest.raises(ValueError, match="with 'edge_type'"):
        evaluate(method.embeddings(), shop)
    assert (evaluate(method.embeddings(), shop, edge_type=BUYS, k=5, similarity=method.similarity)
            == evaluate(own, toy, k=5))


CHANGES = [
    transforms.RandomSplit(val=0., outer=0.2, per_user=False), transforms.EdgeDrop(0.3),
    transforms.NodeDrop(0.2), transforms.AddInteractionNoise(0.2),
]
FROM_UNSPLIT = [transforms.RandomSplit(0.2, 0.2, per_user=False), transforms.ColdStartSplit(),
                transforms.PopularityShiftSplit(num_groups=4)]


def of_type(transform, edge_type):
    transform = copy.copy(transform)
    transform.edge_type = edge_type
    return transform


@pytest.mark.parametrize('transform', [*CHANGES, *FROM_UNSPLIT], ids=repr)
def test_transforms_change_the_interactions_and_their_reverse(toy, shop, transform):
    if transform in FROM_UNSPLIT:
        for data, edge_type in ((toy, EDGE_TYPE), (shop, BUYS)):
            for split in split_names(data, edge_type=edge_type):
                del data[edge_type][f'{split}_edge_label_index']
    before = shop[BUYS].edge_index
    found, expected = of_type(transform, BUYS)(shop), transform(toy)
    assert torch.equal(shop[BUYS].edge_index, before)  # In place of neither.
    ours, theirs = expected[EDGE_TYPE], found[BUYS]
    assert set(ours.keys()) == set(theirs.keys())
    for key, value in ours.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, theirs[key]), key
    assert not torch.equal(theirs.edge_index, before)
    assert 'user' not in found.node_types and EDGE_TYPE not in found.edge_types
    assert set(map(tuple, found[REV].edge_index.flip(0).t().tolist())) == set(
        map(tuple, theirs.edge_index.t().tolist()))
    for same in (OF, SEES, KNOWS):
        assert torch.equal(found[same].edge_index, shop[same].edge_index)
    if isinstance(transform, transforms.ColdStartSplit):
        assert torch.equal(found['customer'].cold_mask, expected['user'].cold_mask)


def test_random_walks(toy, shop):
    expected = transforms.RandomWalk(0.3)(toy)[EDGE_TYPE].layer_edge_index
    found = transforms.RandomWalk(0.3, edge_type=BUYS)(shop)[BUYS].layer_edge_index
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_reverse_edges_keep_their_attributes(toy):
    data = ToUndirected()(toy)
    rev = data['item', 'rev_interacts', 'user']
    rev.order = torch.arange(rev.edge_index.size(1))
    found = transforms.RandomSplit(val=0, outer=0.3, per_user=False)(data)
    kept = found['item', 'rev_interacts', 'user']
    assert torch.equal(rev.edge_index[:, kept.order], kept.edge_index)
    assert kept.edge_index.size(1) == found[EDGE_TYPE].edge_index.size(1) < 200
    with pytest.raises(ValueError, match="'rev_interacts', 'user'.* have the attribute 'order'"):
        transforms.AddInteractionNoise(0.1)(data)


@pytest.mark.parametrize('transform', [transforms.KCore(4), transforms.SampleUsers(0.6)], ids=repr)
def test_what_renumbers_nodes_does_so_everywhere(toy, shop, transform):
    shop[SEES].weight = torch.arange(30)
    shop[BUYS].time = torch.arange(200)
    found, expected = of_type(transform, BUYS)(shop), transform(toy)
    assert torch.equal(found[BUYS].edge_index, expected[EDGE_TYPE].edge_index)
    users, items = found['customer'].raw_id, found['article'].raw_id
    assert torch.equal(users, expected['user'].raw_id) and users.numel() < 30
    assert torch.equal(found['article'].x.view(-1).long(), items)
    raw = {'customer': users, 'article': items, 'brand': torch.arange(5)}
    for edge_type in (BUYS, REV, OF, SEES, KNOWS):
        now = found[edge_type].edge_index
        old = torch.stack([raw[edge_type[0]][now[0]], raw[edge_type[2]][now[1]]])
        keep = torch.stack([torch.isin(shop[edge_type].edge_index[0], raw[edge_type[0]]),
                            torch.isin(shop[edge_type].edge_index[1], raw[edge_type[2]])]).all(0)
        assert torch.equal(old, shop[edge_type].edge_index[:, keep]), edge_type
        if edge_type == BUYS:
            assert torch.equal(found[BUYS].time, shop[BUYS].time[keep])
        if edge_type == SEES:
            assert torch.equal(found[SEES].weight, shop[SEES].weight[keep])
    for split in split_names(shop, edge_type=BUYS):
        pairs = held_out(found, split, BUYS)
        assert torch.equal(pairs, held_out(expected, split))
    assert not [t for t in found.node_types if t in ('user', 'item')]


def test_a_perturbation_as_a_transform(toy):
    data = renamed(toy, several=False)
    data['customer'].x = torch.zeros(30, 4)
    data['article'].x = torch.zeros(40, 4)
    found = transforms.RandomNoise(0.5)(data)
    assert torch.allclose(found['article'].x.norm(dim=1), torch.full((40, ), 0.5))
    assert found['customer'].x.norm() > 0


def test_checkpoints_resume_them(toy, shop, tmp_path):
    def run(epochs, path=None, edge_type=BUYS, **kwargs):
        torch.manual_seed(0)
        method = methods.infonce(nn.LightGCN(shop, 4, edge_type=edge_type))
        torch.manual_seed(1)
        fit(method, InteractionLoader(shop, 64, 4, edge_type=edge_type), epochs, lr=0.05,
            checkpoint=path, evaluate_every=1, progress=False, **kwargs)
        return method.backbone.x

    whole = run(4)
    path = tmp_path / 'run.pt'
    run(2, path)
    resumed = run(4, path, resume=True)
    assert torch.equal(whole.user, resumed.user) and torch.equal(whole.item, resumed.item)
    shop[BUYS].edge_index = shop[BUYS].edge_index.flip(1)
    with pytest.raises(ValueError, match='interactions'):
        run(5, path, resume=True)


def test_the_wrapped_view_shares_its_tensors(shop):
    view = as_interactions(shop, BUYS)
    assert view[EDGE_TYPE].edge_index is shop[BUYS].edge_index
    assert view.node_types == ['user', 'item'] and view.edge_types == [EDGE_TYPE]
    graph = interaction_graph(shop, BUYS)
    assert torch.equal(graph.as_tensor(), as_graph(shop[BUYS].edge_index, 30, 40).as_tensor())


def test_steps_over_other_names(toy, shop):
    for build in (methods.SGL, methods.APR, methods.SharpCF):
        losses = []
        for data, edge_type in ((toy, None), (shop, BUYS)):
            torch.manual_seed(0)
            method = build(nn.LightGCN(data, 4, edge_type=edge_type))
            step = Step(method, lr=0.01)
            loader = InteractionLoader(data, 32, edge_type=edge_type)
            step.on_epoch_start(0, loader)
            torch.manual_seed(1)
            losses.append([float(step(batch)) for batch in loader])
        assert losses[0] == losses[1]
