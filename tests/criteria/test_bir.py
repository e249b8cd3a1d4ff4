import pytest
import torch

from pyg_advcf import Batch
from pyg_advcf.criteria import BIR
from pyg_advcf.criteria.functional import bir, infonce, resample


def test_draws_follow_the_softmax():
    neg = torch.randn(3, 5, dtype=torch.float64)
    log_q = torch.rand(5, dtype=torch.float64).log()
    expected = (neg - log_q).softmax(1)
    draws = 200_000
    found = torch.stack([torch.bincount(row, minlength=5) for row in
                         resample(neg, log_q, draws)]) / draws
    # Five standard deviations of the frequency.
    assert (found - expected).abs().lt(5 * (expected * (1 - expected) / draws).sqrt()).all()
    assert (expected - neg.softmax(1)).abs().max() > 0.05  # The correction matters.


def test_a_popular_item_is_not_drawn_more_for_that():
    # Equal scores, in a pool that holds the popular item three times, as in-batch negatives do.
    item = torch.tensor([0, 0, 0, 1])
    log_q = torch.tensor([3., 1.]).log()[item]
    index = resample(torch.zeros(1, 4), log_q, 100_000)
    assert float(item[index].double().mean()) == pytest.approx(0.5, abs=0.01)


def test_is_infonce_on_the_drawn_and_nothing_passes_through_the_drawing():
    pos, neg = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((4, ), (4, 6)))
    log_q = torch.rand(4, 6, dtype=torch.float64).log().requires_grad_()
    torch.manual_seed(3)
    index = resample(neg, log_q, 2)
    torch.manual_seed(3)
    loss = bir(pos, neg, log_q, 2)
    assert torch.allclose(loss, infonce(pos, neg.gather(1, index)), atol=1e-12)
    loss.backward()
    assert log_q.grad is None
    drawn = torch.zeros(4, 6, dtype=torch.bool).scatter(1, index, True)
    assert neg.grad[~drawn].eq(0).all() and neg.grad[drawn].ne(0).all()


def test_shared_and_own_negatives_and_excluded_ones():
    popularity = torch.tensor([0, 5, 1, 2])
    batch = Batch(*(torch.tensor(t) for t in ([0, 1], [1, 2], [1, 2, 3], [0, 1])))
    pos, neg = torch.zeros(2), torch.tensor([[-50., float('-inf'), 3.], [float('-inf')] * 3])
    criterion = BIR(popularity, num_draws=8, reduction='none')
    each = criterion(pos, neg, batch)
    own = batch._replace(neg_item=batch.neg_item.expand(2, 3))
    assert torch.equal(each, criterion(pos, neg, own))
    # All draws are the third item; the row without negatives adds nothing.
    assert torch.allclose(each, infonce(pos, torch.tensor([[3.] * 8, [float('-inf')] * 8]), 'none'))
    assert torch.equal(criterion.log_q[:3], torch.tensor([1., 5., 1.]).log())


def test_bad_arguments():
    with pytest.raises(ValueError, match="'num_draws' is 0"):
        BIR(torch.ones(3), num_draws=0)
