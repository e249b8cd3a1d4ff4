r"""Mini-batches of PyG's link loaders: the same rows as the data, in two id spaces."""
import pytest
import torch
from torch import nn
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import LinkLoader, LinkNeighborLoader
from torch_geometric.nn import LGConv
from torch_geometric.sampler import NegativeSampling
from torch_geometric.typing import WITH_PYG_LIB, WITH_TORCH_SPARSE

from pyg_advcf import Batch, Cosine, Dot, Embeddings, InteractionLoader, criteria, degrees
from pyg_advcf.criteria import AdvInfoNCE, ViewInfoNCE
from pyg_advcf.loader import TorchNeighborSampler
from pyg_advcf.pairs import PairSet

BUYS, REV = ('customer', 'buys', 'article'), ('article', 'rev_buys', 'customer')
USERS, ITEMS = 30, 25


@pytest.fixture(params=['plain', *(['pyg'] if WITH_PYG_LIB or WITH_TORCH_SPARSE else [])])
def sampler(request):
    return request.param


@pytest.fixture
def graph():
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randint(USERS * ITEMS, (200, ), generator=generator).unique()
    data = HeteroData()
    data['customer'].x = torch.randn(USERS, 6, generator=generator)
    data['article'].x = torch.randn(ITEMS, 6, generator=generator)
    data[BUYS].edge_index = torch.stack([pairs // ITEMS, pairs % ITEMS])
    data[REV].edge_index = data[BUYS].edge_index.flip(0)
    # The weights of LightGCN, of the whole graph: a sampled one has other degrees at its border.
    user, item = degrees(data)
    weight = (user[pairs // ITEMS] * item[pairs % ITEMS]).float().rsqrt()
    data[BUYS].weight = data[REV].weight = weight
    return data


def batches(data, sampler='plain', num_neighbors=(-1, -1), mode='triplet', amount=4,
            disjoint=False, edges=None, **kwargs):
    kwargs = {'neg_sampling': NegativeSampling(mode, amount=amount), 'batch_size': 32, **kwargs}
    links = (BUYS, data[BUYS].edge_index) if edges is None else edges
    if sampler == 'pyg':
        if disjoint and not WITH_PYG_LIB:
            pytest.skip('torch-sparse alone does not sample disjointly')
        return LinkNeighborLoader(data, list(num_neighbors), links, disjoint=disjoint, **kwargs)
    return LinkLoader(data, TorchNeighborSampler(data, list(num_neighbors), disjoint), links,
                      **kwargs)


class Model(nn.Module):
    r"""Two layers of LightGCN over features, in PyG's own terms."""
    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.user, self.item = nn.Linear(6, 8), nn.Linear(6, 8)
        self.conv = LGConv(normalize=False)

    def forward(self, data):
        x = h = {'customer': self.user(data['customer'].x),
                 'article': self.item(data['article'].x)}
        out = dict(x)
        for _ in range(2):
            h = {t[2]: self.conv((h[t[0]], h[t[2]]), data[t].edge_index, data[t].weight)
                 for t in (BUYS, REV)}
            out = {k: out[k] + h[k] for k in out}
        return {k: v / 3 for k, v in out.items()}


def neg_item_of(data, mode):
    if mode == 'triplet':
        return data['article'].n_id[data['article'].dst_neg_index]
    index = data[BUYS].edge_label_index[1, data[BUYS].edge_label == 0]
    return data['article'].n_id[index]


@pytest.mark.parametrize('mode', ['triplet', 'binary'])
@pytest.mark.parametrize('amount', [1, 4])
@pytest.mark.parametrize('disjoint', [False, True])
def test_ids_are_those_of_the_data(graph, sampler, mode, amount, disjoint):
    seen = []
    for data in batches(graph, sampler, mode=mode, amount=amount, disjoint=disjoint):
        batch = Batch.from_link(data)
        count = batch.user.numel()
        assert batch.neg_item.shape == (count, amount) and batch.item.shape == (count, )
        assert torch.equal(torch.stack([batch.user, batch.item]),
                           graph[BUYS].edge_index[:, batch.id])
        assert torch.equal(batch.neg_item.reshape(-1).sort()[0],
                           neg_item_of(data, mode).reshape(-1).sort()[0])
        if mode == 'triplet':
            assert torch.equal(batch.neg_item.view(-1), neg_item_of(data, mode).reshape(-1))
        seen.append(batch.id)
        assert batch.neg_mask is None
    assert torch.cat(seen).tolist() == list(range(graph[BUYS].edge_index.size(1)))


def test_known_pairs_are_masked(graph):
    known = PairSet.of(graph[BUYS].edge_index, USERS, ITEMS)
    for data in batches(graph, amount=10):
        batch = Batch.from_link(data, BUYS, known=known)
        expected = [[(u, j) not in set(map(tuple, graph[BUYS].edge_index.t().tolist()))
                     for j in row] for u, row in zip(batch.user.tolist(), batch.neg_item.tolist())]
        assert batch.neg_mask.tolist() == expected
        assert not batch.neg_mask.all()
        z = Embeddings.from_link(batch, *Model()(data).values())
        pos, neg = Cosine(0.5)(z, batch)
        assert torch.equal(neg.isinf(), ~batch.neg_mask)


@pytest.mark.parametrize('disjoint', [False, True])
def test_scores_equal_those_of_the_whole_graph(graph, sampler, disjoint):
    model = Model()
    whole = model(graph)
    for data in batches(graph, sampler, disjoint=disjoint):
        batch = Batch.from_link(data)
        out = model(data)
        z = Embeddings.from_link(batch, out['customer'], out['article'])
        for found, expected in zip(Cosine(0.2)(z, batch),
                                   Cosine(0.2)(Embeddings(*whole.values()),
                                              batch._replace(rows=None))):
            assert torch.allclose(found, expected, atol=1e-5)
        # By id: the first copy of a node.
        ids = batch.neg_item[:3]
        place = [[data['article'].n_id.tolist().index(i) for i in row] for row in ids.tolist()]
        assert torch.equal(z.items(ids), out['article'][torch.tensor(place)])


def test_each_row_reads_its_own_copy(graph):
    data = next(iter(batches(graph, disjoint=True)))
    batch = Batch.from_link(data)
    user, item = (torch.randn(data[t].num_nodes, 4) for t in ('customer', 'article'))
    pos, neg = criteria_scores = Cosine(1.)(Embeddings.from_link(batch, user, item), batch)
    assert len(criteria_scores) == 2
    for row in range(5):
        own = user[data['customer'].src_index[row]]
        cosine = nn.functional.cosine_similarity
        assert torch.allclose(pos[row], cosine(own, item[data['article'].dst_pos_index[row]], 0))
        assert torch.allclose(neg[row], cosine(own[None],
                                               item[data['article'].dst_neg_index[row]], 1))


@pytest.mark.parametrize('hardness', ['embed', 'uniform'])
def test_advinfonce_equals_the_step_of_the_whole_graph(graph, sampler, hardness):
    torch.manual_seed(0)
    criterion = AdvInfoNCE(USERS, ITEMS, dim=5, hardness=hardness)
    for data in batches(graph, sampler):
        gradients = []
        batch = Batch.from_link(data)
        for source in (data, graph):
            model = Model()
            out = model(source).values()
            z = (Embeddings(*out) if source is graph else Embeddings.from_link(batch, *out))
            scores = Cosine(0.2)(z, batch if source is data else batch._replace(rows=None))
            criterion(*scores, batch).backward()
            if hardness == 'embed':
                criterion.adversary_loss(*scores, batch).backward()
            gradients.append([p.grad.clone() for m in (model, criterion)
                              for p in m.parameters()])
            criterion.zero_grad()
        for found, expected in zip(*gradients, strict=True):
            assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize('disjoint', [False, True])
def test_contrasts_count_a_node_once(graph, disjoint):
    data = next(iter(batches(graph, disjoint=disjoint)))
    batch = Batch.from_link(data)
    out = Model()(data)
    noise = {k: v + 0.1 for k, v in out.items()}
    first, second = (Embeddings.from_link(batch, *o.values()) for o in (out, noise))
    found = ViewInfoNCE(0.2)(first, second, batch)
    whole = Model()(graph)
    expected = ViewInfoNCE(0.2)(Embeddings(*whole.values()),
                                Embeddings(*(v + 0.1 for v in whole.values())),
                                batch._replace(rows=None))
    assert torch.allclose(found, expected, atol=1e-4)


def test_a_batch_of_the_whole_graph_fits_sampled_embeddings(graph):
    # Ids are those of the data either way: what the mini-batch lacks is an error, not another row.
    data = next(iter(batches(graph)))
    z = Embeddings.from_link(Batch.from_link(data), *Model()(data).values())
    sampled = set(data['article'].n_id.tolist())
    other = next(iter(InteractionLoader(graph, 200, num_neg=20)))
    assert set(other.neg_item.view(-1).tolist()) <= sampled  # Two hops reach all of this graph.
    whole = Embeddings(*Model()(graph).values())
    assert Cosine()(z, other)[0].shape == Cosine()(whole, other)[0].shape
    few = next(iter(batches(graph, num_neighbors=(1, ), batch_size=2, amount=1)))
    z = Embeddings.from_link(Batch.from_link(few), *Model()(few).values())
    with pytest.raises(ValueError, match='hold no row for the id|ids need to be in'):
        Cosine()(z, other)


def homogeneous(graph):
    user, item = graph[BUYS].edge_index
    item = item + USERS
    return Data(edge_index=torch.cat([torch.stack([user, item]), torch.stack([item, user])], 1),
                num_nodes=USERS + ITEMS)


@pytest.mark.parametrize('mode', ['triplet', 'binary'])
def test_homogeneous_mini_batches(graph, sampler, mode):
    data, count = homogeneous(graph), graph[BUYS].edge_index.size(1)
    items = (torch.arange(USERS + ITEMS) >= USERS).float()
    negatives = NegativeSampling(mode, amount=3, dst_weight=items)
    links = data.edge_index[:, :count]
    table = torch.randn(USERS + ITEMS, 4)
    for sampled in batches(data, sampler, edges=links, neg_sampling=negatives):
        batch = Batch.from_link(sampled, num_users=USERS)
        assert torch.equal(torch.stack([batch.user, batch.item]),
                           graph[BUYS].edge_index[:, batch.id])
        z = Embeddings.from_link(batch, table[sampled.n_id])
        whole = Embeddings(table[:USERS], table[USERS:])
        for found, expected in zip(Cosine()(z, batch), Cosine()(whole, batch)):
            assert torch.allclose(found, expected, atol=1e-5)
        assert torch.equal(z.users(batch.user), whole.users(batch.user))
    with pytest.raises(ValueError, match="'num_users' is needed for a homogeneous"):
        Batch.from_link(sampled)
    with pytest.raises(ValueError, match='some negatives of the links are no items'):
        for sampled in batches(data, edges=links, neg_sampling=NegativeSampling(mode, amount=9)):
            Batch.from_link(sampled, num_users=USERS)
    with pytest.raises(ValueError, match='some sources of the links are no users'):
        Batch.from_link(next(iter(batches(data, edges=links.flip(0), neg_sampling=negatives))),
                        num_users=USERS)


def test_local_tables_need_to_say_whose_rows_they_hold(graph):
    data = next(iter(batches(graph, num_neighbors=(2, ), batch_size=8)))
    batch, out = Batch.from_link(data), Model()(data)
    assert batch.item.max() < data['article'].num_nodes or batch.user.max() < USERS
    message = r"make them by Embeddings.from_link\(batch, user, item\)"
    for similarity in (Cosine(), Dot()):
        with pytest.raises(ValueError, match=message):
            similarity(Embeddings(*out.values()), batch)
    with pytest.raises(ValueError, match=message):
        Embeddings(*out.values()).rows(batch)
    whole = Embeddings(*Model()(graph).values())
    assert Cosine()(whole, batch)[0].shape == batch.user.shape
    # All nodes were sampled: the tables may be either.
    data = next(d for d in batches(graph) if not Batch.from_link(d).rows.in_order)
    batch = Batch.from_link(data)
    assert data['article'].num_nodes == ITEMS and data['customer'].num_nodes == USERS
    with pytest.raises(ValueError, match=message):
        Cosine()(whole, batch)
    found = Cosine()(Embeddings.from_link(batch, *Model()(data).values()), batch)
    for score, expected in zip(found, Cosine()(whole, batch._replace(rows=None))):
        assert torch.allclose(score, expected, atol=1e-5)


def test_what_is_no_such_mini_batch(graph):
    with pytest.raises(ValueError, match="it is not a mini-batch of LinkNeighborLoader"):
        Batch.from_link(graph)
    with pytest.raises(ValueError, match="'data' has no negatives; pass neg_sampling="):
        Batch.from_link(next(iter(batches(graph, neg_sampling=None))))
    with pytest.raises(ValueError, match="needs the same number for each"):
        Batch.from_link(next(iter(batches(graph, mode='binary', amount=1.5))))
    data = next(iter(batches(graph)))
    with pytest.raises(ValueError, match="the loader samples links of"):
        Batch.from_link(data, REV)
    with pytest.raises(ValueError, match="'data' is None"):
        Batch.from_link(None)
    batch = Batch.from_link(data)
    with pytest.raises(ValueError, match=r"'user' has 3 rows, but \d+ nodes were sampled"):
        Embeddings.from_link(batch, torch.ones(3, 2))
    with pytest.raises(ValueError, match='of no sampled mini-batch; make it by Batch.from_link'):
        Embeddings.from_link(batch._replace(rows=None), torch.ones(3, 2))
    del data['article'].n_id
    with pytest.raises(ValueError, match=r"has no data\['article'\].n_id"):
        Batch.from_link(data)


def test_traps():
    ids = torch.tensor([0, 1])
    criterion = AdvInfoNCE(4, 5, dim=2)
    single = Batch(ids, ids, torch.tensor([[3], [4]]), ids)
    with pytest.raises(ValueError, match=r"sample more, with num_neg= of InteractionLoader"):
        criterion(torch.zeros(2), torch.zeros(2, 1), single)
    with pytest.raises(ValueError, match=r"sample more, with num_neg= of InteractionLoader"):
        criterion.adversary_loss(torch.zeros(2), torch.zeros(2, 1), single)
    AdvInfoNCE(4, 5, dim=2, hardness='uniform')(torch.zeros(2), torch.zeros(2, 1), single)
    z = Embeddings(torch.ones(4, 2), torch.ones(5, 2))
    squeezed = single._replace(neg_item=torch.tensor([3, 4]))
    with pytest.raises(ValueError, match='may be one negative for each row, or 2 that all rows'):
        Cosine()(z, squeezed)
    shared = squeezed._replace(neg_mask=torch.ones(2, 2, dtype=torch.bool))
    assert Cosine()(z, shared)[1].shape == (2, 2)
    with pytest.raises(ValueError, match=r'pass neg.unsqueeze\(1\). Pairs with users of their own'):
        criteria.BPR()(torch.zeros(2), torch.zeros(2))
    with pytest.raises(ValueError, match='holds the id 7'):
        criterion(torch.zeros(2), torch.zeros(2, 2),
                  Batch(ids + 6, ids, torch.tensor([[3, 4], [4, 3]]), ids))
