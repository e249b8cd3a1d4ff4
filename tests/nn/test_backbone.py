import pytest
import torch

from pyg_advcf import (
    EDGE_TYPE,
    MF,
    Cosine,
    Dot,
    Embeddings,
    InteractionLoader,
    LightGCN,
    interaction_data,
)


def test_recommend_leaves_seen_items_out_and_ranks(toy):
    model = LightGCN(toy, dim=8)
    users = torch.tensor([3, 3, 0, 29])  # A repeated user is answered twice.
    ids, scores = model.recommend(users, k=40, batch_size=3)
    z = model.eval()()
    z = z._replace(user=z.user.detach(), item=z.item.detach())
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


@pytest.mark.parametrize('base', [MF, LightGCN])
def test_a_changed_forward_is_what_a_batch_sees(toy, base):
    class Doubled(base):
        def forward(self, graph=None, x=None):
            z = super().forward(graph, x)
            return Embeddings(2 * z.user, 2 * z.item)

    model = Doubled(toy, dim=4)
    batch = next(iter(InteractionLoader(toy, 3)))
    z, local = model.for_batch(batch)
    assert torch.equal(z.user[local.user], model().user[batch.user])


@pytest.mark.parametrize('base', [MF, LightGCN])
@pytest.mark.parametrize('size', [3, 64])
def test_what_a_batch_sees_scores_as_the_whole(toy, base, size):
    model = base(toy, dim=64)
    batch = next(iter(InteractionLoader(toy, size)))
    z, local = model.for_batch(batch)
    whole = model()
    for a, b in zip(Dot()(z, local), Dot()(whole, batch)):
        assert torch.allclose(a, b, atol=1e-6)
