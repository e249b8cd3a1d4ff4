import math

import pytest
import torch
import torch.nn.functional as F
from criteria_reference import adaptau as reference

from pyg_advcf import (
    EDGE_TYPE,
    MF,
    Batch,
    Embeddings,
    InteractionLoader,
    Recommender,
    degrees,
    interaction_data,
    interaction_graph,
)
from pyg_advcf.criteria import AdapTau
from pyg_advcf.criteria.functional import adaptau, base_temperature, dcl, user_temperature


def problem(size=12, num_neg=4, users=5):
    batch = Batch(torch.randint(users, (size, )), torch.randint(9, (size, )),
                  torch.randint(9, (size, num_neg)), torch.arange(size))
    return (*((torch.rand(s, dtype=torch.float64) * 2 - 1).requires_grad_()
              for s in ((size, ), (size, num_neg))), batch)


def test_equals_the_loop_and_one_temperature():
    pos, neg, _ = problem()
    each = torch.rand(12, dtype=torch.float64) + 0.1
    base = torch.tensor(0.2, dtype=torch.float64)
    expected = torch.tensor(reference(pos.tolist(), neg.tolist(), 0.2, each.tolist()))
    assert torch.allclose(adaptau(pos, neg, base, each, 'none'), expected.double(), atol=1e-12)
    assert torch.allclose(adaptau(pos, neg, base, base.expand(12)), dcl(pos / 0.2, neg / 0.2),
                          atol=1e-12)


def test_no_gradient_into_the_temperatures():
    pos, neg, _ = problem()
    base, each = (torch.full(s, 0.2, dtype=torch.float64, requires_grad=True) for s in ((), (12, )))
    adaptau(pos, neg, base, each).backward()
    assert base.grad is None and each.grad is None and pos.grad is not None


def test_user_temperatures():
    count = torch.tensor([2., 1., 4., 1., 0.])
    mean = torch.tensor([0.5, 0.1, 0.3, 0.3, 77.])  # Of those seen, the mean is 0.3.
    base = torch.tensor(0.2, dtype=torch.float64)
    found = user_temperature(mean * count, count, base)
    assert torch.allclose(found[2:], torch.full((3, ), 0.2).double(), atol=1e-7)
    assert found[1] < found[2] < found[0]
    for beta in (0.8, 3.):
        found = user_temperature(mean * count, count, base, beta)
        for u in (0, 1):
            w = math.log(float(found[u]) / 0.2)
            assert w * math.exp(w) == pytest.approx((float(mean[u]) - 0.3) / beta, abs=1e-6)
            # e^W(x) = x / W(x)
            assert float(found[u]) / 0.2 == pytest.approx((float(mean[u]) - 0.3) / beta / w, 1e-5)


def test_the_smallest_temperature_is_at_the_branch_point():
    loss = torch.tensor([-50., 50., 0.3, 0.])
    found = user_temperature(loss, torch.ones(4), torch.tensor(1.).double())
    assert found.isfinite().all()
    assert float(found[0]) == pytest.approx(math.exp(-1), abs=1e-9)
    assert torch.equal(user_temperature(loss, torch.zeros(4), torch.tensor(0.3)),
                       torch.full((4, ), torch.tensor(0.3)).double())


def test_base_temperature_equals_the_loop(toy):
    z = Embeddings(*(torch.randn(n, 8, dtype=torch.float64) + 0.5 for n in (30, 40)))
    z = Embeddings(z.user + 2 * torch.eye(8, dtype=torch.float64)[torch.arange(30) % 8], z.item)
    pairs, degree = toy[EDGE_TYPE].edge_index, degrees(toy)[0].double()
    bound = degree[degree > 0].quantile(0.2)
    kept = [u for u in range(30) if degree[u] >= bound]
    assert 0 < len(kept) < 30
    inside = [(u, i) for u, i in pairs.t().tolist() if u in kept]
    unit = [F.normalize(t, dim=-1) for t in z]
    near = sum(float(unit[0][u] @ unit[1][i]) for u, i in inside) / len(inside)
    far = sum(float(unit[0][u] @ unit[1][i]) for u in kept for i in range(40)) / len(kept) / 40
    log = math.log(len(kept) * 40 / (2 * len(inside)))
    graph = interaction_graph(toy)
    assert float(base_temperature(graph)) == pytest.approx(0.7 / log, abs=1e-12)
    assert float(base_temperature(graph, z)) == pytest.approx(max(near - far, 0.05) / log,
                                                              abs=1e-12)
    best = z.item.new_zeros(30, 8).index_add(0, pairs[0], unit[1][pairs[1]])
    far_apart = Embeddings(best - len(pairs[0]) / 30 * unit[1].mean(0), z.item)
    user = F.normalize(far_apart.user, dim=-1)
    near = sum(float(user[u] @ unit[1][i]) for u, i in inside) / len(inside)
    far = sum(float(user[u] @ unit[1].mean(0)) for u in kept) / len(kept)
    assert near - far > 0.05
    assert float(base_temperature(graph, far_apart)) == pytest.approx((near - far) / log, abs=1e-12)


def test_both_sides_of_the_quotient_are_bounded(toy):
    z = Embeddings(torch.randn(30, 4), torch.randn(40, 4))
    log = 0.7 / float(base_temperature(interaction_graph(toy)))
    opposite = Embeddings(torch.zeros(30, 4), z.item)
    assert float(base_temperature(interaction_graph(toy), opposite)) == pytest.approx(0.05 / log)
    dense = interaction_data(torch.tensor([[0, 0, 1], [0, 1, 0]]), 2, 2)  # ln(2 * 2 / 6) < 0
    assert float(base_temperature(interaction_graph(dense))) == pytest.approx(0.7 / 0.05)


def test_records_in_training_alone_and_forgets():
    pos, neg, batch = problem()
    criterion = AdapTau(6).double()
    for _ in range(2):
        criterion(pos, neg, batch)
    kept = {k: v.clone() for k, v in criterion.state_dict().items()}
    criterion.eval()(pos, neg, batch)
    for key, value in criterion.state_dict().items():
        assert torch.equal(value, kept[key])
    each = dcl(pos, neg, 'none').detach()
    for u in range(6):
        rows = batch.user == u
        assert float(criterion.loss[u]) == pytest.approx(2 * float(each[rows].sum()))
        assert float(criterion.count[u]) == 2 * int(rows.sum())
    expected = user_temperature(criterion.loss, criterion.count, torch.tensor(0.3).double())
    criterion.update(torch.tensor(0.3).double())
    assert torch.equal(criterion.temperature, expected) and expected.unique().numel() > 3
    assert criterion.loss.eq(0).all() and criterion.count.eq(0).all()
    loss = criterion(pos, neg, batch)
    assert torch.allclose(loss, adaptau(pos, neg, torch.tensor(0.3), expected[batch.user]))


def test_an_epoch_starts_with_new_temperatures(toy):
    recommender = Recommender(MF(toy, dim=4), AdapTau(30, warmup_epochs=2))
    with torch.no_grad():  # Far from the gap of 0.7 that the warm-up assumes.
        recommender.backbone.user_embedding.weight.fill_(1.)
        recommender.backbone.item_embedding.weight.fill_(1.)
    graph, criterion = recommender.backbone.graph, recommender.criterion
    batch = next(iter(InteractionLoader(toy, 64, 4)))
    for epoch, z in ((0, None), (1, None), (2, recommender.embeddings())):
        criterion(torch.rand(64), torch.rand(64, 4), batch)
        base = base_temperature(graph, z)
        expected = user_temperature(criterion.loss, criterion.count, base.float().double())
        recommender.on_epoch_start(epoch)
        assert torch.equal(criterion.base, base.float())
        assert torch.equal(criterion.temperature, expected.float())
        assert expected.unique().numel() > 3 and criterion.count.eq(0).all()
    assert base_temperature(graph, z) != base_temperature(graph)


def test_a_row_without_negatives_is_not_recorded():
    criterion = AdapTau(2)
    batch = Batch(*(torch.tensor(t) for t in ([0, 1], [0, 0], [[1], [1]], [0, 1])))
    criterion(torch.zeros(2), torch.tensor([[0.5], [float('-inf')]]), batch)
    assert criterion.count.tolist() == [1, 0] and criterion.loss.tolist() == [0.5, 0]


def test_bad_arguments():
    with pytest.raises(ValueError, match="'beta' is 0"):
        AdapTau(3, beta=0)
    with pytest.raises(ValueError, match="'num_users' is 0"):
        AdapTau(0)
    with pytest.raises(ValueError, match="'warmup_epochs' is -1"):
        AdapTau(3, warmup_epochs=-1)
