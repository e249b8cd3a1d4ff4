import copy

import pytest
import torch

from pyg_advcf.training import Updater


def pair():
    return [torch.nn.Parameter(torch.tensor([1., -2.])), torch.nn.Parameter(torch.tensor([3.]))]


def test_moves_by_the_gradient_of_the_loss():
    w, v = pair()
    updater = Updater([w, v], optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    for _ in range(2):  # Gradients of the last call do not add up.
        before = [p.detach().clone() for p in (w, v)]
        updater(w.square().sum() + 5 * v.sum())
        assert torch.allclose(w, before[0] - 0.1 * 2 * before[0])
        assert torch.allclose(v, before[1] - 0.1 * 5)


def test_is_adam_by_default():
    w, _ = pair()
    other = w.detach().clone().requires_grad_()
    updater, adam = Updater([w], lr=0.05), torch.optim.Adam([other], lr=0.05)
    for _ in range(3):
        updater(w.square().sum())
        adam.zero_grad()
        other.square().sum().backward()
        adam.step()
    assert torch.allclose(w, other, atol=1e-6)


def test_no_other_parameter_receives_a_gradient():
    w, v = pair()
    v.grad = torch.tensor([7.])
    updater = Updater([w])
    for act in (updater.backward, updater):
        act((w.sum() * v).sum())
        assert v.grad.tolist() == [7.] and v.tolist() == [3.]
        assert w.grad.tolist() == [3., 3.]


def test_backward_does_not_move():
    w, _ = pair()
    updater = Updater([w])
    updater.backward(w.square().sum())
    updater.backward(w.square().sum())
    assert w.tolist() == [1., -2.] and w.grad.tolist() == [2., -4.]


def test_applies_given_gradients_and_leaves_none():
    w, v = pair()
    updater = Updater([w, v], optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    updater.apply([torch.tensor([1., 2.]), None])
    assert torch.allclose(w, torch.tensor([0.9, -2.2])) and v.tolist() == [3.]
    assert w.grad is None and v.grad is None


def test_state_dict_round_trip():
    (one, ), (two, ) = pair()[:1], pair()[:1]
    first, second = Updater([one], lr=0.1), Updater([two], lr=0.7)
    first(one.square().sum())
    two.data.copy_(one)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for updater, w in ((first, one), (second, two)):
        updater((w - 1).square().sum())
    assert torch.equal(one, two)


def test_bad_learning_rate():
    for lr in (0, -1):
        with pytest.raises(ValueError, match=f"'lr' is {lr}"):
            Updater(pair(), lr)
        with pytest.raises(ValueError, match=f"'outer_lr' is {lr}"):
            Updater(pair(), lr, argument='outer_lr')


@pytest.mark.parametrize('arguments, message', [
    (dict(parameters=[]), "'parameters' is empty"), (dict(parameters=3), "'parameters' is 3"),
    (dict(parameters=[1.]), "'parameters' is 1.0, but needs to be a list of tensors"),
    (dict(parameters=[torch.zeros(2)]), r"a tensor of shape \[2\] that can't be trained"),
    (dict(lr='x'), "'lr' is 'x'"), (dict(lr=None), "'lr' is None"),
    (dict(optimizer=3), "'optimizer' is 3, but needs to be a function from a list of parameters"),
    (dict(optimizer=lambda p: None), "'optimizer' returns None, but needs to be a function"),
])
def test_bad_arguments_of_any_type(arguments, message):
    with pytest.raises(ValueError, match=message):
        Updater(**{'parameters': pair(), **arguments})
