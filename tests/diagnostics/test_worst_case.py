import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from pyg_advcf.criteria.functional import advinfonce
from pyg_advcf.diagnostics import worst_case

N = 5


def numeric(f, eta, budget):
    r"""A general optimiser on the same problem."""
    def reverse(p):
        return -np.log(N * p).mean()

    def forward(p):
        return (p * np.log(N * p)).sum()

    divergence = reverse if budget == 'reverse_kl' else forward
    constraints = [{'type': 'eq', 'fun': lambda p: p.sum() - 1},
                   {'type': 'ineq', 'fun': lambda p: eta - divergence(p)}]
    best = minimize(lambda p: -p @ f, np.full(N, 1 / N), bounds=[(1e-9, 1)] * N, method='SLSQP',
                    constraints=constraints, options={'maxiter': 1000, 'ftol': 1e-15})
    return -best.fun


@pytest.mark.parametrize('budget', ['reverse_kl', 'forward_kl'])
@pytest.mark.parametrize('eta', [0.01, 0.1, 0.5])
def test_equals_a_numeric_optimiser(budget, eta):
    pos, neg = torch.randn(4, dtype=torch.float64), torch.randn(4, N, dtype=torch.float64)
    p = worst_case(pos, neg, eta, budget)
    assert torch.allclose(p.sum(1), torch.ones(4, dtype=torch.float64)) and (p > 0).all()
    uniform = p.new_full((1, ), 1 / N)
    spent = ((uniform * (uniform / p).log()).sum(1) if budget == 'reverse_kl'
             else (p * (p / uniform).log()).sum(1))
    assert torch.allclose(spent, torch.full_like(spent, eta), atol=1e-9)
    f = (neg - neg.amax(1, keepdim=True)).exp()
    for row in range(4):
        assert float(p[row] @ f[row]) == pytest.approx(numeric(f[row].numpy(), eta, budget),
                                                       abs=1e-6)


def test_without_a_budget_the_mass_is_on_the_highest_score():
    pos, neg = torch.randn(4, dtype=torch.float64), torch.randn(4, N, dtype=torch.float64)
    delta = (N * worst_case(pos, neg, budget='none')).log()
    expected = torch.nn.functional.softplus(np.log(64 * N) + neg.amax(1) - pos)
    assert torch.allclose(advinfonce(pos, neg, delta, 64, 'none'), expected)


@pytest.mark.parametrize('budget', ['reverse_kl', 'forward_kl'])
def test_bounds_every_adversary_of_the_same_divergence(budget):
    pos, neg = torch.randn(50, dtype=torch.float64), 3 * torch.randn(50, N, dtype=torch.float64)
    raw = torch.randn(50, N, dtype=torch.float64)
    q = torch.softmax(raw, 1)
    spent = -(N * q).log().mean(1) if budget == 'reverse_kl' else (q * (N * q).log()).sum(1)
    for row in range(50):
        one = slice(row, row + 1)
        p = worst_case(pos[one], neg[one], float(spent[row]), budget)
        worst = advinfonce(pos[one], neg[one], (N * p).log(), 8)
        assert worst >= advinfonce(pos[one], neg[one], (N * q[one]).log(), 8) - 1e-9


def test_equal_scores_and_extremes():
    p = worst_case(torch.zeros(1), torch.ones(1, 4))
    assert torch.allclose(p, torch.full((1, 4), 0.25, dtype=torch.float64))
    p = worst_case(torch.zeros(1), torch.tensor([[100., -100., 0.]]), eta=0.3)
    assert p.isfinite().all() and p.argmax() == 0


def test_bad_arguments():
    with pytest.raises(ValueError, match="'budget' is 'kl'"):
        worst_case(torch.zeros(1), torch.zeros(1, 2), budget='kl')
    with pytest.raises(ValueError, match="'eta' is 0"):
        worst_case(torch.zeros(1), torch.zeros(1, 2), eta=0)
