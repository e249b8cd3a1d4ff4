import pytest
import torch

from pyg_advcf import EDGE_TYPE, degrees, interaction_data
from pyg_advcf.transforms import LeaveOneOut, TemporalSplit

PARTS = ('edge_index', 'val_edge_label_index', 'test_edge_label_index')


def timed(toy_factory, spread):
    data = toy_factory(held_out=False)
    generator = torch.Generator().manual_seed(1)
    data[EDGE_TYPE].time = torch.randint(spread, (200, ), generator=generator)
    return data


def parts(data, original):
    r"""Of each part: the times of its interactions, by pair; all are disjoint."""
    known = {tuple(p): t for p, t in zip(original[EDGE_TYPE].edge_index.t().tolist(),
                                         original[EDGE_TYPE].time.tolist())}
    found = [{tuple(p): known[tuple(p)] for p in data[EDGE_TYPE][key].t().tolist()}
             for key in PARTS]
    assert sum(map(len, found)) == len({p for part in found for p in part})
    return found


@pytest.mark.parametrize('spread', [20, 100000])
def test_global_points_in_time(toy_factory, spread):
    original = timed(toy_factory, spread)
    data = TemporalSplit(val=0.1, test=0.2, new_users='keep')(original)
    train, val, test = parts(data, original)
    assert len(train) + len(val) + len(test) == 200
    # What is at the same time is in one part, and each part is as large as that allows.
    assert max(train.values()) < min(val.values()) <= max(val.values()) < min(test.values())
    times = original[EDGE_TYPE].time
    assert len(test) <= 40 < int((times >= max(val.values())).sum())
    assert len(val) + len(test) <= 60 < int((times >= max(train.values())).sum())
    assert sorted(data[EDGE_TYPE].time.tolist()) == sorted(train.values())
    assert original[EDGE_TYPE].edge_index.size(1) == 200


def test_users_without_training_pairs():
    pairs = torch.tensor([[0, 0, 0, 1, 1, 2, 0, 1], [0, 1, 2, 0, 1, 0, 3, 3]])
    data = interaction_data(pairs, 3, 4)
    data[EDGE_TYPE].time = torch.tensor([0, 1, 2, 3, 4, 8, 9, 10])
    kept = TemporalSplit(val=0., test=0.375, new_users='keep')(data.clone())
    assert kept[EDGE_TYPE].test_edge_label_index.tolist() == [[2, 0, 1], [0, 3, 3]]
    dropped = TemporalSplit(val=0., test=0.375)(data.clone())
    assert dropped[EDGE_TYPE].test_edge_label_index.tolist() == [[0, 1], [3, 3]]
    assert dropped[EDGE_TYPE].edge_index.tolist() == kept[EDGE_TYPE].edge_index.tolist()
    late = interaction_data(torch.tensor([[0, 0, 0, 1], [0, 1, 2, 0]]), 2, 3)
    late[EDGE_TYPE].time = torch.arange(4)
    with pytest.raises(ValueError, match="all users of the split 'test' are without training"):
        TemporalSplit(val=0., test=0.25)(late)


@pytest.mark.parametrize('spread', [3, 100000])
def test_the_last_of_each_user(toy_factory, spread):
    original = timed(toy_factory, spread)
    data = TemporalSplit(val=0.2, test=0.3, per_user=True, seed=4)(original)
    count = degrees(original)[0]
    train, val, test = parts(data, original)
    for user in range(30):
        own = [sorted(t for (u, _), t in part.items() if u == user)
               for part in (train, val, test)]
        d = int(count[user])
        assert [len(part) for part in own][1:] == [d * 2 // 10, d * 3 // 10]
        assert own[0] + own[1] + own[2] == sorted(own[0] + own[1] + own[2])
    again, other = (TemporalSplit(val=0.2, test=0.3, per_user=True, seed=s)(original)
                    for s in (4, 5))
    key = 'test_edge_label_index'
    assert torch.equal(data[EDGE_TYPE][key], again[EDGE_TYPE][key])
    assert torch.equal(data[EDGE_TYPE][key], other[EDGE_TYPE][key]) == (spread == 100000)


@pytest.mark.parametrize('val', [True, False])
@pytest.mark.parametrize('order', ['time', 'random'])
def test_leave_one_out(toy_factory, order, val):
    original = timed(toy_factory, 100000)
    small = torch.tensor([[0, 1, 1], [0, 0, 1]])
    pairs = original[EDGE_TYPE].edge_index
    pairs = torch.cat([small, pairs[:, pairs[0] > 1]], dim=1)
    time = torch.cat([torch.tensor([5, 6, 7]), original[EDGE_TYPE].time])[:pairs.size(1)]
    original = interaction_data(pairs, 30, 40)
    original[EDGE_TYPE].time = time
    split = LeaveOneOut(order, val, seed=2)
    data = split(original)
    if not val:
        data[EDGE_TYPE].val_edge_label_index = pairs[:, :0]
    found = parts(data, original)
    for user, d in enumerate(degrees(original)[0].tolist()):
        train, second, last = ([t for (u, _), t in part.items() if u == user] for part in found)
        enough = d > 1 + val
        assert (len(second), len(last)) == (int(enough and val), int(enough))
        assert len(train) == d - len(second) - len(last)
        if order == 'time' and enough:
            assert train + second + last and max(train) < min(second + last)
            assert not val or second[0] < last[0]
    assert torch.equal(split(original)[EDGE_TYPE].test_edge_label_index,
                       data[EDGE_TYPE].test_edge_label_index)
    other = LeaveOneOut(order, val, seed=3)(original)
    assert torch.equal(other[EDGE_TYPE].test_edge_label_index,
                       data[EDGE_TYPE].test_edge_label_index) == (order == 'time')


@pytest.mark.parametrize('build, message', [
    (lambda: TemporalSplit(0.5, 0.5), "'val' is 0.5 and 'test' is 0.5"),
    (lambda: TemporalSplit(0., 0.), 'above 0 and below 1'),
    (lambda: TemporalSplit(-0.1), "'val' is -0.1"),
    (lambda: TemporalSplit(per_user=1), "'per_user' is 1"),
    (lambda: TemporalSplit(new_users='no'), "'new_users' is 'no'"),
    (lambda: TemporalSplit(seed=-1), "'seed' is -1"),
    (lambda: LeaveOneOut('last'), "'order' is 'last'"),
    (lambda: LeaveOneOut(val=None), "'val' is None"),
    (lambda: LeaveOneOut(seed=0.5), "'seed' is 0.5"),
])
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize('split', [TemporalSplit(), LeaveOneOut()])
def test_bad_data(toy_factory, split):
    data = toy_factory(held_out=False)
    with pytest.raises(ValueError, match="'data' has no times; pass time=.* to 'pyg_advcf.data"):
        split(data)
    data[EDGE_TYPE].time = torch.arange(199)
    with pytest.raises(ValueError, match=r"'time' has shape \[199\]"):
        split(data)
    data[EDGE_TYPE].time = torch.full((200, ), float('nan'))
    with pytest.raises(ValueError, match="'time' holds NaN"):
        split(data)
    data = toy_factory()
    data[EDGE_TYPE].time = torch.arange(200)
    with pytest.raises(ValueError, match="already has a split '(val|test)'"):
        split(split(data) if 'val' not in data[EDGE_TYPE] else data)
    pairs = interaction_data(torch.tensor([[0, 1], [0, 0]]), 2, 1)
    pairs[EDGE_TYPE].time = torch.zeros(2)
    with pytest.raises(ValueError, match="the split 'test' would hold no interaction"):
        split(pairs)
