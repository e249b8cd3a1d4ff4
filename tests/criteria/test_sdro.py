import math

import pytest
import torch

from pyg_advcf import EDGE_TYPE, Batch, as_graph, degrees, interaction_graph
from pyg_advcf.criteria import SDRO
from pyg_advcf.criteria.functional import infonce, popularity_groups

GROUP = torch.tensor([0, 1, 2, 0, 1, 2])


def problem(users=(0, 1, 2, 3, 4, 5, 0, 0)):
    size = len(users)
    batch = Batch(torch.tensor(users), torch.randint(9, (size, )), torch.randint(9, (size, 4)),
                  torch.arange(size))
    return (torch.randn(size, dtype=torch.float64, requires_grad=True),
            torch.randn(size, 4, dtype=torch.float64, requires_grad=True), batch)


def test_equals_the_loop_over_some_batches():
    criterion = SDRO(GROUP, step=0.5, rate=0.3).double()
    log_weight, running = [math.log(1 / 3)] * 3, [0.] * 3
    for users in ((0, 1, 2, 3), (0, 3), (1, 1, 2, 4, 0), (5, )):
        pos, neg, batch = problem(users)
        each = infonce(pos, neg, 'none').tolist()
        means = {}
        for g in range(3):
            inside = [x for x, u in zip(each, users) if GROUP[u] == g]
            if inside:
                means[g] = sum(inside) / len(inside)
                running[g] = 0.7 * running[g] + 0.3 * means[g]
        raw = [math.exp(lw + 0.5 * r) for lw, r in zip(log_weight, running)]
        log_weight = [math.log(r / sum(raw)) for r in raw]
        expected = sum(math.exp(log_weight[g]) * m for g, m in means.items())
        assert float(criterion(pos, neg, batch)) == pytest.approx(expected, abs=1e-7)
        assert criterion.running.tolist() == pytest.approx(running, abs=1e-12)
        assert criterion.log_weight.tolist() == pytest.approx(log_weight, abs=1e-7)


def test_identities():
    pos, neg, batch = problem()
    one = SDRO(torch.zeros(6, dtype=torch.long), step=0.1).double()
    assert torch.allclose(one(pos, neg, batch), infonce(pos, neg), atol=1e-12)
    still = SDRO(GROUP, step=0.).double()
    each = infonce(pos, neg, 'none')
    mean = sum(each[GROUP[batch.user] == g].mean() for g in range(3)) / 3
    for _ in range(3):
        assert torch.allclose(still(pos, neg, batch), mean, atol=1e-7)


def test_the_worst_group_gains_and_absent_ones_do_not_decay():
    pos, neg, batch = problem()
    pos = torch.where(GROUP[batch.user] == 1, pos - 5, pos)
    criterion = SDRO(GROUP, step=1., rate=0.5).double()
    before = criterion.weight.clone()
    criterion(pos, neg, batch)
    assert float(criterion.weight.sum()) == pytest.approx(1.)
    assert criterion.weight.argmax() == 1 and criterion.weight[1] > before[1]
    running = criterion.running.clone()
    pos, neg, batch = problem((0, 3))
    criterion(pos, neg, batch)
    assert torch.equal(criterion.running[1:], running[1:])
    assert criterion.running[0] != running[0]


def test_gradient_is_that_of_fixed_weights_and_evaluation_records_nothing():
    pos, neg, batch = problem()
    criterion = SDRO(GROUP, step=1.).double()
    grad, = torch.autograd.grad(criterion(pos, neg, batch), pos)
    weight = criterion.weight
    each = infonce(pos, neg, 'none')
    fixed = sum(weight[g] * each[GROUP[batch.user] == g].mean() for g in range(3))
    assert torch.allclose(grad, torch.autograd.grad(fixed, pos)[0], atol=1e-12)
    criterion.eval()(pos, neg, batch)
    assert torch.equal(criterion.weight, weight)


def test_groups(toy):
    found = popularity_groups(interaction_graph(toy))
    degree = degrees(toy)[1]
    ranked = sorted(range(40), key=lambda i: (-int(degree[i]), i))[:8]
    for user in range(30):
        items = [i for u, i in toy[EDGE_TYPE].edge_index.t().tolist() if u == user]
        share = sum(i in ranked for i in items) / max(len(items), 1)
        assert int(found[user]) == (0 if share < 0.6 else 1 if share < 0.8 else 2)
    # Shares of exactly 0.6 and 0.8, of a catalogue of which items 0 to 3 are popular.
    items = [(0, 1, 2, 3)] * 9 + [(0, 1, 2, 10, 11), (0, 1, 2, 3, 12), (0, 13)]
    edges = torch.tensor([(u, i) for u, row in enumerate(items) for i in row])
    assert popularity_groups(as_graph(edges.t(), 13, 20)).tolist() == [2] * 9 + [1, 2, 0, 0]


def test_bad_arguments():
    with pytest.raises(ValueError, match="'rate' is 2"):
        SDRO(GROUP, rate=2)
    with pytest.raises(ValueError, match="'step' is -1"):
        SDRO(GROUP, step=-1)
    with pytest.raises(ValueError, match="'group' has shape"):
        SDRO(GROUP.view(2, 3))
    with pytest.raises(ValueError, match=r"'group' puts no user into \[1, 2\] of 4 groups"):
        SDRO(torch.tensor([0, 3, 3]))
    with pytest.raises(ValueError, match="'group' has dtype"):
        SDRO(GROUP.float())
