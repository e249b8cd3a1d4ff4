r"""Sets of pairs, compared with sets of Python."""
import pytest
import torch
from torch_geometric import EdgeIndex

from pyg_advcf import EDGE_TYPE, as_graph, interaction_graph
from pyg_advcf.ops.structure import structure
from pyg_advcf.pairs import PairSet

NUM_USERS, NUM_ITEMS = 7, 9


def draw(count, seed=0):
    r"""Pairs ``[2, count]`` that may repeat."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randint(n, (count, ), generator=generator)
                        for n in (NUM_USERS, NUM_ITEMS)])


CASES = {
    'random': draw(25),
    'empty': draw(0),
    'one': torch.tensor([[6], [8]]),
    'repeated': draw(12).repeat(1, 3),
    'full': torch.cartesian_prod(torch.arange(NUM_USERS), torch.arange(NUM_ITEMS)).t(),
    'first and last': torch.tensor([[0, 6, 0, 6], [0, 8, 8, 0]]),
    'one user': torch.tensor([[3, 3, 3], [8, 0, 4]]),
    'one item': torch.tensor([[5, 0, 3], [4, 4, 4]]),
}


def as_set(pairs):
    return {tuple(p) for p in pairs.t().tolist()}


def of(pairs):
    return PairSet.of(pairs, NUM_USERS, NUM_ITEMS)


def members(found):
    r"""The pairs of a set, read from its tensors, which have to be consistent."""
    user = torch.repeat_interleave(torch.arange(found.num_users), found.indptr.diff().long())
    assert found.indptr[0] == 0 and found.indptr.numel() == NUM_USERS + 1
    assert found.num_users == NUM_USERS and found.num_items == NUM_ITEMS
    keys = user * NUM_ITEMS + found.item
    assert keys.diff().gt(0).all()  # Sorted, none twice.
    assert found.keys.dtype == torch.long and torch.equal(found.keys, keys)
    assert len(found) == keys.numel()
    assert torch.equal(found.count.long(), torch.bincount(user, minlength=NUM_USERS))
    pairs = {(int(u), int(i)) for u, i in zip(user, found.item)}
    assert len(pairs) == len(found)
    return pairs


@pytest.mark.parametrize('name', CASES)
def test_members(name):
    expected = as_set(CASES[name])
    found = of(CASES[name])
    assert members(found) == expected
    assert members(of(CASES[name].int())) == expected
    keys = torch.tensor(sorted(u * NUM_ITEMS + i for u, i in expected), dtype=torch.long)
    assert members(PairSet.from_keys(keys, NUM_USERS, NUM_ITEMS)) == expected
    graph = as_graph(torch.tensor(sorted(expected), dtype=torch.long).view(-1, 2).t(), NUM_USERS,
                     NUM_ITEMS)
    assert members(PairSet.from_graph(graph)) == expected


@pytest.mark.parametrize('name', CASES)
def test_contains(name):
    expected, found = as_set(CASES[name]), of(CASES[name])
    user, item = torch.arange(NUM_USERS).view(-1, 1), torch.arange(NUM_ITEMS)
    table = torch.tensor([[(u, i) in expected for i in range(NUM_ITEMS)]
                          for u in range(NUM_USERS)])
    assert torch.equal(found.contains(user, item), table)
    user, item = torch.randint(NUM_USERS, (4, 3)), torch.randint(NUM_ITEMS, (4, 3))
    assert torch.equal(found.contains(user, item), table[user, item])
    none = found.contains(user[:0], item[:0])
    assert none.shape == (0, 3) and none.dtype == torch.bool


@pytest.mark.parametrize('name', CASES)
@pytest.mark.parametrize('users', [[], [2], [6, 0, 3], [3, 3, 5, 3], list(range(NUM_USERS))])
def test_of_users(name, users):
    expected = sorted((row, i) for row, u in enumerate(users)
                      for v, i in as_set(CASES[name]) if v == u)
    row, item = of(CASES[name]).of_users(torch.tensor(users, dtype=torch.long))
    assert list(zip(row.tolist(), item.tolist())) == expected
    assert row.dtype == item.dtype == torch.long


POOLS = {
    'empty': [],
    'one': [4],
    'all': list(range(NUM_ITEMS)),
    'unsorted': [8, 0, 4, 2],
    'repeated': [4, 0, 4, 8, 0, 4],
    'one item repeated': [4] * 5,
    'random': torch.randint(NUM_ITEMS, (30, ),
                            generator=torch.Generator().manual_seed(1)).tolist(),
}


@pytest.mark.parametrize('name', CASES)
@pytest.mark.parametrize('pool', POOLS)
@pytest.mark.parametrize('users', [[], [2], [3, 3, 5, 3], [6, 0, 3, 1, 0]])
def test_among(name, pool, users):
    pairs, pool = as_set(CASES[name]), POOLS[pool]
    expected = torch.tensor([[(u, i) in pairs for i in pool] for u in users],
                            dtype=torch.bool).view(len(users), len(pool))
    user, pool = (torch.tensor(ids, dtype=torch.long) for ids in (users, pool))
    found = of(CASES[name])
    assert torch.equal(found.among(user, pool), expected)
    assert torch.equal(found.among(user.int(), pool.int()), expected)
    # The implementation for the CPU, and the one for accelerators.
    assert torch.equal(found._among_by_users(user, pool), expected)
    assert torch.equal(found.contains(user.unsqueeze(1), pool.unsqueeze(0)), expected)


@pytest.mark.parametrize('first', CASES)
@pytest.mark.parametrize('second', CASES)
def test_union_and_difference(first, second):
    a, b = as_set(CASES[first]), as_set(CASES[second])
    one, other = of(CASES[first]), of(CASES[second])
    assert members(one.union(other)) == a | b
    assert members(one.minus(other)) == a - b
    assert members(one) == a and members(other) == b  # The operands do not change.


def test_union_of_none_and_of_several():
    parts = [draw(6, seed) for seed in range(3)]
    sets = [of(pairs) for pairs in parts]
    assert members(sets[0].union()) == as_set(parts[0])
    assert members(sets[0].union(*sets[1:])) == as_set(torch.cat(parts, dim=1))


@pytest.mark.parametrize('name', CASES)
@pytest.mark.parametrize('kept', [[], [4], [0, 8], list(range(NUM_ITEMS))])
def test_where(name, kept):
    mask = torch.zeros(NUM_ITEMS, dtype=torch.bool)
    mask[kept] = True
    expected = {(u, i) for u, i in as_set(CASES[name]) if i in kept}
    assert members(of(CASES[name]).where(mask)) == expected


def test_set_of_a_graph_shares_its_memory(toy):
    graph = interaction_graph(toy)
    found = PairSet.from_graph(graph)
    assert found.item.data_ptr() == graph.as_tensor()[1].data_ptr()
    assert found.indptr is structure(graph).rowptr
    assert found.num_users == 30 and found.num_items == 40 and len(found) == 200
    pairs = as_set(toy[EDGE_TYPE].edge_index)
    user, item = torch.randint(30, (12, )), torch.randint(40, (50, ))  # Both repeat.
    expected = torch.tensor([[(u, i) in pairs for i in item.tolist()] for u in user.tolist()])
    assert expected.any() and not expected.all()
    assert torch.equal(found.among(user, item), expected)
    assert torch.equal(found._among_by_users(user, item), expected)
    assert torch.equal(found.contains(user.unsqueeze(1), item), expected)
    assert found.among(user, item[:0]).shape == (12, 0)


def test_keys_beyond_32_bits():
    # The keys of 32-bit ids reach 10**11.
    graph = as_graph(torch.tensor([[99_999, 0], [999_999, 7]]), 100_000, 1_000_000)
    for found in (PairSet.from_graph(graph), PairSet.of(graph.as_tensor(), 100_000, 1_000_000)):
        assert found.keys.tolist() == [7, 99_999_999_999]
        user, item = torch.tensor([99_999, 99_999, 0]), torch.tensor([999_999, 7])
        expected = torch.tensor([[True, False], [True, False], [False, True]])
        assert torch.equal(found._among_by_users(user, item), expected)
        for cast in (torch.Tensor.long, torch.Tensor.int):
            assert torch.equal(found.among(cast(user), cast(item)), expected)
            assert torch.equal(found.contains(cast(user).view(-1, 1), cast(item)), expected)


@pytest.mark.parametrize('ids', [[2], [-1]])
def test_ids_out_of_range_are_no_other_pairs(ids):
    known = PairSet.of(torch.tensor([[0, 1], [1, 0]]), 2, 2)
    ids, fine = torch.tensor(ids), torch.tensor([0])
    for call, name in ((lambda: known.contains(ids, fine), 'user'),
                       (lambda: known.contains(fine, ids), 'item'),
                       (lambda: known.of_users(ids), 'user'),
                       (lambda: known.among(ids, fine), 'user'),
                       (lambda: known.among(fine, ids), 'pool')):
        with pytest.raises(ValueError, match=f"'{name}' holds the id {int(ids)}"):
            call()
    with pytest.raises(ValueError, match='which have no common one'):
        known.contains(torch.tensor([0, 1]), torch.tensor([0, 1, 0]))
    with pytest.raises(ValueError, match=r"'pairs\[1\]' holds the id 2"):
        PairSet.of(torch.tensor([[0], [2]]), 2, 2)


def test_bad_patterns():
    with pytest.raises(ValueError, match="'indptr' needs to ascend from 0 to 2"):
        PairSet(torch.tensor([0, 3]), torch.tensor([0, 1]), 2)
    with pytest.raises(ValueError, match="'item' holds the id 2"):
        PairSet(torch.tensor([0, 2]), torch.tensor([0, 2]), 2)
    unsorted = PairSet(torch.tensor([0, 2]), torch.tensor([1, 0]), 2)
    with pytest.raises(ValueError, match="'item' needs to rise strictly"):
        unsorted.contains(torch.tensor([0]), torch.tensor([0]))


def test_set_of_a_graph_in_any_order():
    graph = EdgeIndex([[0, 1, 0, 0, 0], [2, 0, 0, 2, 1]], sparse_size=(2, 3))
    found = PairSet.from_graph(graph)  # One edge repeats.
    assert found.keys.tolist() == [0, 1, 2, 3] and found.count.tolist() == [3, 1]
    assert found.contains(torch.tensor([0, 1]), torch.tensor([2, 2])).tolist() == [True, False]
