import pytest
import torch
from graphs import GRAPHS

from pyg_advcf import Embeddings, InteractionLoader, LightGCN, interaction_data
from pyg_advcf.nn import LightGCL
from pyg_advcf.nn.lightgcl import low_rank


def dense(graph):
    a = torch.zeros(graph.get_sparse_size(0), graph.get_sparse_size(1), dtype=torch.float64)
    user, item = graph.as_tensor().long()
    a[user, item] = 1
    rows, columns = a.sum(1).clamp(min=1), a.sum(0).clamp(min=1)
    return a / (rows.view(-1, 1) * columns).sqrt()


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize('name', ['toy', 'isolated', 'one_user'])
def test_low_rank_is_the_best_of_its_rank(toy, name):
    graph = GRAPHS[name](toy)
    a = dense(graph)
    expected = torch.linalg.svdvals(a)
    full = int((expected > 1e-10).sum())
    for rank in {1, max(full // 2, 1), full}:
        u, s, v = low_rank(graph, rank)
        error = torch.linalg.matrix_norm(a - u @ torch.diag(s) @ v.t(), 2)
        best = float(expected[rank]) if rank < expected.numel() else 0.
        # The randomised decomposition is exact at full rank, and near the best otherwise.
        assert float(error) <= best * 1.01 + 1e-10
        assert torch.allclose(u.t() @ u, torch.eye(rank, dtype=u.dtype), atol=1e-10)
    with pytest.raises(ValueError, match=f"'rank' is {full + 1}, but .*lower 'rank'"):
        low_rank(graph, full + 1)


def test_full_rank_gives_the_propagation_itself(toy, double):
    rank = int(torch.linalg.matrix_rank(dense(LightGCN(toy, dim=2).graph)))
    model = LightGCL(toy, dim=8, num_layers=3, rank=rank)
    z = model(return_layers=True)
    for a, b in zip(model.low_rank_view(z), z):
        assert torch.allclose(a, b, atol=1e-10)


def test_view_equals_its_formula(toy, double):
    model = LightGCL(toy, dim=8, num_layers=2, rank=4)
    z = model(return_layers=True)
    a = model.left @ torch.diag(model.singular) @ model.right.t()
    user, item = z.layers[0]
    for layer in z.layers[:-1]:
        user, item = user + a @ layer.item, item + a.t() @ layer.user
    view = model.low_rank_view(z)
    assert torch.allclose(view.user, user, atol=1e-12)
    assert torch.allclose(view.item, item, atol=1e-12)
    assert not torch.allclose(view.user, z.user, atol=1e-3)
    with pytest.raises(ValueError, match="'z' has no layers"):
        model.low_rank_view(model())
    few = model.encode(next(iter(InteractionLoader(toy, 4))), return_layers=True)
    with pytest.raises(ValueError, match="'z' holds the rows of a batch"):
        model.low_rank_view(few)
    found, pairs = model.views()
    assert torch.equal(found.user, z.user) and [b is found for _, b in pairs] == [True]
    assert torch.equal(pairs[0][0].item, view.item)
    flat = LightGCL(toy, dim=8, num_layers=0)
    assert torch.equal(flat.low_rank_view(flat(return_layers=True)).user, flat.x.user)


def test_view_gradients(double):
    data = interaction_data(torch.tensor([[0, 0, 1, 2], [0, 1, 1, 3]]), 4, 5)
    model = LightGCL(data, dim=2, num_layers=2, rank=2)
    inputs = [torch.randn(n, 2, requires_grad=True) for n in (4, 5)]

    def function(user, item):
        z = model(x=Embeddings(user, item), return_layers=True)
        return torch.cat((*model.low_rank_view(z), *z))

    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize('return_layers', [False, True])
def test_is_the_sum_of_the_layers_of_lightgcn(toy, return_layers):
    model = LightGCL(toy, dim=8, num_layers=3).double()
    mean = LightGCN(toy, dim=8, num_layers=3).double()
    mean.load_state_dict(model.state_dict())
    for a, b in zip(model(return_layers=return_layers), mean()):
        assert torch.allclose(a, 4 * b, atol=1e-12)
    few = next(iter(InteractionLoader(toy, 4)))
    z = model.encode(few)
    assert z.user.size(0) <= 4
    assert torch.allclose(z.users(few.user), 4 * mean().user[few.user], atol=1e-12)


def test_dropout(toy):
    model = LightGCL(toy, dim=8, num_layers=1, dropout=0.5).double()
    assert not model.linear and not torch.equal(model().user, model().user)
    x = model.x.item
    a = dense(model.graph)
    torch.manual_seed(1)
    z = model()
    torch.manual_seed(1)
    weight = torch.nn.functional.dropout(torch.ones(200, dtype=torch.float64), 0.5)
    user, item = model.graph.as_tensor().long()
    a[user, item] *= weight
    assert 50 < int((weight == 0).sum()) < 150
    assert torch.allclose(z.user, model.x.user + a @ x, atol=1e-12)
    assert torch.allclose(z.item, x + a.t() @ model.x.user, atol=1e-12)
    batch = next(iter(InteractionLoader(toy, 4)))
    assert model.encode(batch).user.size(0) == 30
    model.eval()
    plain = LightGCL(toy, dim=8, num_layers=1).double()
    plain.load_state_dict(model.state_dict())
    assert model.linear and torch.equal(model().user, plain().user)


def test_the_decomposition_follows_from_the_data(toy):
    graph = LightGCN(toy, dim=2).graph
    torch.manual_seed(7)
    first = low_rank(graph, 3)
    after = torch.rand(1)
    torch.manual_seed(7)
    assert torch.equal(after, torch.rand(1))  # Nothing was drawn from the common source.
    for a, b in zip(first, low_rank(graph, 3)):
        assert torch.equal(a, b)
    assert set(LightGCL(toy, dim=4).state_dict()) == {'user_embedding.weight',
                                                      'item_embedding.weight'}


def test_bad_arguments_and_repr(toy):
    with pytest.raises(ValueError, match="'rank' is 31, but a matrix of 30 users and 40 items"):
        LightGCL(toy, rank=31)
    # Two users with the same items: the second singular value is 0.
    twins = interaction_data(torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1]]), 2, 2)
    with pytest.raises(ValueError, match="'rank' is 2, but .* has rank 1; lower 'rank' to at most"):
        LightGCL(twins, rank=2)
    with pytest.raises(ValueError, match="'rank' is 0"):
        LightGCL(toy, rank=0)
    with pytest.raises(ValueError, match="'dropout' is 1"):
        LightGCL(toy, dropout=1)
    assert repr(LightGCL(toy, dim=4)) == (
        'LightGCL(30 users, 40 items, dim=4, num_layers=2, rank=5)')
