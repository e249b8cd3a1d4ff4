import pytest
import torch

from pyg_advcf import EDGE_TYPE, InteractionLoader, interaction_data


def collect(loader):
    return [torch.cat(parts) for parts in zip(*((b.user, b.item, b.id) for b in loader))]


def test_interaction_sampler_visits_each_once(toy):
    loader = InteractionLoader(toy, batch_size=64, num_neg=2)
    sizes = [b.user.numel() for b in loader]
    assert sizes == [64, 64, 64, 8] and len(loader) == 4
    user, item, index = collect(loader)
    assert index.sort()[0].tolist() == list(range(200))
    # The id is the column of `edge_index`, however the batches are shuffled.
    assert torch.equal(torch.stack([user, item]), toy[EDGE_TYPE].edge_index[:, index])
    assert not torch.equal(index, collect(loader)[2])


def test_user_sampler_visits_users_evenly(toy):
    loader = InteractionLoader(toy, batch_size=200, sampler='user', seed=1)
    user, item, index = collect(loader)
    assert torch.equal(torch.stack([user, item]), toy[EDGE_TYPE].edge_index[:, index])
    active = toy[EDGE_TYPE].edge_index[0].unique()
    count = torch.bincount(user, minlength=30)[active]
    assert count.min() >= 200 // active.numel() and count.max() <= 200 // active.numel() + 1
    # Over many epochs every interaction of a user turns up.
    seen = torch.cat([b.id for _ in range(100) for b in loader]).unique()
    assert seen.numel() == 200


@pytest.mark.parametrize('sampler, drop_last, batches', [
    ('interaction', None, 4), ('interaction', True, 3), ('user', None, 3), ('user', False, 4),
])
def test_drop_last(toy, sampler, drop_last, batches):
    loader = InteractionLoader(toy, 64, sampler=sampler, drop_last=drop_last)
    assert len(loader) == len(list(loader)) == batches
    only = InteractionLoader(toy, 1000, sampler=sampler, drop_last=drop_last)
    assert len(only) == len(list(only)) == 1


def test_negatives_are_negative(toy):
    known = {tuple(p) for p in toy[EDGE_TYPE].edge_index.t().tolist()}
    for negatives in ('uniform', 'popularity'):
        for batch in InteractionLoader(toy, 64, 5, negatives=negatives):
            pairs = zip(batch.user.repeat_interleave(5).tolist(), batch.neg_item.view(-1).tolist())
            assert not known & set(pairs)


def test_in_batch(toy):
    known = {tuple(p) for p in toy[EDGE_TYPE].edge_index.t().tolist()}
    batch = next(iter(InteractionLoader(toy, 16, negatives='in_batch')))
    assert torch.equal(batch.neg_item, batch.item)
    for row, user in enumerate(batch.user.tolist()):
        for column, item in enumerate(batch.item.tolist()):
            assert bool(batch.neg_mask[row, column]) == ((user, item) not in known)


def test_in_batch_of_a_held_out_split(toy):
    # The split's own pairs are known too, beside those of training.
    known = {tuple(p) for pairs in (toy[EDGE_TYPE].edge_index, toy[EDGE_TYPE].val_edge_label_index)
             for p in pairs.t().tolist()}
    loader = InteractionLoader(toy, 40, negatives='in_batch', split='val')
    batch, = loader
    assert batch.item.unique().numel() < 40  # Items that the batch repeats have as many columns.
    expected = [[(user, item) not in known for item in batch.item.tolist()]
                for user in batch.user.tolist()]
    assert batch.neg_mask.tolist() == expected
    assert not batch.neg_mask.diagonal().any()


def test_seeds_and_state(toy):
    first, second = (InteractionLoader(toy, 64, 3, seed=5) for _ in range(2))
    for a, b in zip(first, second):
        assert all(torch.equal(x, y) for x, y in zip(a[:4], b[:4]))
    state = first.state_dict()
    later = [b.id for b in first]
    second.load_state_dict(state)
    assert all(torch.equal(a, b.id) for a, b in zip(later, second))
    other = next(iter(InteractionLoader(toy, 64, 3, seed=6)))
    assert not torch.equal(other.id, next(iter(InteractionLoader(toy, 64, 3, seed=5))).id)


@pytest.mark.parametrize('kwargs, message', [
    (dict(batch_size=0), "'batch_size' is 0"), (dict(num_neg=0), "'num_neg' is 0"),
    (dict(sampler='users'), "'sampler' is 'users'.*Did you mean 'user'"),
    (dict(negatives='inbatch'), "'negatives' is 'inbatch'.*Did you mean 'in_batch'"),
])
def test_bad_arguments(toy, kwargs, message):
    with pytest.raises(ValueError, match=message):
        InteractionLoader(toy, **kwargs)


@pytest.mark.parametrize('negatives', ['uniform', 'in_batch'])
def test_user_with_every_item(negatives):
    data = interaction_data(torch.tensor([[0, 0], [0, 1]]), 1, 2)
    with pytest.raises(ValueError, match='interacted with every item'):
        InteractionLoader(data, negatives=negatives)
