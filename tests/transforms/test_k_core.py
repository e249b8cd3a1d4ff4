import networkx as nx
import pytest
import torch

from pyg_advcf import EDGE_TYPE, degrees, interaction_data
from pyg_advcf.transforms import KCore


@pytest.mark.parametrize('k', [1, 3, 4])
def test_equals_networkx(toy, k):
    data = KCore(k)(toy)
    edges = toy[EDGE_TYPE].edge_index.t().tolist()
    oracle = nx.k_core(nx.Graph([(('u', u), ('i', i)) for u, i in edges]), k)
    user, item = data['user'].raw_id, data['item'].raw_id
    assert {('u', u) for u in user.tolist()} | {('i', i) for i in item.tolist()} == set(oracle)
    got = {(int(user[u]), int(item[i])) for u, i in data[EDGE_TYPE].edge_index.t().tolist()}
    assert got == {(a[1], b[1]) if a[0] == 'u' else (b[1], a[1]) for a, b in oracle.edges}
    assert min(int(d.min()) for d in degrees(data)) >= k


def test_held_out_pairs_and_attributes_follow():
    pairs = torch.tensor([[0, 0, 1, 1, 2], [0, 1, 0, 1, 2]])
    data = interaction_data(pairs, 3, 3, test=torch.tensor([[0, 0, 2], [2, 1, 0]]))
    data['item'].candidate_mask = torch.tensor([True, False, True])
    data[EDGE_TYPE].time = torch.arange(5)
    core = KCore(2)(data)
    assert core[EDGE_TYPE].test_edge_label_index.tolist() == [[0], [1]]
    assert core['item'].candidate_mask.tolist() == [True, False]
    assert core[EDGE_TYPE].time.tolist() == [0, 1, 2, 3]


def test_errors(toy):
    with pytest.raises(ValueError, match='the 50-core is empty: the highest degrees are'):
        KCore(50)(toy)
    with pytest.raises(ValueError, match="'k' is 0"):
        KCore(0)
    assert repr(KCore(2)) == 'KCore(k=2)'
