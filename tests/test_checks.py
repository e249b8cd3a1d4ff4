import pytest
import torch

from pyg_advcf._checks import check_count, check_ids, check_name, check_positive


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="'method' is 'advinfonec'.*Did you mean 'advinfonce'"):
        check_name('method', 'advinfonec', ['bpr', 'advinfonce'])
    with pytest.raises(ValueError, match='Choose one of: a, b$'):
        check_name('x', 'zzzz', ['b', 'a'])
    assert check_name('x', 'a', ['a']) == 'a'


@pytest.mark.parametrize('value', [0, -1, float('nan'), float('inf'), 'a', None])
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
