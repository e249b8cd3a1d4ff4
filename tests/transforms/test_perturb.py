import pytest
import torch
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
    both = torch.cat(row[:2]).norm(dim=1)
    assert torch.allclose(both[both > 0], torch.tensor(epsilon, dtype=both.dtype))
    whole = ALL[kind](epsilon, 'global').delta(x, objective)
    assert float(torch.cat(whole[:2]).norm()) == pytest.approx(epsilon)
    signs = torch.cat(ALL[kind](epsilon, 'sign').delta(x, objective)[:2])
    assert float(signs.abs().max()) == epsilon
    assert kind == 'projected' or set(signs.abs().unique().tolist()) <= {0., epsilon}
    if epsilon == 0.:
        assert not any(t.any() for t in (*row[:2], *whole[:2], signs))
    if kind != 'noise':  # Rows that the objective does not use stay where they are.
        for delta in (row, whole):
            assert not delta.user[4:].any() and not delta.item[5:].any()


@pytest.mark.parametrize('norm', ['row', 'global', 'sign'])
def test_fast_gradient_equals_its_formula(norm):
    x = tables()
    point = [t.clone().requires_grad_() for t in x[:2]]
    grad = torch.autograd.grad(objective(Embeddings(*point)), point)
    length = torch.cat(grad).norm()
    expected = [{'row': 0.2 * g / g.norm(dim=1, keepdim=True).clamp(min=1e-300),
                 'global': 0.2 * g / length, 'sign': 0.2 * g.sign()}[norm] for g in grad]
    delta = FastGradient(0.2, norm).delta(x, objective)
    for ours, reference in zip(delta[:2], expected):
        assert torch.allclose(ours, reference, atol=1e-14)


@pytest.mark.parametrize('norm', ['row', 'global', 'sign'])
def test_raises_the_objective_and_one_long_step_is_the_fast_gradient(norm):
    x, small = tables(), 1e-3
    fast = FastGradient(small, norm).delta(x, objective)
    once = ProjectedGradient(small, norm, steps=1).delta(x, objective)
    for a, b in zip(fast[:2], once[:2]):
        assert torch.allclose(a, b, atol=1e-15)
    many = ProjectedGradient(1., norm, steps=20).delta(x, objective)
    values = [float(objective(Embeddings(*(t + d for t, d in zip(x[:2], delta[:2])))))
              for delta in (fast, many)]
    assert float(objective(x)) < values[0] < values[1]


def test_projection_stays_inside_the_ball():
    x = tables()
    for norm, length in (('row', lambda d: max(float(t.norm(dim=1).max()) for t in d)),
                         ('global', lambda d: float(torch.cat(d).norm())),
                         ('sign', lambda d: max(float(t.abs().max()) for t in d))):
        delta = ProjectedGradient(0.5, norm, steps=7, step_size=3.).delta(x, objective)
        assert length(delta[:2]) <= 0.5 + 1e-12


@pytest.mark.parametrize('kind', ALL)
def test_detached_and_no_gradient_is_touched(toy, kind):
    method = methods.BPR(LightGCN(toy, dim=4), toy)
    batch = next(iter(InteractionLoader(toy, 16)))
    for p in method.parameters():
        p.grad = torch.full_like(p, 7.)

    def loss(x):
        return method.criterion(*method.similarity(method.backbone(x=x), batch))

    delta = ALL[kind](0.1).delta(method.backbone.x, loss)
    assert not any(t.requires_grad for t in delta[:2])
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
