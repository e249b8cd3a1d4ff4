import networkx as nx
import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.data import HeteroData

from pyg_advcf import (
    EDGE_TYPE,
    as_graph,
    degrees,
    held_out,
    interaction_data,
    interaction_graph,
    split_names,
    validate,
)
from pyg_advcf.pairs import PairSet

PAIRS = torch.tensor([[2, 0, 1, 0], [1, 3, 0, 0]])


def test_interaction_data():
    data = interaction_data(PAIRS, 3, 4, val=torch.tensor([[0], [1]]),
                            test_a=torch.tensor([[1], [1]]))
    assert split_names(data) == ['val', 'test_a']
    assert split_names(data, 'test') == ['test_a']
    assert held_out(data, 'val').tolist() == [[0], [1]]


def test_graph_equals_networkx(toy):
    graph = interaction_graph(toy)
    assert graph.dtype == torch.int32 and graph.is_sorted_by_row
    assert graph.validate().get_sparse_size() == (30, 40)
    oracle = nx.Graph()
    oracle.add_nodes_from(('u', u) for u in range(30))
    oracle.add_nodes_from(('i', i) for i in range(40))
    oracle.add_edges_from((('u', u), ('i', i)) for u, i in toy[EDGE_TYPE].edge_index.t().tolist())
    user, item = degrees(toy)
    assert user.tolist() == [oracle.degree(('u', u)) for u in range(30)]
    assert item.tolist() == [oracle.degree(('i', i)) for i in range(40)]
    (rowptr, col), _ = graph.get_csr()
    for u in range(30):
        assert {('i', i) for i in col[rowptr[u]:rowptr[u + 1]].tolist()} == set(oracle[('u', u)])
    (colptr, row), _ = graph.get_csc()
    for i in range(40):
        assert {('u', u) for u in row[colptr[i]:colptr[i + 1]].tolist()} == set(oracle[('i', i)])


@pytest.mark.parametrize('pairs, message', [
    ([[0, 3], [0, 0]], r"'edge_index\[0\]' holds the id 3.*\[0, 3\)"),
    ([[0, 1], [0, -2]], r"'edge_index\[1\]' holds the id -2"),
    ([[0, 0], [1, 1]], "'edge_index' holds 1 duplicate pairs.*coalesce"),
    ([[], []], "'edge_index' is empty"),
    ([[0, 1]], r"needs to be \[2, E\]"),
])
def test_bad_edges(pairs, message):
    with pytest.raises(ValueError, match=message):
        interaction_data(torch.tensor(pairs, dtype=torch.long), 3, 4)


def test_bad_held_out():
    with pytest.raises(ValueError, match=r"'val_edge_label_index\[1\]' holds the id 9"):
        interaction_data(PAIRS, 3, 4, val=torch.tensor([[0], [9]]))
    data = interaction_data(PAIRS, 3, 4, test=torch.empty(2, 0, dtype=torch.long))
    with pytest.raises(ValueError, match="split 'test' is empty"):
        held_out(data, 'test')
    with pytest.raises(ValueError, match="'split' is 'tset'.*Did you mean 'test'"):
        held_out(data, 'tset')


def test_missing_edge_type():
    with pytest.raises(ValueError, match='needs .*interacts.*from_frame'):
        validate(HeteroData())


def test_graph_of_ids_out_of_range():
    with pytest.raises(ValueError, match=r"'pairs\[1\]' holds the id 5"):
        as_graph(torch.tensor([[0], [5]]), 3, 3)
    with pytest.raises(ValueError, match="'num_users' is 2147483648.*32-bit ids"):
        as_graph(torch.tensor([[0], [2]]), 2**31, 3)


@pytest.mark.parametrize('dtype', [torch.int32, torch.int64])
def test_pairs_that_are_an_edge_index(dtype):
    pairs = EdgeIndex(PAIRS.to(dtype), sparse_size=(3, 4))
    assert as_graph(pairs, 3, 4).tolist() == as_graph(PAIRS, 3, 4).tolist()
    assert PairSet.of(pairs, 3, 4).keys.tolist() == [0, 3, 4, 9]
    one = EdgeIndex(PAIRS[:, :1].to(dtype), sparse_size=(3, 4))  # PyG takes it for a number.
    assert as_graph(one, 3, 4).tolist() == [[2], [1]]
    assert PairSet.of(one, 3, 4).keys.tolist() == [9]
    data = interaction_data(PAIRS, 3, 4)
    data[EDGE_TYPE].edge_index = pairs
    assert validate(data) is data
    data[EDGE_TYPE].edge_index = EdgeIndex(PAIRS.to(dtype).repeat(1, 2), sparse_size=(3, 4))
    with pytest.raises(ValueError, match="'edge_index' holds 4 duplicate pairs of 8"):
        validate(data)


@pytest.mark.parametrize('mask', [torch.ones(4), torch.ones(4).long(), torch.ones(3).bool()])
def test_bad_candidate_mask(mask):
    data = interaction_data(PAIRS, 3, 4)
    data['item'].candidate_mask = mask
    with pytest.raises(ValueError, match=r"candidate_mask' has (dtype|shape) .* needs to be "):
        validate(data)


def test_bad_split_name_and_sizes():
    with pytest.raises(ValueError, match="'valid' is no name of a split: training stops by 'val'"):
        interaction_data(PAIRS, 3, 4, valid=PAIRS)
    with pytest.raises(ValueError, match="'num_items' is None"):
        interaction_data(PAIRS, 3, None)


@pytest.mark.parametrize('dtype', [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64])
def test_ids_are_widened_at_construction_or_refused(dtype):
    data = interaction_data(PAIRS.to(dtype), 3, 4, val=torch.tensor([[0], [1]], dtype=dtype))
    wide = torch.int32 if dtype == torch.int32 else torch.int64
    assert data[EDGE_TYPE].edge_index.dtype == held_out(data, 'val').dtype == wide
    assert torch.equal(data[EDGE_TYPE].edge_index.long(), PAIRS)
    data[EDGE_TYPE].edge_index = PAIRS.to(dtype)  # By hand.
    if dtype in (torch.int32, torch.int64):
        assert validate(data) is data
    else:
        with pytest.raises(ValueError, match=f"'edge_index' has dtype {dtype}.*long()"):
            validate(data)


def test_pairs_without_a_64_bit_key_are_refused():
    # Their keys wrapped around, and counted as duplicates.
    with pytest.raises(ValueError, match="'num_items' is 4611686018427387904.*64 bits"):
        interaction_data(torch.tensor([[0, 4], [1, 1]]), 5, 2**62)
    assert validate(interaction_data(torch.tensor([[0, 1], [1, 2**61 - 1]]), 2, 2**61))


def test_changed_pairs_are_looked_through_again(toy):
    pairs = toy[EDGE_TYPE].edge_index
    assert validate(toy) is toy
    old = int(pairs[1, 0])
    pairs[1, 0] = 40
    for look in (validate, degrees, interaction_graph):
        with pytest.raises(ValueError, match=r"'edge_index\[1\]' holds the id 40"):
            look(toy)
    pairs[1, 0] = old
    assert validate(toy) is toy
    toy['item'].num_nodes = int(pairs[1].max())
    with pytest.raises(ValueError, match=r"'edge_index\[1\]' holds the id"):
        validate(toy)


def test_unchanged_pairs_are_looked_through_once(toy, monkeypatch):
    def again(*args):
        raise AssertionError('looked through again')

    validate(toy)
    monkeypatch.setattr('pyg_advcf.interactions._sorted_keys', again)
    assert validate(toy) is toy
    with pytest.raises(AssertionError, match='looked through again'):
        validate(toy.clone())  # Other tensors.


def test_a_graph_of_no_values():
    for count in (0, 3):
        with pytest.raises(ValueError, match="'pairs' is on the device 'meta'"):
            as_graph(torch.zeros(2, count, dtype=torch.long, device='meta'), 3, 3)
