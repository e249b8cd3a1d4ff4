from pathlib import Path

import numpy as np
import pytest

from pyg_advcf.datasets.user_lists import read_ids, read_user_lists, user_lists_data


def write(path, text):
    Path(path).write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.mark.parametrize('text, pairs', [
    ('0 1\n1\n\n3 2 2\n', [[0, 3, 3], [1, 2, 2]]),
    ('0 1\r\n\r\n 2\t0  \r\n', [[0, 2], [1, 0]]),
    ('12 0 345', [[12, 12], [0, 345]]),
    ('007 1\n', [[7], [1]]),
    ('0 2147483646\n', [[0], [2**31 - 2]]),
])
def test_pairs(tmp_path, text, pairs):
    assert read_user_lists(write(tmp_path / 'x', text)).tolist() == pairs


def test_against_a_loop(tmp_path):
    rng = np.random.default_rng(0)
    lines = [[user, *rng.integers(0, 10**rng.integers(1, 9), rng.integers(0, 5)).tolist()]
             for user in rng.permutation(200).tolist()]
    path = write(tmp_path / 'x', '\n'.join(' '.join(map(str, line)) for line in lines))
    pairs = [(line[0], item) for line in lines for item in line[1:]]
    assert read_user_lists(path).t().tolist() == [list(pair) for pair in pairs]
    ids, line = read_ids(path)
    assert ids.tolist() == sum(lines, [])
    assert line.tolist() == sum(([n] * len(ids) for n, ids in enumerate(lines, 1)), [])


@pytest.mark.parametrize('text, message', [
    ('0 1\n1 x\n', r"line 2 of .*x' is not a list of ids \('1 x'\); delete the file to fetch it"),
    ('0 1\n1 -3\n', 'line 2 of'),
    ('0 1\n\n1_1 2\n', r"line 3 of .*\('1_1 2'"),
    ('0 +11\n', r"line 1 of .*\('0 \+11'"),
    ('0 1.0\n', 'line 1 of'),
    ('0 1\n0 \u0663\n', 'line 2 of'),
    ('0 \u00b2\n', 'line 1 of'),
    ('\ufeff0 1\n', 'line 1 of'),
    ('0 1\u00a02\n', 'line 1 of'),
    ('0 1\x0c2\n', 'line 1 of'),
    ('0 1\r1 2\r', 'line 1 of'),
    ('0 1\r', 'line 1 of'),
    (b'\x00\x01', 'line 1 of'),
    (b'0 1\n\xff', r"line 2 of .*\('\ufffd'"),
    ('0 1\n1 2147483647\n', r"line 2 of .*\('1 2147483647', of which one is 2,147,483,647 or more"),
    ('9999999999 1\n', 'line 1 of .*of which one is'),
    (f'0 1\n{2**64} 1\n', 'line 2 of .*of which one is'),
    ('0 ' + '9' * 5000, 'line 1 of .*of which one is'),
    ('0\n', 'holds no interaction'),
    ('', 'holds no interaction'),
])
def test_what_is_not_a_list_of_ids(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_user_lists(write(tmp_path / 'x', text))


def test_ids_out_of_proportion(tmp_path):
    paths = {'train': write(tmp_path / 'train', '0 1\n1 0\n'),
             'test': write(tmp_path / 'test', '0 4000000\n')}
    with pytest.raises(ValueError, match="test' holds the item 4000000, but there are only 3 "):
        user_lists_data(paths)
    write(tmp_path / 'test', '2000000000 0\n')
    with pytest.raises(ValueError, match="test' holds the user 2000000000, but there"):
        user_lists_data(paths)
    write(tmp_path / 'test', '9 9000\n')
    data = user_lists_data(paths)
    assert (data['user'].num_nodes, data['item'].num_nodes) == (10, 9001)
