import pytest
import torch
from partial import rows_of
from torch_geometric.data import HeteroData

from pyg_advcf import MF, Batch, Embeddings, InteractionLoader, LightGCN, methods
from pyg_advcf.transforms import FastGradient, ProjectedGradient, RandomNoise

ALL = {
    'noise': RandomNoise,
    'fast': FastGradient,
    'projected': ProjectedGradient,
}


def tables(n=6, m=9, dim=4):
    return Embeddings(torch.randn(n, dim, dtype=torch.float64),
                      torch.randn(m, dim, dtype=torch.float64))


def objective(x):
    # Users 0 to 3 and items 0 to 4 alone have an influence.
    return (x.user[:4].sin().sum(0) * x.item[:5].exp().sum(0)).sum()


@pytest.mark.parametrize('kind', ALL)
@pytest.mark.parametrize('epsilon', [0., 0.3])
def test_sizes(kind, epsilon):
    x = tables()
    row = ALL[kind](epsilon, 'row').delta(x, objective)
    both = torch.cat(tuple(row)).norm(dim=1)
    assert torch.allclose(both[both > 0], torch.tensor(epsilon, dtype=both.dtype))
    whole = ALL[kind](epsilon, 'global').delta(x, objective)
    assert float(torch.cat(tuple(whole)).norm()) == pytest.approx(epsilon)
    signs = torch.cat(tuple(ALL[kind](epsilon, 'sign').delta(x, objective)))
    assert float(signs.abs().max()) == epsilon
    assert kind == 'projected' or set(signs.abs().unique().tolist()) <= {0., epsilon}
    if epsilon == 0.:
        assert not any(t.any() for t in (*row, *whole, signs))
    if kind != 'noise':  # Rows that the objective does not use stay where they are.
        for delta in (row, whole):
            assert not delta.user[4:].any() and not delta.item[5:].any()


@pytest.mark.parametrize('norm', ['row', 'global', 'sign'])
def test_fast_gradient_equals_its_formula(norm):
    x = tables()
    point = [t.clone().requires_grad_() for t in x]
    grad = torch.autograd.grad(objective(Embeddings(*point)), point)
    length = torch.cat(grad).norm()
    expected = [{'row': 0.2 * g / g.norm(dim=1, keepdim=True).clamp(min=1e-300),
                 'global': 0.2 * g / length, 'sign': 0.2 * g.sign()}[norm] for g in grad]
    delta = FastGradient(0.2, norm).delta(x, objective)
    for ours, reference in zip(delta, expected):
        assert torch.allclose(ours, reference, atol=1e-14)


@pytest.mark.parametrize('norm', ['row', 'global', 'sign'])
def test_raises_the_objective_and_one_long_step_is_the_fast_gradient(norm):
    x, small = tables(), 1e-3
    fast = FastGradient(small, norm).delta(x, objective)
    once = ProjectedGradient(small, norm, steps=1).delta(x, objective)
    for a, b in zip(fast, once):
        assert torch.allclose(a, b, atol=1e-15)
    many = ProjectedGradient(1., norm, steps=20).delta(x, objective)
    values = [float(objective(Embeddings(*(t + d for t, d in zip(x, delta)))))
              for delta in (fast, many)]
    assert float(objective(x)) < values[0] < values[1]


def test_projection_stays_inside_the_ball():
    x = tables()
    for norm, length in (('row', lambda d: max(float(t.norm(dim=1).max()) for t in d)),
                         ('global', lambda d: float(torch.cat(d).norm())),
                         ('sign', lambda d: max(float(t.abs().max()) for t in d))):
        delta = ProjectedGradient(0.5, norm, steps=7, step_size=3.).delta(x, objective)
        assert length(tuple(delta)) <= 0.5 + 1e-12


@pytest.mark.parametrize('kind', ALL)
def test_detached_and_no_gradient_is_touched(toy, kind):
    method = methods.bpr(LightGCN(toy, dim=4))
    batch = next(iter(InteractionLoader(toy, 16)))
    for p in method.parameters():
        p.grad = torch.full_like(p, 7.)

    def loss(x):
        return method.criterion(*method.similarity(method.backbone(x=x), batch))

    delta = ALL[kind](0.1).delta(method.backbone.x, loss)
    assert not any(t.requires_grad for t in delta)
    assert all((p.grad == 7.).all() for p in method.parameters())


@pytest.mark.parametrize('kind', ALL)
def test_restricted_to_the_batch(toy, kind):
    model = LightGCN(toy, dim=4, num_layers=3)
    batch = Batch(torch.tensor([3]), torch.tensor([5]), torch.tensor([[8, 9]]), torch.tensor([0]))
    perturbation = ALL[kind](0.1, restrict_to_batch=True)
    delta = perturbation.delta(model.x, lambda x: model(x=x).user[3].sum(), batch)
    assert set(delta.user.norm(dim=1).nonzero().view(-1).tolist()) == {3}
    assert set(delta.item.norm(dim=1).nonzero().view(-1).tolist()) <= {5, 8, 9}
    free = ALL[kind](0.1).delta(model.x, lambda x: model(x=x).user[3].sum())
    assert (free.user.norm(dim=1) > 0).sum() > 1  # Its neighbours' neighbours too.
    with pytest.raises(ValueError, match="'restrict_to_batch' is True"):
        perturbation.delta(model.x, lambda x: model(x=x).user[3].sum())


@pytest.mark.parametrize('kind', ['fast', 'projected'])
@pytest.mark.parametrize('norm', ['row', 'global', 'sign'])
@pytest.mark.parametrize('restricted', [False, True])
def test_some_rows_of_the_tables(kind, norm, restricted):
    x = tables(9, 12)
    read = Batch(torch.tensor([7, 2, 5]), torch.tensor([11, 4, 3]), torch.tensor([[8], [9], [3]]),
                 torch.arange(3))
    batch = Batch(read.user[:2], read.item[:2], read.neg_item[:2], read.id[:2])
    part, = rows_of(read, x)

    def objective(x):
        user, item = x.users(read.user), x.items(torch.tensor([11, 4, 3, 8, 9]))
        return (user.sin().sum(0) * item.exp().sum(0)).sum()

    perturbation = ALL[kind](0.1, norm, restrict_to_batch=restricted)
    whole, found = (perturbation.delta(z, objective, batch) for z in (x, part))
    assert found.user_index is part.user_index and found.item_index is part.item_index
    for expected, delta, index in zip(whole, found, (part.user_index, part.item_index)):
        assert torch.allclose(expected[index.ids], delta, atol=1e-14)
    moved = found.user.ne(0).any(1)
    assert moved.tolist() == [True, not restricted, True]  # User 5 is not of the batch.
    moved = found.item.ne(0).any(1)
    assert moved.tolist() == [not restricted, True, True, True, True]  # Nor is item 3.


def test_gradients_whose_squares_underflow_keep_their_direction():
    x = Embeddings(torch.zeros(1, 2), torch.zeros(1, 2))
    delta = FastGradient(0.5, 'row').delta(x, lambda x: 1e-30 * x.user.sum())
    assert delta.user.tolist() == [pytest.approx([0.5**1.5, 0.5**1.5])]


def test_as_transform():
    data = HeteroData()
    data['user'].x, data['item'].x = torch.zeros(2, 2), torch.ones(3, 2)
    transform = FastGradient(1., 'row', objective=lambda x: x.item.sum())
    out = transform(data)
    assert out['item'].x.tolist() == [pytest.approx([1 + 0.5**0.5] * 2)] * 3
    assert not out['user'].x.any() and not data['user'].x.any()
    assert (data['item'].x == 1).all()  # The data given are left alone.
    assert repr(transform) == "FastGradient(epsilon=1.0, norm='row')"
    assert repr(ProjectedGradient(steps=2)) == (
        "ProjectedGradient(epsilon=0.5, norm='row', steps=2)")


def test_bad_arguments(toy):
    with pytest.raises(ValueError, match="'epsilon' is -1"):
        FastGradient(-1)
    with pytest.raises(ValueError, match="'norm' is 'rows'.*Did you mean 'row'"):
        RandomNoise(norm='rows')
    with pytest.raises(ValueError, match="'steps' is 0"):
        ProjectedGradient(steps=0)
    with pytest.raises(ValueError, match="needs 'objective'"):
        FastGradient().delta(MF(toy, dim=2).x)
