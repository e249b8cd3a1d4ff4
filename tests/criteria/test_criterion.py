r"""What holds for every criterion on scores."""
import pytest
import torch

from pyg_advcf import Batch
from pyg_advcf.criteria import BCE, BPR, AdvInfoNCE, InfoNCE
from pyg_advcf.registry import CRITERIA

N_USERS, N_ITEMS = 6, 9


def make(name, **kwargs):
    if name == 'advinfonce':
        return AdvInfoNCE(N_USERS, N_ITEMS, dim=4, **kwargs).double()
    return CRITERIA[name](**kwargs)


def make_batch(size=5, num_neg=3):
    return Batch(torch.randint(N_USERS, (size, )), torch.randint(N_ITEMS, (size, )),
                 torch.randint(N_ITEMS, (size, num_neg)), torch.arange(size))


def scores(size=5, num_neg=3, dtype=torch.float64):
    return (torch.randn(size, dtype=dtype, requires_grad=True),
            torch.randn(size, num_neg, dtype=dtype, requires_grad=True))


@pytest.mark.parametrize('name', CRITERIA)
def test_reductions(name):
    batch, (pos, neg) = make_batch(), scores()
    none, total, mean = (make(name, reduction=r) for r in ('none', 'sum', 'mean'))
    for other in (total, mean):
        other.load_state_dict(none.state_dict())
    each = none(pos, neg, batch)
    assert each.shape == (5, )
    assert torch.allclose(total(pos, neg, batch), each.sum())
    assert torch.allclose(mean(pos, neg, batch), each.mean())
    with pytest.raises(ValueError, match="'reduction' is 'avg'"):
        make(name, reduction='avg')


@pytest.mark.parametrize('name', CRITERIA)
def test_gradcheck(name):
    batch, criterion = make_batch(), make(name)
    pos, neg = scores()
    assert torch.autograd.gradcheck(lambda p, n: criterion(p, n, batch), (pos, neg))
    assert torch.autograd.gradgradcheck(lambda p, n: criterion(p, n, batch), (pos, neg))


@pytest.mark.parametrize('name', CRITERIA)
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('sign', [1, -1])
def test_extreme_scores_stay_finite(name, dtype, sign):
    # Cosines of +-1 at temperature 0.01.
    batch, criterion = make_batch(), make(name).float()
    pos = torch.full((5, ), 100. * sign, dtype=dtype, requires_grad=True)
    neg = torch.full((5, 3), -100. * sign, dtype=dtype, requires_grad=True)
    loss = criterion(pos, neg, batch)
    loss.backward()
    assert loss.isfinite() and pos.grad.isfinite().all() and neg.grad.isfinite().all()
    # Beyond log k and the constants, the loss is the gap where it is violated and 0 where not.
    assert loss.item() == pytest.approx(0 if sign > 0 else 200, abs=8)


@pytest.mark.parametrize('name', CRITERIA)
def test_excluded_negatives_have_no_influence(name):
    batch, criterion = make_batch(num_neg=4), make(name)
    mask = torch.tensor([[True, False, True, True]] * 4 + [[False] * 4])
    batch = batch._replace(neg_mask=mask)
    pos, neg = scores(num_neg=4)
    masked = neg.masked_fill(~mask, float('-inf'))
    loss = criterion(pos, masked, batch)
    loss.backward()
    assert loss.isfinite() and pos.grad.isfinite().all()
    assert neg.grad[~mask].eq(0).all() and neg.grad[mask].ne(0).all()
    # The same as leaving the excluded column away.
    kept = Batch(batch.user[:4], batch.item[:4], batch.neg_item[:4][:, [0, 2, 3]], batch.id[:4])
    criterion.reduction = 'none'
    full = criterion(pos, masked, batch)[:4]
    small = criterion(pos[:4], neg[:4][:, [0, 2, 3]], kept)
    assert torch.allclose(full, small)


@pytest.mark.parametrize('name', CRITERIA)
def test_state_dict_round_trip(name):
    batch, (pos, neg) = make_batch(), scores()
    one, other = make(name), make(name)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(pos, neg, batch), other(pos, neg, batch))


@pytest.mark.parametrize('name', CRITERIA)
def test_compiles_without_graph_breaks(name):
    batch, (pos, neg) = make_batch(), scores(dtype=torch.float32)
    criterion = make(name).float()
    compiled = torch.compile(criterion, backend='aot_eager', fullgraph=True)
    assert torch.allclose(compiled(pos, neg, batch), criterion(pos, neg, batch))


@pytest.mark.parametrize('criterion', [BPR(), BCE(), InfoNCE()])
def test_wrong_shapes(criterion):
    with pytest.raises(ValueError, match=r"'pos' and 'neg' have shapes \[3\] and \[3\]"):
        criterion(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match=r'need to be \[B\] and \[B, N\]'):
        criterion(torch.zeros(3), torch.zeros(4, 1))
