import numpy as np
import pandas as pd
import pytest
import torch

from pyg_advcf import EDGE_TYPE
from pyg_advcf.datasets import from_frame

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
])
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        from_frame(DF, **kwargs)


def test_columns_without_names():
    frame = from_frame(pd.DataFrame([[7, 1], [8, 1]]), user=0, item=1)
    assert frame.user_vocab.tolist() == [7, 8]
    with pytest.raises(ValueError, match="'user' is '2'"):
        from_frame(pd.DataFrame([[7, 1], [8, 1]]), user=2, item=1)


def test_bad_frames():
    with pytest.raises(ValueError, match='the frame is empty'):
        from_frame(DF[:0], user='userId', item='movieId')
    frame = from_frame(DF, user='userId', item='movieId')
    with pytest.raises(ValueError, match="the user 'u9' does not occur in the frame"):
        frame.user_ids(['u1', 'u9'])
