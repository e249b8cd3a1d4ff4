import threading

import pytest
import torch

from pyg_advcf import Cosine, Dot, Embeddings, ranking
from pyg_advcf.pairs import PairSet
from pyg_advcf.ranking import Recommendations, Scorer, map_scores, rankable, recommend

NUM_USERS, NUM_ITEMS = 7, 12


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


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
    chunks = list(map_scores(lambda user, scores: (user, scores.clone()), z, users, batch_size,
                             mask))
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


def test_chunks_share_their_memory(threads):
    z = problem()
    threads(1)
    places = set(map_scores(lambda _, scores: scores.data_ptr(), z, torch.arange(NUM_USERS), 2))
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


def test_the_number_of_threads_changes_nothing(threads):
    # A product that is divided among threads may be rounded in another way.
    for shape in ((7, 163), (8, 512), (1, 64), (64, 384)):
        z = Embeddings(torch.randn(50, shape[1]), torch.randn(4000, shape[1]))
        users = torch.arange(50)
        found = []
        for number in (1, 2, 3, 5):
            threads(number)
            found.append(recommend(z, users, 9, batch_size=shape[0]))
            assert torch.get_num_threads() == number
        for other in found[1:]:
            assert torch.equal(found[0].item, other.item)
            assert torch.equal(found[0].score, other.score)


def test_all_threads_rank_each_with_one(threads):
    z, meet = problem(), threading.Barrier(3, timeout=60)

    def rank(user, scores):
        meet.wait()  # Passes only if three chunks are ranked at once.
        return threading.current_thread().name, torch.get_num_threads(), torch.is_grad_enabled()

    threads(3)
    found = list(map_scores(rank, z, torch.arange(6), batch_size=1))
    assert len(found) == 6 and {number for _, number, _ in found} == {1}
    assert len({name for name, _, _ in found}) == 3
    assert not any(grad for _, _, grad in found)
    other = []
    later = threading.Thread(target=lambda: other.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert other == [3]  # Threads that begin later have as many as before.


def test_an_error_on_a_thread_is_the_callers(threads):
    def rank(user, scores):
        raise KeyError('own error')

    threads(2)
    with pytest.raises(KeyError, match='own error'):
        list(map_scores(rank, problem(), torch.arange(7), 1))
    assert torch.get_num_threads() == 2


def test_progress_is_shown_where_it_takes_long(capsys, monkeypatch):
    z, users = problem(), torch.arange(7)
    recommend(z, users, 3, batch_size=1, progress=True)
    assert capsys.readouterr().err == ''  # Short ones say nothing.
    monkeypatch.setattr(ranking, '_DELAY', 0.)
    recommend(z, users, 3, batch_size=1, progress=True)
    assert 'ranking' in (shown := capsys.readouterr().err) and '/7' in shown
    recommend(z, users, 3, batch_size=1, progress=False)
    assert capsys.readouterr().err == ''


def tables(user, item, dtype=torch.float32):
    return Embeddings(torch.full((3, 4), user, dtype=dtype), torch.full((5, 4), item, dtype=dtype))


@pytest.mark.parametrize('z, words', [
    (tables(float('nan'), 1.), 'user embeddings .* not finite'),
    (tables(1., -float('inf')), 'item embeddings .* not finite'),
    (tables(1e20, -1e20), r'up to 1e\+20 \(user\) .* may exceed the largest torch.float32'),
    (tables(1e160, 1e160, torch.float64), 'may exceed the largest torch.float64'),
])
def test_scores_that_are_not_finite_are_refused(z, words):
    with pytest.raises(ValueError, match=words):
        recommend(z, torch.tensor([0]), 2)


def test_lengths_that_are_not_finite_are_refused():
    # Their cosines would all be 0, and the ranking that of the ids.
    z = tables(1e20, 1.)
    assert rankable('z', z, Dot(), 3, 5) is z
    with pytest.raises(ValueError, match='whose length may exceed the largest torch.float32'):
        rankable('z', z, Cosine(), 3, 5)


def test_half_precision_is_lifted():
    z = tables(300., 300., torch.float16)  # Their products are beyond float16.
    found = rankable('z', z, Dot(), 3, 5)
    assert found.user.dtype == torch.float32
    assert recommend(found, torch.tensor([0]), 1).score.tolist() == [[360000.]]


class Table:
    num_users, num_items = NUM_USERS, NUM_ITEMS

    def __init__(self, table):
        self.table = table

    def scores(self, users):
        return self.table[users]


def test_what_scores_by_itself_ranks_as_embeddings_do():
    z = problem(ties=True)
    scorer = Table(z.user @ z.item.t())
    assert isinstance(scorer, Scorer) and not isinstance(z, Scorer)
    users, mask = torch.tensor([3, 0, 0, 6, 5]), torch.rand(NUM_ITEMS) < 0.6
    seen = PairSet.of(some_pairs(), NUM_USERS, NUM_ITEMS)
    before = scorer.table.clone()
    for one, other in zip(recommend(z, users, 5, seen, mask, 2),
                          recommend(scorer, users, 5, seen, mask, 2)):
        assert torch.equal(one, other)
    assert torch.equal(scorer.table, before)
    assert recommend(scorer, users[:0], 5).item.shape == (0, 5)


@pytest.mark.parametrize('table, words', [
    (torch.ones(NUM_USERS, 3), r"'z.scores\(users\)' has shape \[2, 3\], but .*\[2, 12\]"),
    (torch.ones(NUM_USERS, NUM_ITEMS).long(), r"'z.scores\(users\)' has dtype torch.int64"),
    (torch.full((NUM_USERS, NUM_ITEMS), float('nan')), 'NaN'),
])
def test_scorers_that_return_something_else_are_refused(table, words):
    with pytest.raises(ValueError, match=words):
        recommend(Table(table), torch.tensor([0, 1]), 2)


def test_scorers_that_are_none_are_refused():
    with pytest.raises(ValueError, match="'z' is <class .*instance"):
        recommend(Table, torch.tensor([0]), 2)
    with pytest.raises(ValueError, match="'z' is 3"):
        recommend(3, torch.tensor([0]), 2)
    wrong = Table(torch.ones(NUM_USERS, NUM_ITEMS))
    wrong.num_items = '12'
    with pytest.raises(ValueError, match="'z.num_items' is '12'"):
        recommend(wrong, torch.tensor([0]), 2)
    with pytest.raises(ValueError, match="'users' holds the id 7"):
        recommend(Table(torch.ones(NUM_USERS, NUM_ITEMS)), torch.tensor([NUM_USERS]), 2)
