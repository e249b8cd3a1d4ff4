import pytest
import torch

from pyg_advcf import EDGE_TYPE, Embeddings, InteractionLoader, interaction_data, methods
from pyg_advcf.nn import VGAE, LightGCN
from pyg_advcf.nn.vgae import Posterior
from pyg_advcf.transforms import RandomWalk


def adjacency(edge_index):
    a = torch.zeros(70, 70, dtype=torch.float64)
    user, item = edge_index.long()
    a[user, item + 30] = a[item + 30, user] = 1
    scale = a.sum(1).clamp(min=1).rsqrt()
    return scale.view(-1, 1) * a * scale


def test_equals_dense(toy):
    model = VGAE(toy, dim=8, num_layers=2).double().eval()
    a, x = adjacency(toy[EDGE_TYPE].edge_index), torch.cat(tuple(model.x))
    h = (x + a @ x + a @ a @ x) / 3
    z = model()
    assert torch.allclose(torch.cat(tuple(z)), a @ h @ model.mean.weight.t(), atol=1e-10)
    assert z.mean.user is z.user and z.mean.item is z.item
    assert torch.allclose(torch.cat(tuple(z.log_std)), a @ h @ model.log_std.weight.t(), atol=1e-10)


def test_draws_in_training_and_not_in_evaluation(toy):
    model = VGAE(toy, dim=8).double()
    torch.manual_seed(5)
    z = model()
    torch.manual_seed(5)
    noise = [torch.randn(n, 8, dtype=torch.float64) for n in (30, 40)]
    for out, mean, log_std, xi in zip(z, z.mean, z.log_std, noise):
        assert torch.allclose(out, mean + log_std.exp() * xi, atol=1e-12)
    assert not torch.equal(model().user, z.user)
    model.eval()
    assert torch.equal(model().user, model().user) and torch.equal(model().user, z.mean.user)


def test_kl_is_zero_for_the_prior_alone(toy):
    model = VGAE(toy, dim=8).double()
    zero = Embeddings(*(torch.zeros(n, 8, dtype=torch.float64) for n in (30, 40)))
    prior = Posterior(*zero, mean=zero, log_std=zero)
    assert model.kl_loss(prior) == 0
    for mean, log_std in ((1e-3, 0.), (0., 1e-3), (0., -1e-3)):
        z = Posterior(*zero, mean=Embeddings(*(t + mean for t in zero)),
                      log_std=Embeddings(*(t + log_std for t in zero)))
        assert model.kl_loss(z) > 0
    z = model()
    mean, log_std = (torch.cat(tuple(t)) for t in (z.mean, z.log_std))
    posterior = torch.distributions.Normal(mean, log_std.exp())
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(
        torch.zeros_like(mean), torch.ones_like(mean))).sum(1).mean()
    assert torch.allclose(model.kl_loss(z), expected, atol=1e-12)
    model.eval()
    assert torch.allclose(model.kl_loss(), expected, atol=1e-12)


def test_penalty_is_added_to_any_loss_once(toy):
    batch = next(iter(InteractionLoader(toy, 64, num_neg=2)))
    for build in (methods.bpr, methods.advinfonce, methods.SharpCF,
                  lambda b: methods.APR(b, epsilon=0., warmup_epochs=0), methods.XSimGCL):
        losses = []
        for beta in (0., 0.5):
            torch.manual_seed(0)
            model = VGAE(toy, dim=8, beta=beta).double()
            method = build(model).double()
            method.on_epoch_start(0)
            torch.manual_seed(0)
            losses.append(method(batch))
        noisy = 0.2 if isinstance(method, methods.XSimGCL) else 0.
        torch.manual_seed(0)
        kl = model.kl_loss(model(noise=noisy))
        assert torch.allclose(losses[1] - losses[0], 0.5 * kl, atol=1e-12)
    assert VGAE(toy, dim=8).beta == 1 / 70 and VGAE(toy, dim=8, beta=0.).penalty(batch) is None


def test_gradients(toy):
    data = interaction_data(torch.tensor([[0, 0, 1, 2], [0, 1, 1, 3]]), 4, 5)
    model = VGAE(data, dim=3, num_layers=1).double().eval()
    inputs = [torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (4, 5)]

    def function(user, item):
        z = model(x=Embeddings(user, item))
        return z.user.square().sum() + z.item.sin().sum() + model.kl_loss(z)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_layers_graphs_and_isolated_nodes(toy):
    model = VGAE(toy, dim=4, num_layers=2).double().eval()
    encoder = LightGCN(toy, dim=4, num_layers=2).double()
    encoder.load_state_dict(model.state_dict(), strict=False)
    for a, b in zip(model(return_layers=True).layers, encoder(return_layers=True).layers):
        assert torch.equal(a.user, b.user) and torch.equal(a.item, b.item)
    graphs = RandomWalk(0.3).graphs(model.graph, 3)
    first, second, third = (adjacency(g.as_tensor()) for g in graphs)
    x = torch.cat(tuple(model.x))
    h = (x + first @ x + second @ first @ x) / 3
    assert torch.allclose(torch.cat(tuple(model(graph=graphs))), third @ h @ model.mean.weight.t(),
                          atol=1e-10)
    with pytest.raises(ValueError, match="'graph' holds 2 graphs"):
        model(graph=graphs[:2])
    lonely = VGAE(interaction_data(torch.tensor([[1], [1]]), 3, 2), dim=4)
    z = lonely()
    (z.user.sum() + lonely.kl_loss(z)).backward()
    assert z.user.isfinite().all() and not z.mean.user[0].any()
    assert all(p.grad.isfinite().all() for p in lonely.parameters() if p.grad is not None)


def test_large_deviations_are_clamped(toy):
    model = VGAE(toy, dim=4)
    model.log_std.weight.data.fill_(1e4)
    model.item_embedding.weight.data.fill_(1.)
    assert torch.cat(tuple(model().log_std)).max() == 10 and model.kl_loss().isfinite()


def test_bad_arguments_and_repr(toy):
    with pytest.raises(ValueError, match="'beta' is -1"):
        VGAE(toy, beta=-1)
    assert repr(VGAE(toy, dim=4)) == 'VGAE(30 users, 40 items, dim=4, num_layers=2, beta=0.0143)'
    assert not VGAE.linear
