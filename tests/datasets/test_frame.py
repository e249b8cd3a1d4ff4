import copy

import numpy as np
import pandas as pd
import pytest
import torch

from pyg_advcf import EDGE_TYPE, MF, InteractionLoader, fit, load, methods
from pyg_advcf.datasets import FrameData, InteractionDataset, from_frame
from pyg_advcf.transforms import KCore, RandomSplit, SampleUsers

DF = pd.DataFrame({
    'userId': ['u7', 'u1', 'u7', 'u3'], 'movieId': [50, 50, 10, 30],
    'stars': [5., 4., 2., 3.], 'when': pd.to_datetime([3, 1, 2, 4], unit='s'),
})


def test_round_trip():
    frame = from_frame(DF, user='userId', item='movieId', rating='stars', time='when')
    edge_index = frame.data[EDGE_TYPE].edge_index
    assert frame.user_vocab.tolist() == ['u1', 'u3', 'u7']
    assert frame.item_vocab.tolist() == [10, 30, 50]
    back = frame.to_frame(edge_index[0], edge_index[1])
    assert back.user.tolist() == DF.userId.tolist() and back.item.tolist() == DF.movieId.tolist()
    assert frame.data[EDGE_TYPE].rating.tolist() == [5, 4, 2, 3]
    assert frame.data[EDGE_TYPE].time.tolist() == [3, 1, 2, 4]
    assert frame.user_ids(['u7', 'u1']).tolist() == [2, 0]
    assert frame.item_ids([30]).tolist() == [1]


def test_recommendations_to_frame():
    frame = from_frame(DF, user='userId', item='movieId')
    got = frame.to_frame(torch.tensor([2, 0]), torch.tensor([[1, -1], [0, 2]]),
                         torch.tensor([[.5, 0], [.4, .3]]))
    assert got.user.tolist() == ['u7', 'u1', 'u1'] and got.item.tolist() == [30, 10, 50]
    assert got.score.tolist() == pytest.approx([.5, .4, .3])


def test_min_rating_and_time_zone():
    frame = from_frame(DF.assign(when=DF.when.dt.tz_localize('UTC')), user='userId',
                       item='movieId', rating='stars', min_rating=3, time='when')
    assert frame.data[EDGE_TYPE].edge_index.size(1) == 3 and 10 not in frame.item_vocab
    assert frame.data[EDGE_TYPE].time.tolist() == [3, 1, 4]


def test_duplicates():
    twice = pd.DataFrame({'user': [1, 1, 2], 'item': [5, 5, 6], 'r': [1., 2, 3], 't': [9, 8, 7]})
    with pytest.raises(ValueError, match="1 duplicate pairs, the first is user 1.*item 5.*'first'"):
        from_frame(twice)
    kept = {d: from_frame(twice, rating='r', duplicates=d).data[EDGE_TYPE].rating.tolist()
            for d in ('first', 'last')}
    assert kept == {'first': [1, 3], 'last': [2, 3]}
    by_time = from_frame(twice, rating='r', time='t', duplicates='last').data[EDGE_TYPE]
    assert by_time.rating.tolist() == [1, 3] and by_time.time.tolist() == [9, 7]


@pytest.mark.parametrize('column, value, message', [
    ('stars', np.nan, r"column 'stars' \('rating'\) holds 1 NaN, the first in row 2"),
    ('userId', None, r"column 'userId' \('user'\) holds 1 NaN"),
    ('movieId', np.nan, r"column 'movieId' \('item'\) holds 1 NaN"),
    ('when', pd.NaT, r"column 'when' \('time'\) holds 1 NaN"),
])
def test_nan(column, value, message):
    df = DF.copy().astype({'movieId': float})
    df.loc[2, column] = value
    with pytest.raises(ValueError, match=message):
        from_frame(df, user='userId', item='movieId', rating='stars', time='when')


@pytest.mark.parametrize('kwargs, message', [
    (dict(user='userid', item='movieId'), "'user' is 'userid'.*Did you mean 'userId'"),
    (dict(user='userId', item='movieId', rating='star'), "'rating' is 'star'.*'stars'"),
    (dict(user='userId', item='movieId', rating='userId'), 'has dtype .*needs numbers'),
    (dict(user='userId', item='movieId', min_rating=3), "'min_rating' is given without 'rating'"),
    (dict(user='userId', item='movieId', rating='stars', min_rating=6), "lower 'min_rating'"),
    (dict(user='userId', item='movieId', duplicates='drop'), "'duplicates' is 'drop'"),
    (dict(user=None, item='movieId'), "'user' is 'None'"),
    (dict(user=['userId'], item='movieId'), r"'user' is .*Did you mean 'userId'"),
    (dict(user='userId', item='userId'), "'user' and 'item' are both the column 'userId'"),
    *[(dict(user='userId', item='movieId', rating='stars', min_rating=value), "'min_rating' is")
      for value in ('x', True, np.inf, [1])],
])
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        from_frame(DF, **kwargs)


@pytest.mark.parametrize('df', [None, [1], {'user': [1], 'item': [1]}, np.ones((2, 2))])
def test_no_frame(df):
    with pytest.raises(ValueError, match="'df' is a .*, but needs to be a pandas.DataFrame"):
        from_frame(df)


@pytest.mark.parametrize('column, values, message', [
    ('user', [[1], [2], [3]], r"column 'user' \('user'\) holds ids that cannot be hashed or com"),
    ('user', [1, (1, 2), 'a'], 'cannot be hashed or compared with each other'),
    ('user', [object(), object(), object()], 'cannot be hashed or compared'),
    ('item', [True, False, True], r"column 'item' \('item'\) holds True and False, but needs ids"),
    ('rating', [1, 2, np.inf], r"column 'rating' \('rating'\) holds 1 values that are infinite or "
                               'too large, the first in row 2'),
    ('rating', [1, 1e300, 2], 'infinite or too large, the first in row 1'),
    ('rating', [True, False, True], 'has dtype bool, but needs numbers'),
    ('rating', [1j, 2, 3], 'has dtype complex128, but needs numbers'),
    ('rating', pd.to_datetime([1, 2, 3]), 'has dtype datetime64.*, but needs numbers'),
    ('time', [-np.inf, 1, 2], r"column 'time' \('time'\) holds 1 values that are infinite"),
    ('time', pd.to_timedelta([1, 2, 3]), 'has dtype timedelta64.*, but needs numbers'),
])
def test_bad_columns(column, values, message):
    df = pd.DataFrame({'user': ['a', 'b', 'a'], 'item': [1, 1, 2], 'rating': 1., 'time': 1})
    df[column] = pd.Series(values)
    with pytest.raises(ValueError, match=message):
        from_frame(df, rating='rating', time='time')


def test_two_columns_of_one_name():
    df = pd.DataFrame([[1, 2, 3]], columns=['user', 'item', 'item'])
    with pytest.raises(ValueError, match=r"'item' is 'item', which names 2 column\(s\) at once"):
        from_frame(df)


def test_extension_types():
    df = pd.DataFrame({'user': pd.array([2, 1], dtype='Int64'), 'item': ['b', 'a'],
                       'rating': pd.array([.5, 1], dtype='Float64'),
                       'time': pd.array([3, 4], dtype='Int64')})
    store = from_frame(df, rating='rating', time='time').data[EDGE_TYPE]
    assert store.edge_index.tolist() == [[1, 0], [1, 0]]
    assert store.rating.tolist() == [.5, 1] and store.time.tolist() == [3, 4]


def test_rows_keep_their_order():
    # Also if duplicates are dropped and the index is not sorted.
    df = pd.DataFrame({'user': [3, 1, 3, 2], 'item': [0, 0, 0, 0], 't': [9, 8, 7, 6]},
                      index=[9, 4, 7, 4])
    for keep, users in (('first', [3, 1, 2]), ('last', [1, 3, 2])):
        frame = from_frame(df, duplicates=keep)
        assert frame.user_vocab[frame.data[EDGE_TYPE].edge_index[0]].tolist() == users
    by_time = from_frame(df, time='t', duplicates='last').data[EDGE_TYPE]
    assert by_time.time.tolist() == [9, 8, 6]


def test_duplicates_within_a_second_are_ordered_by_time():
    df = pd.DataFrame({'user': [1, 1], 'item': [1, 1], 'rating': [1., 2.],
                       'time': pd.to_datetime([900, 100], unit='ms')})
    for keep, rating in (('first', 2), ('last', 1)):
        store = from_frame(df, rating='rating', time='time', duplicates=keep).data[EDGE_TYPE]
        assert store.rating.tolist() == [rating]


def test_strings_are_hashed_once(monkeypatch):
    # Hashing the ids of all rows takes most of the time.
    calls, factorize = [], pd.factorize
    monkeypatch.setattr(pd, 'factorize', lambda *a, **k: calls.append(1) or factorize(*a, **k))

    def fail(*args, **kwargs):
        raise AssertionError('compares whole rows')

    monkeypatch.setattr(pd.DataFrame, 'duplicated', fail)
    monkeypatch.setattr(pd.DataFrame, 'drop_duplicates', fail)
    twice = pd.DataFrame({'user': ['a', 'a'], 'item': ['x', 'x']})
    assert from_frame(twice, duplicates='first').data[EDGE_TYPE].edge_index.tolist() == [[0], [0]]
    assert len(calls) == 2


@pytest.mark.parametrize('raw', ['u1', 3, None, [['u1']], {'u1', 'u7'}, object()])
def test_what_is_no_list_of_ids(raw):
    with pytest.raises(ValueError, match="'raw' is .*, but the users need to be a list"):
        from_frame(DF, user='userId', item='movieId').user_ids(raw)


@pytest.mark.parametrize('raw', [[50], [50.], torch.tensor([50]), np.array([50]), pd.Series([50])])
def test_forms_of_a_list_of_ids(raw):
    frame = from_frame(DF, user='userId', item='movieId')
    assert frame.item_ids(raw).tolist() == [2]
    for unknown in ([50.5], [None], ['50'], [True], [99]):
        with pytest.raises(ValueError, match="'raw' holds the item .*, which does not occur"):
            frame.item_ids(unknown)


def test_ids_that_are_tuples():
    frame = from_frame(pd.DataFrame({'user': [(1, 2), (0, 1)], 'item': [1, 2]}))
    assert frame.user_ids([(1, 2)]).tolist() == [1]


@pytest.mark.parametrize('arguments, message', [
    (([0], torch.tensor([0])), r"'user' is \[0\], but needs to be a tensor"),
    ((torch.tensor([0]), None), "'item' is None, but needs to be a tensor"),
    ((torch.tensor([0]), torch.tensor([0]), 'x'), "'score' is 'x', but needs to be a tensor"),
    ((torch.tensor([9]), torch.tensor([0])), "'user' holds the id 9"),
    ((torch.tensor([0]), torch.tensor([[0, 3]])), "'item' holds the id 3"),
    ((torch.tensor([0.]), torch.tensor([0])), "'user' has dtype torch.float32"),
    ((torch.tensor([0, 1]), torch.tensor([0])), r'the shapes \[\[2\], \[1\], None\], but need to'),
    ((torch.tensor([0]), torch.tensor([[0, 1]]), torch.tensor([1.])), 'the shapes'),
    ((torch.tensor(0), torch.tensor(0)), 'the shapes'),
])
def test_bad_arguments_of_to_frame(arguments, message):
    with pytest.raises(ValueError, match=message):
        from_frame(DF, user='userId', item='movieId').to_frame(*arguments)


def test_no_recommendations_to_frame():
    frame = from_frame(DF, user='userId', item='movieId')
    none = torch.empty(0, dtype=torch.long)
    assert len(frame.to_frame(none, none.view(0, 3), torch.empty(0, 3))) == 0


def test_columns_without_names():
    frame = from_frame(pd.DataFrame([[7, 1], [8, 1]]), user=0, item=1)
    assert frame.user_vocab.tolist() == [7, 8]
    with pytest.raises(ValueError, match="'user' is '2'"):
        from_frame(pd.DataFrame([[7, 1], [8, 1]]), user=2, item=1)


def test_bad_frames():
    with pytest.raises(ValueError, match="no interaction of 'df' is left: the frame is empty"):
        from_frame(DF[:0], user='userId', item='movieId')
    frame = from_frame(DF, user='userId', item='movieId')
    with pytest.raises(ValueError, match="'raw' holds the user 'u9', which does not occur"):
        frame.user_ids(['u1', 'u9'])


@pytest.fixture
def many():
    # Users and items of many different degrees, their ids not in the order of their degrees.
    rng = np.random.default_rng(0)
    pairs = {(f'u{rng.integers(60):03}', f'i{int(rng.geometric(.05))}') for _ in range(600)}
    return pd.DataFrame(sorted(pairs), columns=['user', 'item'])


def _raw_pairs(data, key='edge_index'):
    pairs = FrameData(data).to_frame(*data[EDGE_TYPE][key])
    return set(pairs.itertuples(index=False, name=None))


def test_raw_ids_follow_from_a_frame_to_recommendations_of_a_loaded_recommender(many, tmp_path):
    frame = from_frame(many)
    before = frame.user_vocab
    frame.data = SampleUsers(.7)(KCore(5)(frame.data))
    users, items = frame.user_vocab, frame.item_vocab
    assert len(users) < len(before) and not users.equals(before[:len(users)])
    expected = {p for p in many.itertuples(index=False, name=None) if p[0] in users and
                p[1] in items}
    assert _raw_pairs(frame.data) == expected
    frame.data = RandomSplit(val=.1, test=.2)(frame.data)
    splits = [_raw_pairs(frame.data, key) for key in
              ('edge_index', 'val_edge_label_index', 'test_edge_label_index')]
    assert set.union(*splits) == expected and sum(map(len, splits)) == len(expected)

    recommender = methods.bpr(MF(frame.data, dim=8))
    fit(recommender, InteractionLoader(frame.data, batch_size=64), lr=1e-2, epochs=2)
    recommender.save(tmp_path / 'saved')
    for model in (recommender, load(tmp_path / 'saved')):
        ours = FrameData.of(model)
        assert ours.user_vocab.equals(users) and ours.item_vocab.equals(items)
        raw = [users[-1], users[3]]
        item, score = model.recommend(ours.user_ids(raw), k=4)
        found = ours.to_frame(ours.user_ids(raw), item, score)
        z = model.backbone()
        for user in raw:
            scores = z.user[users.get_loc(user)] @ z.item.t()
            best = sorted((i for i in items if (user, i) not in splits[0]),
                          key=lambda i: -scores[items.get_loc(i)])
            assert found[found.user == user].item.tolist() == best[:4]
        removed = next(u for u in before if u not in users)
        with pytest.raises(ValueError, match=f"the user '{removed}', which does not occur in the"):
            ours.user_ids([removed])


def test_raw_ids_survive_what_pyg_does_with_data(many, tmp_path):
    data = from_frame(many).data
    users = data['user'].raw_id
    for same in (data.to('cpu'), copy.copy(data), copy.deepcopy(data), data.clone(),
                 data.contiguous()):
        assert same['user'].raw_id.equals(users) and same['user'].num_nodes == len(users)
    assert data.validate()
    part = data.subgraph({'user': torch.tensor([1, 4])})  # Leaves the index as it is.
    with pytest.raises(ValueError, match=f"holds {len(users)} raw ids, .* each of 2 nodes"):
        FrameData(part).user_ids(['u001'])


def test_raw_ids_in_the_processed_file_of_a_dataset(many, tmp_path):
    class Shop(InteractionDataset):
        name, files, url, checksums = 'shop', {'all': 'shop.csv'}, None, {}

        def read(self):
            return from_frame(pd.read_csv(self.raw_paths[0])).data

    (tmp_path / 'raw').mkdir()
    many.to_csv(tmp_path / 'raw' / 'shop.csv', index=False)
    kept = KCore(5)(from_frame(many).data)
    for _ in range(2):  # Processed, then loaded.
        data = Shop(str(tmp_path), pre_transform=KCore(5))[0]
        assert data['user'].raw_id.equals(kept['user'].raw_id)
        assert data['item'].raw_id.equals(kept['item'].raw_id)


def test_raw_ids_of_data_of_any_source(toy):
    with pytest.raises(ValueError, match=r"data\['user'\].raw_id' is None.*from_frame"):
        FrameData(toy).user_ids([1])
    core = FrameData(KCore(4)(toy))
    raw = core.data['user'].raw_id
    assert raw.numel() < 30 and core.user_ids(raw).tolist() == list(range(raw.numel()))
    core.data['user'].raw_id = pd.Index(['a'] * raw.numel())
    with pytest.raises(ValueError, match=', 1 of them distinct'):
        core.user_ids(['a'])
    for wrong in (None, toy, 'x'):
        with pytest.raises(ValueError, match="'recommender' is of type"):
            FrameData.of(wrong)


def test_categories_and_ids_that_cannot_be_saved(tmp_path):
    df = pd.DataFrame({'user': pd.Categorical([3, 1, 3]), 'item': [1, 1, 2]})
    frame = from_frame(df)
    methods.bpr(MF(frame.data, dim=4)).save(tmp_path / 'saved')
    assert FrameData.of(load(tmp_path / 'saved')).user_ids([3]).tolist() == [1]
    large = from_frame(df.assign(item=np.array([2**63 + 1, 2**63 + 1, 2], dtype=np.uint64)))
    with pytest.raises(ValueError, match='only strings and integers of 64 bits'):
        methods.bpr(MF(large.data, dim=4)).save(tmp_path / 'large')
