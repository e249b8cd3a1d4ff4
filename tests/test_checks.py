import pytest
import torch

from pyg_advcf._checks import (
    check_bool,
    check_count,
    check_floats,
    check_generator,
    check_ids,
    check_name,
    check_names,
    check_pairs,
    check_positive,
    check_ratio,
    check_seed,
)


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="'method' is 'advinfonec'.*Did you mean 'advinfonce'"):
        check_name('method', 'advinfonec', ['bpr', 'advinfonce'])
    with pytest.raises(ValueError, match='Choose one of: a, b$'):
        check_name('x', 'zzzz', ['b', 'a'])
    assert check_name('x', 'a', ['a']) == 'a'


@pytest.mark.parametrize('value', [0, -1, float('nan'), float('inf'), 'a', None, True, [1], 1j])
def test_check_positive(value):
    with pytest.raises(ValueError, match="'t' is .*finite number above 0"):
        check_positive('t', value)


def test_check_positive_zero():
    assert check_positive('t', 0, zero=True) == 0


@pytest.mark.parametrize('value', [0, 1.5, True, '3'])
def test_check_count(value):
    with pytest.raises(ValueError, match="'k' is .*integer of at least 1"):
        check_count('k', value)


@pytest.mark.parametrize('ids, message', [
    ([0, -1], 'holds the id -1'), ([0, 3], 'holds the id 3.*from_frame'), ([0.5], 'dtype'),
])
def test_check_ids(ids, message):
    with pytest.raises(ValueError, match=message):
        check_ids('user', torch.tensor(ids), 3)
    assert check_ids('user', torch.tensor([], dtype=torch.long), 3).numel() == 0


@pytest.mark.parametrize('value', [['a'], None, 3, torch.tensor(0), 'b'])
def test_a_name_is_a_text(value):
    with pytest.raises(ValueError, match="'x' is .*Choose one of: a$"):
        check_name('x', value, ['a'])


def test_check_names():
    assert check_names('x', 'a', 'ab') == ['a'] and check_names('x', ('b', 'a'), 'ab') == ['b', 'a']
    for value in (None, 3, torch.tensor([1])):
        with pytest.raises(ValueError, match="'x' is .*choose from: a, b"):
            check_names('x', value, 'ab')


@pytest.mark.parametrize('value', [-0.1, 1.1, float('nan'), 'a', None, [0.5], True])
def test_check_ratio(value):
    with pytest.raises(ValueError, match="'r' is .*a number at least 0 and at most 1"):
        check_ratio('r', value)


def test_check_ratio_without_ends():
    assert check_ratio('r', 0) == 0 and check_ratio('r', 1) == 1
    with pytest.raises(ValueError, match="'r' is 0, .*above 0 and at most 1"):
        check_ratio('r', 0, zero=False)
    with pytest.raises(ValueError, match="'r' is 1, .*below 1: since"):
        check_ratio('r', 1, one=False, why='since')


@pytest.mark.parametrize('value', ['x', None, -1, 1.5, 2**63])
def test_check_seed(value):
    with pytest.raises(ValueError, match="'seed' is "):
        check_seed('seed', value)
    assert torch.Generator().manual_seed(check_seed('seed', 2**63 - 1))


def test_check_bool_and_generator():
    assert check_bool('b', False) is False and check_generator('g', None) is None
    for value in (0, 'no', None):
        with pytest.raises(ValueError, match="'b' is .*True or False"):
            check_bool('b', value)
    with pytest.raises(ValueError, match="'g' is 0.*torch.Generator"):
        check_generator('g', 0)


@pytest.mark.parametrize('dtype', [torch.int8, torch.uint8, torch.int16, torch.int32, torch.uint16])
def test_ids_are_widened(dtype):
    found = check_ids('user', torch.tensor([0, 2]).to(dtype), 3)
    assert found.dtype == torch.int64 and found.tolist() == [0, 2]
    found = check_pairs('pairs', torch.tensor([[0, 2], [3, 0]]).to(dtype), 3, 4)
    assert found.dtype == torch.int64 and found.tolist() == [[0, 2], [3, 0]]


def test_check_floats_says_the_shape_that_is_needed():
    check_floats('x', torch.ones(2, 3), ('B', 3))
    with pytest.raises(ValueError, match=r"'x' has shape \[2\], but needs to be \[B, 3\]"):
        check_floats('x', torch.ones(2), ('B', 3))
