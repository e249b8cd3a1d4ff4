r"""What holds for every criterion on scores."""
import copy

import pytest
import torch

from pyg_advcf import Batch
from pyg_advcf.criteria import BCE, BPR, InfoNCE
from pyg_advcf.registry import CRITERIA

N_USERS, N_ITEMS = 6, 9


# What a criterion has to know of the data, and the temperature 0.01 of those on plain cosines.
NEEDS = {
    'adaptau': {'num_users': N_USERS},
    'advinfonce': {'num_users': N_USERS, 'num_items': N_ITEMS, 'dim': 4},
    'bc': {'user_degree': torch.arange(N_USERS), 'item_degree': torch.arange(N_ITEMS), 'dim': 4},
    'bir': {'popularity': torch.arange(N_ITEMS)},
    'sdro': {'group': torch.arange(N_USERS) % 2},
    'warp': {'num_items': N_ITEMS},
}
COLD = {'bc': {'temperature': 0.01}, 'bsl': {'pos_temperature': 0.01, 'neg_temperature': 0.01}}
# The losses of the best and of the worst scores at temperature 0.01, 0 and 200 of most.
EXTREMES = {'adaptau': (-200, 200), 'bsl': (-2, 2), 'ccl': (0, 2.6), 'dcl': (-200, 200),
            'infol1o': (-200, 200), 'warp': (0, 201 * sum(1 / k for k in range(1, N_ITEMS)))}
ON_COSINES = ('adaptau', 'bc', 'bsl', 'ccl')
SPARSE = ('bir', 'ccl', 'hinge', 'warp')  # Not every negative that counts has a gradient.
NOT_BY_ROW = ('bir', 'sdro')  # A draw for all rows; the size of a group among them.


def make(name, **kwargs):
    return CRITERIA[name](**NEEDS.get(name, {}), **kwargs).double()


def call(criterion, *args):
    torch.manual_seed(0)
    return criterion(*args)


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
    each = call(none, pos, neg, batch)
    assert each.shape == (5, )
    assert torch.allclose(call(total, pos, neg, batch), each.sum())
    assert torch.allclose(call(mean, pos, neg, batch), each.mean())
    with pytest.raises(ValueError, match="'reduction' is 'avg'"):
        make(name, reduction='avg')


@pytest.mark.parametrize('name', CRITERIA)
def test_gradcheck(name):
    batch, criterion = make_batch(), make(name).eval()  # Records nothing.
    pos, neg = scores()
    assert torch.autograd.gradcheck(lambda p, n: call(criterion, p, n, batch), (pos, neg))
    assert torch.autograd.gradgradcheck(lambda p, n: call(criterion, p, n, batch), (pos, neg))


@pytest.mark.parametrize('name', CRITERIA)
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('sign', [1, -1])
def test_extreme_scores_stay_finite(name, dtype, sign):
    # Cosines of +-1 at temperature 0.01.
    batch, criterion = make_batch(), make(name, **COLD.get(name, {})).float()
    if name == 'adaptau':
        criterion.update(torch.tensor(0.01))
    size = 1. if name in ON_COSINES else 100.
    pos = torch.full((5, ), size * sign, dtype=dtype, requires_grad=True)
    neg = torch.full((5, 3), -size * sign, dtype=dtype, requires_grad=True)
    loss = criterion(pos, neg, batch)
    loss.backward()
    assert loss.isfinite() and pos.grad.isfinite().all() and neg.grad.isfinite().all()
    # Beyond log k and the constants, the loss is the gap where it is violated and 0 where not.
    best, worst = EXTREMES.get(name, (0, 200))
    assert loss.item() == pytest.approx(best if sign > 0 else worst, abs=8 * worst / 200)


@pytest.mark.parametrize('name', CRITERIA)
def test_excluded_negatives_have_no_influence(name):
    batch, criterion = make_batch(num_neg=4), make(name)
    mask = torch.tensor([[True, False, True, True]] * 4 + [[False] * 4])
    # Two rows of one user; the row without negatives is the only one of its user.
    batch = batch._replace(neg_mask=mask, user=torch.tensor([0, 1, 2, 0, 3]))
    pos, neg = scores(num_neg=4)
    masked = neg.masked_fill(~mask, float('-inf'))
    loss = call(criterion, pos, masked, batch)
    loss.backward()
    assert loss.isfinite() and pos.grad.isfinite().all() and pos.grad[:4].ne(0).any()
    assert neg.grad[~mask].eq(0).all()
    assert neg.grad[mask].ne(0).any() if name in SPARSE else neg.grad[mask].ne(0).all()
    if name in NOT_BY_ROW:
        return
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
    call(one, pos, neg, batch)  # What this records goes along.
    other.load_state_dict(one.state_dict())
    assert torch.equal(call(one, pos, neg, batch), call(other, pos, neg, batch))
    for key, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[key])


@pytest.mark.parametrize('name', CRITERIA)
def test_compiles_without_graph_breaks(name):
    batch, (pos, neg) = make_batch(), scores(dtype=torch.float32)
    criterion = make(name).float()
    same = copy.deepcopy(criterion)  # A call may record something.
    compiled = torch.compile(criterion, backend='aot_eager', fullgraph=True)
    assert torch.allclose(call(compiled, pos, neg, batch), call(same, pos, neg, batch))
    for a, b in zip(criterion.buffers(), same.buffers()):
        assert torch.allclose(a, b)


@pytest.mark.parametrize('name', ['adaptau', 'bc', 'bir', 'bsl', 'sdro', 'supcon'])
def test_needs_the_ids(name):
    with pytest.raises(ValueError, match="needs 'batch'.*call criterion"):
        make(name)(*scores())


@pytest.mark.parametrize('criterion', [BPR(), BCE(), InfoNCE()])
def test_wrong_shapes(criterion):
    with pytest.raises(ValueError, match=r"'pos' and 'neg' have shapes \[3\] and \[3\]"):
        criterion(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match=r'need to be \[B\] and \[B, N\]'):
        criterion(torch.zeros(3), torch.zeros(4, 1))
