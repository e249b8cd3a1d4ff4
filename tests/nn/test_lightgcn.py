import torch

from pyg_advcf import EDGE_TYPE, MF, Embeddings, LightGCN, interaction_data


def test_zero_layers_is_mf(toy):
    model = LightGCN(toy, dim=8, num_layers=0)
    z = model()
    assert torch.equal(z.user, model.x.user) and torch.equal(z.item, model.x.item)


def test_linearity(toy):
    model = LightGCN(toy, dim=8, num_layers=3).double()
    d = Embeddings(*(torch.randn_like(t) for t in model.x))
    both = Embeddings(model.x.user + d.user, model.x.item + d.item)
    for a, b, c in zip(model(x=both), model(), model(x=d)):
        assert torch.allclose(a, b + c, atol=1e-12)


def test_equals_dense_powers(toy):
    model = LightGCN(toy, dim=8, num_layers=3).double()
    a = torch.zeros(70, 70, dtype=torch.float64)
    user, item = toy[EDGE_TYPE].edge_index
    a[user, item + 30] = a[item + 30, user] = 1
    scale = a.sum(1).clamp(min=1).rsqrt()
    a = scale.view(-1, 1) * a * scale
    x = torch.cat(tuple(model.x))
    expected = (x + a @ x + a @ a @ x + a @ a @ a @ x) / 4
    assert torch.allclose(torch.cat(tuple(model())), expected, atol=1e-6)


def test_isolated_node_keeps_its_share():
    data = interaction_data(torch.tensor([[0, 1], [0, 1]]), 3, 2)
    model = LightGCN(data, dim=4, num_layers=2)
    assert torch.allclose(model().user[2], model.x.user[2] / 3)


def test_layers_are_those_of_the_mean(toy):
    model = LightGCN(toy, dim=4, num_layers=2)
    z = model(return_layers=True)
    assert model().layers == ()
    assert len(z.layers) == 3
    mean = torch.stack([layer.user for layer in z.layers]).mean(0)
    assert torch.allclose(z.user, mean, atol=1e-6)


def test_state_dict_round_trip_and_repr(toy):
    model, other = LightGCN(toy, dim=4, num_layers=2), LightGCN(toy, dim=4, num_layers=2)
    assert set(model.state_dict()) == {'user_embedding.weight', 'item_embedding.weight'}
    other.load_state_dict(model.state_dict())
    assert torch.equal(model().user, other().user)
    assert repr(model) == 'LightGCN(30 users, 40 items, dim=4, num_layers=2)'
    assert repr(MF(toy, dim=4)) == 'MF(30 users, 40 items, dim=4)'


def test_fused_layered_and_message_path_agree(toy):
    results = []
    model = LightGCN(toy, dim=4, num_layers=3)
    for kwargs in ({}, {'return_layers': True}, {'graph': toy[EDGE_TYPE].edge_index}):
        model.zero_grad()
        z = model(**kwargs)
        (z.user.square().sum() + z.item.sin().sum()).backward()
        results.append((z.user, z.item, *(p.grad.clone() for p in model.parameters())))
    for other in results[1:]:
        for a, b in zip(results[0], other):
            assert torch.allclose(a, b, atol=1e-5)
