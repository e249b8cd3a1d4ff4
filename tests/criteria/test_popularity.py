import torch

from pyg_advcf import Batch
from pyg_advcf.criteria import PopularityEmbedding


def test_equal_degrees_share_a_row():
    user, item = torch.tensor([4, 1, 4, 0]), torch.tensor([7, 7, 2])
    table = PopularityEmbedding(user, item, dim=3)
    assert table.user.weight.shape == (3, 3) and table.item.weight.shape == (2, 3)
    z = table()
    for degree, rows in ((user, z.user), (item, z.item)):
        alike = degree.view(-1, 1) == degree
        assert torch.equal((rows.unsqueeze(1) == rows).all(-1), alike)


def test_buckets_of_a_batch():
    table = PopularityEmbedding(torch.tensor([4, 1, 4]), torch.tensor([7, 9, 2]), dim=3)
    batch = Batch(*(torch.tensor(t) for t in ([2, 1], [0, 1], [[2], [0]], [5, 6])))
    local = table.buckets(batch)
    z = table()
    assert torch.equal(z.user[batch.user], table.user.weight[local.user])
    assert torch.equal(z.item[batch.neg_item], table.item.weight[local.neg_item])
    assert torch.equal(local.id, batch.id)


def test_state_dict_round_trip():
    degrees = torch.tensor([4, 1, 4]), torch.tensor([7, 9, 2])
    one, other = (PopularityEmbedding(*degrees, dim=3) for _ in range(2))
    assert not torch.equal(one().user, other().user)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one().user, other().user) and torch.equal(one().item, other().item)
