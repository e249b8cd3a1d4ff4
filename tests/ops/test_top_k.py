import torch

from pyg_advcf.ops.top_k import top_k


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
