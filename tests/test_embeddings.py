import pytest
import torch

from pyg_advcf import Batch, Embeddings
from pyg_advcf.criteria import FullInfoNCE
from pyg_advcf.embeddings import Index
from pyg_advcf.ranking import recommend

NUM_USERS, NUM_ITEMS, DIM = 8, 10, 3
USERS, ITEMS = [1, 4, 7], [9, 2, 3, 6]  # What the embeddings of some rows hold.


def complete():
    return Embeddings(torch.randn(NUM_USERS, DIM), torch.randn(NUM_ITEMS, DIM))


def partial(z, layers=()):
    user, item = (Index.of(torch.tensor(ids), size)
                  for ids, size in ((USERS, NUM_USERS), (ITEMS, NUM_ITEMS)))
    return Embeddings(z.user[user.ids], z.item[item.ids], user, item, layers)


def make_batch(shared=False):
    neg = torch.tensor([3, 9, 3]) if shared else torch.tensor([[3, 9, 3], [2, 2, 6]])
    return Batch(torch.tensor([7, 1]), torch.tensor([9, 2]), neg, torch.tensor([0, 1]))


@pytest.mark.parametrize('ids, size', [
    ([7, 3, 7], 9), ([0], 1), ([], 4), (list(range(6)), 6), ([5, 5, 5], 6), ([3, 0, 2, 1], 5),
])
def test_index_numbers_the_distinct_ids(ids, size):
    index = Index.of(torch.tensor(ids, dtype=torch.long), size)
    distinct = sorted(set(ids))
    assert index.ids.tolist() == distinct
    assert index.position.tolist() == [distinct.index(i) if i in distinct else -1
                                       for i in range(size)]
    found = index(torch.tensor(ids, dtype=torch.long))
    assert found.tolist() == [distinct.index(i) for i in ids]
    if ids:
        assert torch.equal(index.ids[found], torch.tensor(ids))
        shaped = index(torch.tensor([ids, ids]))
        assert torch.equal(shaped, found.expand(2, -1))


def test_index_of_bad_ids():
    for ids in ([3, 9], [-1]):
        with pytest.raises(ValueError, match=f"'batch' holds the id {ids[-1]}"):
            Index.of(torch.tensor(ids), 9)


def test_index_where_nodes_share_a_row():
    index = Index(torch.tensor([1, 0, 1]))
    assert index.ids is None and index(torch.tensor([[2, 0], [1, 1]])).tolist() == [[1, 1], [0, 0]]


@pytest.mark.parametrize('ids', [5, [5], [7, 5], [[7, 1], [5, 1]]])
def test_an_id_without_a_row_is_an_error(ids):
    index = Index.of(torch.tensor(USERS), NUM_USERS)
    with pytest.raises(ValueError, match="hold no row for the id 5.*'encode' with the batch"):
        index(torch.tensor(ids))
    z = partial(complete())
    ids = torch.tensor(ids)
    for read in (z.users, z.items, z.user_rows, z.item_rows):
        with pytest.raises(ValueError, match="hold no row for the id [57]"):
            read(ids)
    for name, value in (('user', 5), ('item', 5), ('neg_item', 5)):
        batch = make_batch()
        ids = getattr(batch, name).clone()
        ids.view(-1)[-1] = value
        with pytest.raises(ValueError, match='hold no row for the id 5: they were encoded for '
                                             'another batch'):
            z.rows(batch._replace(**{name: ids}))


def test_no_ids():
    z, none = partial(complete()), torch.empty(0, dtype=torch.long)
    assert z.users(none).shape == (0, DIM) and z.items(none.view(0, 2)).shape == (0, 2, DIM)


def test_unpacks_into_both_tables():
    for z in (complete(), partial(complete())):
        user, item = z
        assert user is z.user and item is z.item
        assert tuple(z) == (z.user, z.item) and len(list(z)) == 2
        assert torch.equal(torch.cat(tuple(z)), torch.cat([z.user, z.item]))


@pytest.mark.parametrize('shared', [False, True])
def test_rows_of_a_batch(shared):
    batch, whole = make_batch(shared), complete()
    # Complete embeddings hold every id in its own row.
    assert all(rows is ids for rows, ids in zip(whole.rows(batch), batch[:3]))
    z = partial(whole)
    user, item, neg = z.rows(batch)
    assert user.tolist() == [sorted(USERS).index(i) for i in (7, 1)]
    assert item.tolist() == [sorted(ITEMS).index(i) for i in (9, 2)]
    assert neg.shape == batch.neg_item.shape
    assert torch.equal(z.user_rows(batch.user), user) and torch.equal(z.item_rows(batch.item), item)
    assert torch.equal(z.user[user], whole.user[batch.user])
    assert torch.equal(z.item[neg], whole.item[batch.neg_item])


def test_embeddings_of_ids():
    whole = complete()
    z, batch = partial(whole), make_batch()
    for held in (whole, z):
        assert torch.equal(held.users(batch.user), whole.user[batch.user])
        assert torch.equal(held.items(batch.item), whole.item[batch.item])
        assert torch.equal(held.items(batch.neg_item), whole.item[batch.neg_item])
        assert held.items(batch.neg_item).shape == (2, 3, DIM)
        assert torch.equal(held.users(torch.tensor(4)), whole.user[4])


def test_gradients_reach_the_rows():
    user = torch.randn(NUM_USERS, DIM, requires_grad=True)
    item = torch.randn(NUM_ITEMS, DIM, requires_grad=True)
    z = partial(Embeddings(user, item))
    batch = make_batch()
    (z.users(batch.user).sum() + 2 * z.items(batch.neg_item).sum()).backward()
    assert torch.equal(user.grad[:, 0], torch.tensor([0., 1, 0, 0, 0, 0, 0, 1]))
    assert torch.equal(item.grad[:, 0], 2. * torch.bincount(batch.neg_item.view(-1),
                                                            minlength=NUM_ITEMS))


def test_is_complete():
    whole = complete()
    z = partial(whole)
    assert whole.is_complete and not z.is_complete
    assert not z.replace(user_index=None).is_complete
    assert not z.replace(item_index=None).is_complete
    assert z.replace(user_index=None, item_index=None).is_complete


def test_map_keeps_the_rows_and_maps_the_layers():
    whole = complete()
    layers = (partial(whole), partial(complete()))
    z = partial(whole, layers)
    doubled = z.map(lambda t: 2 * t)
    assert torch.equal(doubled.user, 2 * z.user) and torch.equal(doubled.item, 2 * z.item)
    assert doubled.user_index is z.user_index and doubled.item_index is z.item_index
    assert len(doubled.layers) == 2
    for before, after in zip(layers, doubled.layers):
        assert torch.equal(after.user, 2 * before.user) and torch.equal(after.item, 2 * before.item)
        assert after.user_index is before.user_index and after.item_index is before.item_index
    assert torch.equal(z.user, whole.user[sorted(USERS)])  # The original is unchanged.
    batch = make_batch()
    assert torch.equal(doubled.users(batch.user), 2 * whole.user[batch.user])


def test_map_of_several_embeddings():
    a, b, c = (partial(complete(), tuple(partial(complete()) for _ in range(count)))
               for count in (2, 2, 1))
    mixed = a.map(lambda s, t: s - 3 * t, b)
    assert torch.equal(mixed.user, a.user - 3 * b.user)
    assert torch.equal(mixed.item, a.item - 3 * b.item)
    assert mixed.user_index is a.user_index and mixed.item_index is a.item_index
    for found, s, t in zip(mixed.layers, a.layers, b.layers, strict=True):
        assert torch.equal(found.user, s.user - 3 * t.user)
        assert torch.equal(found.item, s.item - 3 * t.item)
    # Layers are dropped unless all have the same number of them.
    three = a.map(lambda s, t, u: s + t + u, b, c)
    assert torch.equal(three.item, a.item + b.item + c.item) and three.layers == ()
    assert a.map(torch.add, c.replace(layers=())).layers == ()


def test_with_tables_keeps_the_rows():
    z = partial(complete(), (partial(complete()), ))
    user, item = torch.randn(3, 2), torch.randn(4, 2)  # Of another width.
    other = z.with_tables(user, item)
    assert other.user is user and other.item is item and other.layers == ()
    assert other.user_index is z.user_index and other.item_index is z.item_index
    assert torch.equal(other.users(torch.tensor([7, 1])), user[[2, 0]])
    assert len(z.layers) == 1


def test_detach_and_replace():
    z = Embeddings(*(t.requires_grad_() for t in complete()))
    z = z.replace(layers=(z, z.map(torch.exp)))
    found = z.detach()
    for part in (found, *found.layers):
        assert not part.user.requires_grad and not part.item.requires_grad
    assert z.user.requires_grad and z.layers[1].item.requires_grad
    assert len(found.layers) == 2 and torch.equal(found.user, z.user)
    assert found.user.data_ptr() == z.user.data_ptr()  # No copy.
    item = torch.zeros(NUM_ITEMS, DIM)
    other = z.replace(item=item)
    assert other.item is item and other.user is z.user and other.layers is z.layers
    assert z.item is not item


def test_ids_out_of_range_and_incomplete_embeddings_are_errors():
    index = Index.of(torch.tensor([7, 3]), size=9)
    for bad in (-1, 9):  # A negative id must not wrap around to the last row.
        with pytest.raises(ValueError, match=f"'ids' holds the id {bad}"):
            index(torch.tensor([7, bad]))
    part = Embeddings(torch.randn(2, 4), torch.randn(5, 4), index)
    with pytest.raises(ValueError, match="'z' holds the rows of a batch, but all rows are needed"):
        part.check_complete('z')
    with pytest.raises(ValueError, match="'z' holds the rows of a batch"):
        recommend(part, torch.tensor([0]), k=1)
    with pytest.raises(ValueError, match="'z' holds the rows of a batch"):
        FullInfoNCE()(part, torch.tensor([3]), torch.tensor([0]))
    whole = part.replace(user_index=None)
    assert whole.check_complete('z') is whole


def test_embeddings_of_different_rows_are_not_combined():
    whole = complete()
    first, again = partial(whole), partial(whole)  # The same rows, each found by itself.
    assert torch.equal(first.map(torch.add, again).user, 2 * first.user)
    other = first.replace(user_index=Index.of(torch.tensor([1, 4, 6]), NUM_USERS))
    for a, b in ((first, other), (whole, first), (first, whole)):
        with pytest.raises(ValueError, match='hold different rows.*backbone.encoder'):
            a.map(lambda t, _: t, b)
