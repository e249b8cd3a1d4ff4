import torch

from pyg_advcf import EDGE_TYPE, degrees
from pyg_advcf.baselines import Popularity


def test_counts_users_and_breaks_ties_by_id(toy):
    model = Popularity(toy)
    scores = model.scores(torch.tensor([4, 7]))
    assert torch.equal(scores, degrees(toy)[1].float().expand(2, -1))
    listed = model.recommend([4], k=10).item[0].tolist()
    seen = toy[EDGE_TYPE].edge_index[1][toy[EDGE_TYPE].edge_index[0] == 4].tolist()
    order = sorted(set(range(40)) - set(seen), key=lambda i: (-int(degrees(toy)[1][i]), i))
    assert listed == order[:10]
