import pytest
import torch

from pyg_advcf import Embeddings
from pyg_advcf.pairs import PairSet
from pyg_advcf.ranking import Recommendations, recommend, score_all

NUM_USERS, NUM_ITEMS = 7, 12


def problem(ties=False):
    z = Embeddings(*(torch.randn(n, 3, dtype=torch.float64) for n in (NUM_USERS, NUM_ITEMS)))
    return z.map(torch.round) if ties else z


def some_pairs():
    return torch.stack([torch.randint(n, (20, )) for n in (NUM_USERS, NUM_ITEMS)])


@pytest.mark.parametrize('candidates', [False, True])
@pytest.mark.parametrize('batch_size', [1, 3, 100])
def test_scores(candidates, batch_size):
    z = problem()
    users = torch.tensor([4, 0, 0, 6, 2, 4, 1])
    mask = torch.rand(NUM_ITEMS) < 0.5 if candidates else None
    chunks = [(user, scores.clone())
              for user, scores in score_all(z, users, batch_size, mask)]
    assert [user.numel() for user, _ in chunks] == {1: [1] * 7, 3: [3, 3, 1], 100: [7]}[batch_size]
    assert torch.equal(torch.cat([user for user, _ in chunks]), users)
    found = torch.cat([scores for _, scores in chunks])
    assert found.shape == (7, NUM_ITEMS)
    for row, user in enumerate(users.tolist()):
        for i in range(NUM_ITEMS):
            expected = float(sum(a * b for a, b in zip(z.user[user], z.item[i])))
            if candidates and not mask[i]:
                expected = float('-inf')
            assert float(found[row, i]) == pytest.approx(expected, abs=1e-12)


def test_chunks_share_their_memory():
    z = problem()
    places = {scores.data_ptr() for _, scores in score_all(z, torch.arange(NUM_USERS), 2)}
    assert len(places) == 1


@pytest.mark.parametrize('ties', [False, True])
@pytest.mark.parametrize('seen', [False, True])
@pytest.mark.parametrize('candidates', [False, True])
@pytest.mark.parametrize('k', [1, 4, NUM_ITEMS, NUM_ITEMS + 3])
@pytest.mark.parametrize('batch_size', [2, 100])
def test_equals_brute_force(ties, seen, candidates, k, batch_size):
    z = problem(ties)
    users = torch.tensor([3, 0, 0, 6, 5])
    pairs = some_pairs()
    known = {tuple(p) for p in pairs.t().tolist()} if seen else set()
    mask = torch.rand(NUM_ITEMS) < 0.6 if candidates else torch.ones(NUM_ITEMS, dtype=torch.bool)
    found = recommend(z, users, k,
                      PairSet.of(pairs, NUM_USERS, NUM_ITEMS) if seen else None,
                      mask if candidates else None, batch_size)
    assert isinstance(found, Recommendations)
    assert found.item.shape == found.score.shape == (5, k)
    for row, user in enumerate(users.tolist()):
        scores = (z.item @ z.user[user]).tolist()
        order = sorted((i for i in range(NUM_ITEMS) if mask[i] and (user, i) not in known),
                       key=lambda i: (-scores[i], i))[:k]
        rest = k - len(order)
        assert found.item[row].tolist() == order + [-1] * rest
        assert found.score[row].tolist() == pytest.approx(
            [scores[i] for i in order] + [float('-inf')] * rest, abs=1e-12)


def test_masks():
    z = Embeddings(torch.ones(1, 1), torch.tensor([[1.], [4.], [3.], [2.]]))
    seen = PairSet.of(torch.tensor([[0], [1]]), 1, 4)
    found = recommend(z, torch.tensor([0]), 4, seen, torch.tensor([True, True, False, True]))
    assert found.item.tolist() == [[3, 0, -1, -1]]
    assert found.score.tolist() == [[2., 1., float('-inf'), float('-inf')]]


def test_users_who_have_seen_all_and_no_users():
    z = problem()
    everything = torch.cartesian_prod(torch.tensor([2]), torch.arange(NUM_ITEMS)).t()
    seen = PairSet.of(everything, NUM_USERS, NUM_ITEMS)
    found = recommend(z, torch.tensor([2, 3]), 3, seen)
    assert found.item[0].eq(-1).all() and found.score[0].isneginf().all()
    assert found.item[1].ge(0).all() and found.score[1].isfinite().all()
    none = recommend(z, torch.empty(0, dtype=torch.long), 3, seen)
    assert none.item.shape == none.score.shape == (0, 3)
    assert none.item.dtype == torch.long and none.score.dtype == torch.float64
