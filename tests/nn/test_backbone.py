import pytest
import torch
from method_tools import tiny

from pyg_advcf import (
    EDGE_TYPE,
    MF,
    Batch,
    Cosine,
    Dot,
    InteractionLoader,
    LightGCN,
    degrees,
    interaction_data,
    known_pairs,
    methods,
)
from pyg_advcf.nn import DCCF, VGAE, Backbone, LightGCL, UltraGCN
from pyg_advcf.nn.backbone import FEATURES, rows_read
from pyg_advcf.registry import BACKBONES
from pyg_advcf.transforms import RandomSplit


def test_recommend_leaves_seen_items_out_and_ranks(toy):
    model = LightGCN(toy, dim=8)
    users = torch.tensor([3, 3, 0, 29])  # A repeated user is answered twice.
    ids, scores = model.recommend(users, k=40, batch_size=3)
    z = model.eval()().detach()
    edge_index = toy[EDGE_TYPE].edge_index
    for row, user in enumerate(users.tolist()):
        seen = set(edge_index[1][edge_index[0] == user].tolist())
        expected = [(float(z.user[user] @ z.item[i]), i) for i in range(40) if i not in seen]
        expected.sort(key=lambda pair: (-pair[0], pair[1]))
        got = [i for i in ids[row].tolist() if i >= 0]
        assert len(got) == 40 - len(seen) and not seen & set(got)
        assert torch.allclose(scores[row, :len(got)],
                              torch.tensor([s for s, _ in expected]), atol=1e-5)
        assert scores[row, len(got):].isneginf().all()
    assert torch.equal(ids[0], ids[1])


def test_recommend_with_similarity_and_candidates(toy):
    toy['item'].candidate_mask = torch.arange(40) < 10
    model = MF(toy, dim=8)
    ids, scores = model.recommend([0], k=5, similarity=Cosine(0.5))
    assert ids.max() < 10
    z = model()
    expected = torch.cosine_similarity(z.user[0], z.item[ids[0, 0]], dim=0) / 0.5
    assert torch.allclose(scores[0, 0], expected)


def test_recommend_empty_and_mode(toy):
    model = MF(toy, dim=8).train()
    assert model.recommend([], k=3).item.shape == (0, 3)
    assert model.training


@pytest.mark.parametrize('kwargs, message', [
    (dict(user_ids=[30]), "'user_ids' holds the id 30"),
    (dict(user_ids=[-1]), "'user_ids' holds the id -1"),
    (dict(user_ids=[0], k=0), "'k' is 0"),
])
def test_recommend_bad_input(toy, kwargs, message):
    with pytest.raises(ValueError, match=message):
        MF(toy, dim=8).recommend(**kwargs)


def test_bad_construction(toy):
    with pytest.raises(ValueError, match="'init' is 'xavier'.*Did you mean"):
        MF(toy, init='xavier')
    with pytest.raises(ValueError, match="'dim' is 0"):
        MF(toy, dim=0)
    with pytest.raises(ValueError, match="'num_layers' is -1"):
        LightGCN(toy, num_layers=-1)


@pytest.mark.parametrize('init', ['xavier_normal', 'xavier_uniform', 'normal_0.1', 'normal_0.01',
                                  'normal_0.0001'])
def test_init(init):
    data = interaction_data(torch.tensor([[0], [0]]), 2000, 1000)
    model = MF(data, dim=32, init=init)
    expected = {'normal_0.1': 0.1, 'normal_0.01': 0.01, 'normal_0.0001': 0.0001}.get(
        init, (2 / 2032)**0.5)
    assert model.x.user.std().item() == pytest.approx(expected, rel=0.05)


def test_a_changed_forward_is_what_a_batch_sees(toy):
    # The encoder gives it the rows that the batch reads, as `x`.
    class Doubled(MF):
        def forward(self, graph=None, x=None):
            z = super().forward(graph, x)
            return z.map(lambda t: 2 * t)

    model = Doubled(toy, dim=4)
    batch = next(iter(InteractionLoader(toy, 3)))
    z = model.encode(batch)
    assert z.user.size(0) <= 3
    assert torch.equal(z.users(batch.user), 2 * model.x.user[batch.user])
    assert torch.equal(z.users(batch.user), model().user[batch.user])


@pytest.fixture
def prunes(monkeypatch):
    r"""As where numba is installed, whose kernels compute some rows alone."""
    pytest.importorskip('numba')
    monkeypatch.setenv('PYG_ADVCF_BACKEND', 'numba')


def test_a_forward_that_knows_no_rows_is_an_error_not_a_wrong_result(toy, prunes):
    class Doubled(LightGCN):
        def forward(self, graph=None, x=None):
            return super().forward(graph, x).map(lambda t: 2 * t)

    batch = next(iter(InteractionLoader(toy, 3)))
    with pytest.raises(TypeError, match="unexpected keyword argument 'rows'"):
        Doubled(toy, dim=4).encode(batch)

    class WithRows(LightGCN):
        def forward(self, graph=None, x=None, **kwargs):
            return super().forward(graph, x, **kwargs).map(lambda t: 2 * t)

    class Whole(Doubled):
        encoder = Backbone.encoder

    for cls, complete in ((WithRows, False), (Whole, True)):
        model = cls(toy, dim=4)
        z = model.encode(batch)
        assert z.is_complete == complete
        assert torch.allclose(z.users(batch.user), model().user[batch.user], atol=1e-6)


@pytest.mark.parametrize('base', [MF, LightGCN])
@pytest.mark.parametrize('num_neg', [1, 4, None])
@pytest.mark.parametrize('size', [3, 64])
def test_what_a_batch_sees_scores_as_the_whole(toy, prunes, base, size, num_neg):
    model = base(toy, dim=64).double()
    kwargs = {'negatives': 'in_batch'} if num_neg is None else {'num_neg': num_neg}
    batch = next(iter(InteractionLoader(toy, size, **kwargs)))
    z = model.encode(batch)
    if size == 3:  # Fewer rows, and no more than the batch has ids.
        assert z.user.size(0) == batch.user.unique().numel() < 30
        read = torch.cat([batch.item, batch.neg_item.view(-1)])
        assert z.item.size(0) == read.unique().numel() < 40
    else:
        assert z.is_complete and z.user.size(0) == 30 and z.item.size(0) == 40
    results = []
    for found in (z, model()):
        pos, neg = Dot()(found, batch)
        loss = pos.sin().sum() + neg.masked_fill(neg.isneginf(), 0.).cos().sum()
        results.append((pos, neg, *torch.autograd.grad(loss, list(model.parameters()))))
    for a, b in zip(*results):
        assert torch.allclose(a, b, atol=1e-12)


@pytest.mark.parametrize('name', BACKBONES)
def test_every_backbone_encodes_what_a_batch_scores(toy, name):
    model = BACKBONES[name](toy, dim=8).double().eval()  # VGAE draws in training.
    one, other = (next(iter(InteractionLoader(toy, 3, seed=seed))) for seed in (0, 1))
    z, whole = model.encode(one, other), model()
    for batch in (one, other):
        for a, b in zip(Dot()(z, batch), Dot()(whole, batch)):
            assert torch.allclose(a, b, atol=1e-12)
    everything = model.encode()
    assert everything.is_complete and torch.equal(everything.user, whole.user)


@pytest.mark.parametrize('base', [MF, LightGCN])
def test_several_calls_of_an_encoder_share_their_rows(toy, prunes, base):
    model = base(toy, dim=8).double()
    batch = next(iter(InteractionLoader(toy, 3)))
    encode = model.encoder(batch)
    one, two = encode(), encode(encode.x.map(lambda t: 3 * t))
    assert one.user_index is two.user_index is not None
    assert one.item_index is two.item_index is not None
    assert torch.allclose(two.user, 3 * one.user, atol=1e-12)
    half = model.graph.as_tensor()[:, ::2]
    part = model.encode(batch, graph=half)
    assert torch.allclose(part.users(batch.user), model(graph=half).user[batch.user], atol=1e-12)


def test_an_id_without_a_row_is_an_error(toy, prunes):
    batch = next(iter(InteractionLoader(toy, 3)))
    missing = next(u for u in range(30) if u not in batch.user)
    for model in (MF(toy, dim=8), LightGCN(toy, dim=8)):
        z = model.encode(batch)
        with pytest.raises(ValueError, match=f"hold no row for the id {missing}.*call 'encode'"):
            z.users(torch.tensor([missing]))


@pytest.mark.parametrize('base', [MF, LightGCN])
def test_inference_mode_changes_nothing(toy, prunes, base):
    model, loader = base(toy, dim=8), InteractionLoader(toy, 3)
    method = methods.bpr(model)
    batch = next(iter(loader))
    with torch.no_grad():
        expected = method(batch)
    with torch.inference_mode():
        assert torch.equal(method(batch), expected)
        fresh = loader.collate(batch.id)._replace(neg_item=batch.neg_item + 0)
        assert fresh.user.is_inference() and torch.equal(method(fresh), expected)


def test_rows_that_are_read():
    batch = Batch(*(torch.tensor(t) for t in ([7, 7, 1], [3, 2, 3], [[1], [3], [0]], [0, 1, 2])))
    shared = batch._replace(neg_item=torch.tensor([5, 2]))
    users, items = rows_read([batch], 20, 20)
    assert users.ids.tolist() == [1, 7] and items.ids.tolist() == [0, 1, 2, 3]
    assert users(batch.user).tolist() == [1, 1, 0]
    assert items(batch.neg_item).tolist() == [[1], [3], [0]]
    users, items = rows_read([batch, shared], 20, 40)
    assert items.ids.tolist() == [0, 1, 2, 3, 5]
    # Half as many ids as there are nodes: all rows. Repeated ids count.
    assert rows_read([batch], 6, 20)[0] is None and rows_read([batch], 8, 20)[0] is not None
    assert rows_read([batch], 20, 12)[1] is None and rows_read([batch], 20, 14)[1] is not None
    with pytest.raises(ValueError, match="'batch' holds the id 9"):
        rows_read([batch._replace(user=torch.tensor([9] * 3))], 9, 20)


def test_known_pairs_and_degrees_are_those_of_the_data(toy):
    data = RandomSplit(val=0., outer=0.2, per_user=False)(toy)
    for given in (toy, data):
        model = MF(given, dim=4)
        user, item = known_pairs(given)
        assert sorted((user * 40 + item).tolist()) == model.known.keys.tolist()
        for ours, theirs in zip(model.degrees, degrees(given)):
            assert torch.equal(ours, theirs)
        assert model.num_interactions == given[EDGE_TYPE].edge_index.size(1)
    # Pairs of the split `outer` are known, but no edges.
    assert model.num_interactions == 160 and len(model.known) == 200
    ids, _ = model.recommend(torch.arange(30), k=40)
    ranked = {(u, i) for u, row in enumerate(ids.tolist()) for i in row if i >= 0}
    assert not ranked & {tuple(pair) for pair in known_pairs(data).t().tolist()}
    assert len(ranked) == 30 * 40 - 200


def test_features():
    data = tiny()
    assert MF(data).features == UltraGCN(data).features == set()
    assert LightGCN(data, num_layers=0).features == set()
    assert LightGCN(data).features == {'graph', 'layers', 'noise'}
    assert VGAE(data).features == {'graph', 'layers', 'noise'}
    assert VGAE(data, num_layers=0).features == {'graph'}  # It propagates once all the same.
    assert LightGCL(data).features == {'graph', 'layers', 'noise', 'low_rank_view'}
    assert DCCF(data).features == {'graph', 'layers', 'intents'}
    assert set().union(*(b(data).features for b in BACKBONES.values())) == set(FEATURES)
    with pytest.raises(NotImplementedError, match='has no views of its own'):
        MF(data).views()


def test_embeddings_keep_the_mode(toy):
    model = VGAE(toy, dim=4)
    for training in (True, False):
        z = model.train(training).embeddings()
        assert model.training == training and not z.user.requires_grad
        assert torch.equal(z.user, model.eval()().user)
