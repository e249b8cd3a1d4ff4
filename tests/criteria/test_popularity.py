import pytest
import torch

from pyg_advcf import Batch, Embeddings
from pyg_advcf.criteria import PopularityEmbedding
from pyg_advcf.embeddings import Index


def test_equal_degrees_share_a_row():
    user, item = torch.tensor([4, 1, 4, 0]), torch.tensor([7, 7, 2])
    table = PopularityEmbedding(user, item, dim=3)
    assert table.user.weight.shape == (3, 3) and table.item.weight.shape == (2, 3)
    z = table()
    for degree, rows in ((user, z.users(torch.arange(4))), (item, z.items(torch.arange(3)))):
        alike = degree.view(-1, 1) == degree
        assert torch.equal((rows.unsqueeze(1) == rows).all(-1), alike)


def test_rows_of_a_batch():
    table = PopularityEmbedding(torch.tensor([4, 1, 4]), torch.tensor([7, 9, 2]), dim=3)
    batch = Batch(*(torch.tensor(t) for t in ([2, 1], [0, 1], [[2], [0]], [5, 6])))
    z = table()
    assert z.user is table.user.weight and z.item is table.item.weight and not z.is_complete
    # The rows are in the order of the degrees: 1, 4 and 2, 7, 9.
    rows = z.rows(batch)
    assert [r.tolist() for r in rows] == [[1, 0], [1, 2], [[0], [1]]]
    for found, ids, weight in zip((z.users(batch.user), z.items(batch.item),
                                   z.items(batch.neg_item)), rows,
                                  (table.user.weight, table.item.weight, table.item.weight)):
        assert torch.equal(found, weight[ids])


@pytest.mark.parametrize('held', [None, 'users', 'both'])
def test_a_row_for_each_row_of_other_embeddings(held):
    user, item = torch.tensor([4, 1, 4, 0]), torch.tensor([7, 9, 2, 7, 0])
    table = PopularityEmbedding(user, item, dim=3)
    users = None if held is None else Index.of(torch.tensor([3, 1]), 4)
    items = Index.of(torch.tensor([4, 0, 3]), 5) if held == 'both' else None
    x = Embeddings(torch.randn(4 if users is None else 2, 6),
                   torch.randn(5 if items is None else 3, 6), users, items)
    p = table.rows_like(x)
    assert p.user_index is users and p.item_index is items and p.layers == ()
    assert p.user.shape == (x.user.size(0), 3) and p.item.shape == (x.item.size(0), 3)
    z = table()
    ids = torch.arange(4) if users is None else users.ids
    assert torch.equal(p.user, z.users(ids)) and torch.equal(p.users(ids), z.users(ids))
    ids = torch.arange(5) if items is None else items.ids
    assert torch.equal(p.item, z.items(ids)) and torch.equal(p.items(ids), z.items(ids))
    p.user.sum().backward()  # A row gets the gradient of all nodes that share it.
    kept = user if users is None else user[users.ids]
    counts = torch.tensor([[int((kept == d).sum())] * 3 for d in (0, 1, 4)])
    assert torch.equal(table.user.weight.grad, counts.float())


def test_state_dict_round_trip():
    degrees = torch.tensor([4, 1, 4]), torch.tensor([7, 9, 2])
    one, other = (PopularityEmbedding(*degrees, dim=3) for _ in range(2))
    assert not torch.equal(one().user, other().user)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one().user, other().user) and torch.equal(one().item, other().item)
