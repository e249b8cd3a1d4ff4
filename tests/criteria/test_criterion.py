r"""What holds for every criterion on scores."""
import copy
import re

import pytest
import torch

from pyg_advcf import MF, Batch, Dot, InteractionLoader, Recommender, fit
from pyg_advcf.criteria import (
    BCE,
    BPR,
    XIR,
    ConstrainedBCE,
    Criterion,
    DirectAU,
    EmbeddingCriterion,
    InfoNCE,
)
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
# The sampled negatives that the losses were published with, and what they compare.
NEGATIVES = {'bce': 'one', 'bir': 'none', 'bpr': 'one', 'hinge': 'one'}
SIMILARITIES = {'bce': ('dot', 1.), 'bir': ('dot', 1.), 'bpr': ('dot', 1.), 'hinge': ('dot', 1.),
                'warp': ('dot', 1.), **{name: ('cosine', 1.) for name in ON_COSINES}}
NEED_IDS = {'adaptau', 'advinfonce', 'bc', 'bir', 'bsl', 'sdro', 'supcon'}
RECORDING = {'adaptau', 'sdro'}


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
    torch.compiler.reset()  # All criteria share `forward`, whose recompilations are limited.
    compiled = torch.compile(criterion, backend='aot_eager', fullgraph=True)
    assert torch.allclose(call(compiled, pos, neg, batch), call(same, pos, neg, batch))
    for a, b in zip(criterion.buffers(), same.buffers()):
        assert torch.allclose(a, b)


@pytest.mark.parametrize('name', CRITERIA)
def test_needs_the_ids(name):
    batch, (pos, neg) = make_batch(), scores()
    criterion = make(name)
    assert bool(criterion.needs_batch) == (name in NEED_IDS)
    if name not in NEED_IDS:
        assert torch.equal(call(criterion, pos, neg), call(criterion, pos, neg, batch))
        return
    text = (f"{criterion.__class__.__name__} needs 'batch' for {criterion.needs_batch}: "
            f"call criterion(pos, neg, batch)")
    with pytest.raises(ValueError, match=f'^{re.escape(text)}$'):
        criterion(pos, neg)


@pytest.mark.parametrize('name', CRITERIA)
@pytest.mark.parametrize('reduction', ['none', 'sum', 'mean'])
def test_reduces_the_losses_of_rows(name, reduction):
    batch, (pos, neg) = make_batch(), scores()
    criterion = make(name, reduction=reduction)
    same = copy.deepcopy(criterion)  # A call may record something.
    if name == 'advinfonce':  # It has its own `forward`, which also takes the hardness.
        hardness = criterion.log_hardness(batch)
        rows = make(name, reduction='none')(pos, neg, log_hardness=hardness)
    else:
        assert type(criterion).forward is Criterion.forward
        rows = call(criterion.row_losses, pos, neg, batch)
    assert rows.shape == (5, ) and rows.unique().numel() > 1
    expected = {'none': rows, 'sum': rows.sum(), 'mean': rows.mean()}[reduction]
    assert torch.allclose(call(same, pos, neg, batch), expected, atol=1e-14)


@pytest.mark.parametrize('name', CRITERIA)
def test_attributes(name):
    criterion = make(name)
    assert criterion.negatives == NEGATIVES.get(name, 'many')
    similarity = criterion.default_similarity()
    assert (similarity.kind, similarity.temperature) == SIMILARITIES.get(name, ('cosine', 0.1))
    assert similarity is not criterion.default_similarity()  # Not shared between recommenders.
    pool = criterion.pool(batch := make_batch())
    assert pool is None if name != 'bir' else torch.equal(pool, batch.item)
    adversary = criterion.adversary_parameters()
    assert (len(adversary) > 0) == (name == 'advinfonce')
    assert not criterion.needs_tables  # Only the hardness 'mlp' does.
    assert criterion.warmup_epochs == (20 if name == 'adaptau' else 0)


@pytest.mark.parametrize('name', CRITERIA)
def test_single_pass_means_that_training_records_something(name):
    batch, (pos, neg) = make_batch(), scores()
    criterion = make(name)
    assert criterion.single_pass == (name in RECORDING)
    before = copy.deepcopy(criterion.state_dict())
    criterion.eval()(pos, neg, batch)
    assert all(torch.equal(v, before[key]) for key, v in criterion.state_dict().items())
    criterion.train()(pos, neg, batch)
    changed = any(not torch.equal(v, before[key]) for key, v in criterion.state_dict().items())
    assert changed == criterion.single_pass


@pytest.mark.parametrize('name', CRITERIA)
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(name, dtype):
    batch, criterion = make_batch(), make(name, reduction='none').float()
    pos, neg = scores(dtype=dtype)
    results = []
    for p, n in ((pos, neg), (pos.detach().float().requires_grad_(),
                              neg.detach().float().requires_grad_())):
        loss = call(copy.deepcopy(criterion), p, n, batch)
        assert loss.dtype == torch.float32
        results.append((loss, *torch.autograd.grad(loss.sum(), (p, n))))
    assert torch.equal(results[0][0], results[1][0])
    for half, whole in zip(results[0][1:], results[1][1:]):
        assert half.dtype == dtype and torch.equal(half, whole.to(dtype))


class Squared(Criterion):
    def row_losses(self, pos, neg, batch):
        return (1 - pos).square() + neg.square().mean(1)


class OfUsers(Squared):
    needs_batch = 'the users that count'

    def row_losses(self, pos, neg, batch):
        return super().row_losses(pos, neg, batch) * batch.user


def test_user_defined_criterion():
    batch, (pos, neg) = make_batch(), scores()
    each = (1 - pos) ** 2 + (neg ** 2).sum(1) / 3
    for reduction, expected in (('none', each), ('sum', each.sum()), ('mean', each.mean())):
        assert torch.allclose(Squared(reduction)(pos, neg), expected)
        assert torch.allclose(Squared(reduction)(pos, neg, batch), expected)
    assert torch.allclose(OfUsers('sum')(pos, neg, batch), (each * batch.user).sum())
    with pytest.raises(ValueError, match="^OfUsers needs 'batch' for the users that count: call "
                                         r"criterion\(pos, neg, batch\)$"):
        OfUsers()(pos, neg)
    with pytest.raises(ValueError, match="'reduction' is 'avg'"):
        Squared('avg')
    with pytest.raises(ValueError, match=r"'pos' and 'neg' have shapes \[5\] and \[3, 5\]"):
        Squared()(pos, neg.t())
    loss = Squared()(pos.half(), neg.half())
    assert loss.dtype == torch.float32
    assert torch.equal(loss, Squared()(pos.half().float(), neg.half().float()))
    assert repr(Squared()) == 'Squared()' and repr(Squared('sum')) == "Squared(reduction='sum')"
    with pytest.raises(NotImplementedError):
        Criterion()(pos, neg)


def test_user_defined_criterion_is_trained(toy):
    criterion = Squared()
    assert (criterion.negatives, criterion.needs_batch, criterion.needs_tables) == ('many', '',
                                                                                    False)
    assert not criterion.single_pass and criterion.warmup_epochs == 0
    assert criterion.adversary_parameters() == [] and criterion.on_epoch_start(0, None) is None
    recommender = Recommender(MF(toy, dim=4), criterion)
    assert isinstance(recommender.similarity, Dot) and recommender.similarity.temperature == 1.
    batch = next(iter(InteractionLoader(toy, 16, 3)))
    assert criterion.pool(batch) is None
    z = recommender.embeddings()
    pos, neg = ((z.user[batch.user].unsqueeze(1) * z.item[ids]).sum(-1)
                for ids in (batch.item.view(-1, 1), batch.neg_item))
    expected = ((1 - pos[:, 0]).square() + neg.square().mean(1)).mean()
    assert torch.allclose(recommender(batch), expected, atol=1e-6)
    history = fit(recommender, InteractionLoader(toy, 64, 3), epochs=3, lr=0.05, progress=False)
    assert history.epochs[-1]['loss'] < history.epochs[0]['loss']


def test_criteria_that_are_not_registered():
    xir = XIR(torch.arange(N_ITEMS), cache_size=4)
    assert xir.negatives == 'none' and xir.single_pass
    weighted = ConstrainedBCE(torch.rand(N_USERS), torch.rand(N_ITEMS))
    assert weighted.negatives == 'many' and not weighted.single_pass
    for criterion in (xir, weighted):
        assert isinstance(criterion.default_similarity(), Dot)
        name, text = criterion.__class__.__name__, re.escape(criterion.needs_batch)
        with pytest.raises(ValueError, match=f"^{name} needs 'batch' for {text}: call criterion"):
            criterion(*scores())
    directau = DirectAU()
    assert isinstance(directau, EmbeddingCriterion) and directau.negatives == 'none'
    similarity = directau.default_similarity()
    assert (similarity.kind, similarity.temperature) == ('cosine', 1.)
    assert make('advinfonce', hardness='mlp').needs_tables


@pytest.mark.parametrize('criterion', [BPR(), BCE(), InfoNCE()])
def test_wrong_shapes(criterion):
    with pytest.raises(ValueError, match=r"'pos' and 'neg' have shapes \[3\] and \[3\]"):
        criterion(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match=r'need to be \[B\] and \[B, N\]'):
        criterion(torch.zeros(3), torch.zeros(4, 1))
