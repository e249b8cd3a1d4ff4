import torch

from pyg_advcf import EDGE_TYPE, interaction_graph
from pyg_advcf.nn.ranking import (
    PairMask,
    _known_by_pairs,
    _known_by_search,
    known_among,
    rank,
    top_k,
)


def test_top_k_equals_a_stable_sort():
    scores = torch.randint(0, 6, (200, 50)).float()  # Full of ties.
    scores[scores == 0] = float('-inf')
    value, order = torch.sort(scores, dim=1, descending=True, stable=True)
    order = order.masked_fill(value.isneginf(), -1)
    for k in (1, 7, 49, 50):
        ids, best = top_k(scores, k)
        assert torch.equal(ids, order[:, :k]) and torch.equal(best, value[:, :k])
    ids, best = top_k(scores, 60)
    assert torch.equal(ids[:, :50], order) and ids[:, 50:].eq(-1).all()
    assert best[:, 50:].isneginf().all()


def test_rows_without_candidates():
    ids, _ = top_k(torch.full((2, 3), float('-inf')), 2)
    assert ids.eq(-1).all()
    assert top_k(torch.empty(0, 3), 2)[0].shape == (0, 2)


def test_pair_mask():
    keys = torch.tensor([0 * 5 + 1, 0 * 5 + 4, 3 * 5 + 0])
    mask = PairMask.from_keys(keys, 4, 5)
    row, item = mask(torch.tensor([3, 0, 1, 0]))
    assert list(zip(row.tolist(), item.tolist())) == [(0, 0), (1, 1), (1, 4), (3, 1), (3, 4)]


def test_rank_with_masks():
    ids, _ = rank(torch.ones(1, 1), torch.tensor([[1.], [4.], [3.], [2.]]), 4,
                  masked=(torch.tensor([0]), torch.tensor([1])),
                  candidate_mask=torch.tensor([True, True, False, True]))
    assert ids.tolist() == [[3, 0, -1, -1]]


def test_known_pairs_both_ways(toy):
    graph = interaction_graph(toy)
    pairs = {tuple(p) for p in toy[EDGE_TYPE].edge_index.t().tolist()}
    user, item = torch.randint(30, (12, )), torch.randint(40, (50, ))  # Both repeat.
    expected = torch.tensor([[(u, i) in pairs for i in item.tolist()] for u in user.tolist()])
    assert expected.any() and not expected.all()
    for search in (known_among, _known_by_pairs, _known_by_search):
        assert torch.equal(search(graph, user, item), expected)
        assert not search(graph, user, item[:0]).any()
