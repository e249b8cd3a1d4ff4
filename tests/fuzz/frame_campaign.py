r"""``from_frame`` and its vocabularies, against a loop over the rows."""
import math

import numpy as np
import pandas as pd
import torch
from hypothesis import strategies as st

from pyg_advcf import EDGE_TYPE
from pyg_advcf.datasets import from_frame

from .call import Call, becomes, corrupted, fine, turns
from .strategies import frames
from .wrong import by_signature


def expected(df, user, item, rating=None, time=None, min_rating=None, duplicates='error'):
    r"""Rows by pair, in order; ``None`` if the arguments are not right after all."""
    rows = [dict(zip('uirt', (df[user].iloc[n], df[item].iloc[n],
                              df[rating].iloc[n] if rating else None,
                              df[time].iloc[n] if time else None))) | {'n': n}
            for n in range(len(df))]
    if min_rating is not None:
        rows = [row for row in rows if row['r'] >= min_rating]
    kept = {}
    for row in sorted(rows, key=lambda row: row['t']) if time else rows:
        pair = row['u'], row['i']
        if pair not in kept or duplicates == 'last':
            kept[pair] = row
    return sorted(kept.values(), key=lambda row: row['n'])


def check(given):
    def problem(found):
        rows = expected(**given)
        store = found.data[EDGE_TYPE]
        raw = [(found.user_vocab[u], found.item_vocab[i]) for u, i in store.edge_index.t().tolist()]
        by_label = given['df'].index.is_monotonic_increasing and given['df'].index.is_unique
        pairs = [(row['u'], row['i']) for row in rows]
        # Repeated rows come back in the order of their labels, which may not be the rows'.
        if (raw != pairs) if by_label else (sorted(map(str, raw)) != sorted(map(str, pairs))):
            return f'pairs {raw} in place of {pairs}'
        for vocab, key in ((found.user_vocab, 'u'), (found.item_vocab, 'i')):
            if list(vocab) != sorted({row[key] for row in rows}):
                return f'vocabulary {list(vocab)}'
        if found.user_ids([u for u, _ in raw]).tolist() != store.edge_index[0].tolist():
            return 'user_ids does not invert the vocabulary'
        for column, key in (('rating', 'r'), ('time', 't')):
            if column in given:
                values = dict(zip(pairs, (row[key] for row in rows)))
                want = [values[pair] for pair in raw]
                if column == 'time' and isinstance(want[0], pd.Timestamp):
                    want = [int(value.timestamp()) for value in want]
                if store[column].tolist() != want:
                    return f'{column} {store[column].tolist()} in place of {want}'
        return None

    return problem


def _cells(column, value):
    def change(df):
        df = df.copy()
        df[column] = df[column].astype(object)
        df.iloc[0, df.columns.get_loc(column)] = value
        return df

    return change


def _column(column, values):
    def change(df):
        df = df.copy()
        df[column] = [values[n % len(values)] for n in range(len(df))]
        return df

    return change


def corruptions(given):
    found = [c for c in by_signature(from_frame, skip=('df', 'time', 'min_rating', 'rating'))
             if c.label not in ('a number', 'a tensor')]
    for label, value in (('None', None), ('a list', [[0, 1]]), ('a dict', {'u': [0], 'i': [0]}),
                         ('an array', np.zeros((2, 2))), ('a column', pd.Series([1, 2]))):
        found.append(becomes('df', label, value))
    found += [
        turns('df', 'empty', lambda df: df.iloc[:0]),
        turns('df', 'without a column', lambda df: df.drop(columns='u')),
        turns('df', 'a column twice', lambda df: pd.concat([df, df[['u']]], axis=1)),
        turns('df', 'NaN among users', _cells('u', float('nan'))),
        turns('df', 'None among items', _cells('i', None)),
        turns('df', 'NaT among users', _cells('u', pd.NaT)),
        turns('df', 'NA among items', _cells('i', pd.NA)),
        # Of a row that is left out for its rating, no id is looked at.
        *(turns('df', label, _cells(column, value), None if 'min_rating' in given else True)
          for label, column, value in (('ids that are lists', 'u', [1, 2]),
                                       ('ids that are sets', 'i', {1}))),
        becomes('item', 'the column of users', 'u'),
        becomes('user', 'a missing column', 'no_such_column'),
        becomes('rating', 'a missing column', 'no_such_column'),
        becomes('time', 'a missing column', 'no_such_column'),
        becomes('rating', 'a column of ids that are text', 'text'),
        becomes('time', 'a column of text', 'text'),
    ]
    found += [becomes('min_rating', 'an unreachable one', 1e9)]
    if 'rating' in given:
        found += [becomes('min_rating', label, value) for label, value in (
            ('NaN', math.nan), ('a text', '3'), ('a list', [3]), ('complex', 1j))]
        found += [turns('df', label, _column('r', values)) for label, values in (
            ('ratings that are text', ['a', 'b']), ('NaN among ratings', [math.nan]),
            ('ratings that are complex', [1j]), ('ratings beyond float32', [1e300]),
            ('infinite ratings', [math.inf]))]
    else:
        found.append(becomes('min_rating', 'without ratings', 3))
    if 'time' in given:
        found += [turns('df', label, _column('t', values)) for label, values in (
            ('times that are text', ['2020']), ('NaT among times', [pd.NaT]),
            ('times that are complex', [1j]), ('infinite times', [math.inf]))]
    df = given['df']
    if given.get('duplicates') and df.duplicated(['u', 'i']).any() and 'min_rating' not in given:
        found += [becomes('duplicates', 'error, but there are some', 'error')] * 3
    # Ids of several types have no order: right or refused.
    return found + [turns('df', 'ids of two types', _cells('u', ('a', 1)), None)]


@st.composite
def _calls(draw) -> Call:
    given = draw(frames())
    given['df'] = given['df'].assign(text='x')
    refused = False
    if 'min_rating' in given and not (given['df'].r >= given['min_rating']).any():
        refused = True
    found = corrupted('from_frame', lambda given: from_frame(**given), given, corruptions(given),
                      check(given), refused)
    if 'two types' in found.wrong:
        found.check = fine
    return found


@st.composite
def _lookups(draw) -> Call:
    users = draw(st.lists(st.integers(0, 20), unique=True, min_size=1, max_size=5))
    frame = from_frame(pd.DataFrame({'u': users, 'i': users}), 'u', 'i')
    given = {'raw': draw(st.lists(st.sampled_from(users), max_size=4))}
    corruptions = [becomes('raw', label, value) for label, value in (
        ('unknown', [99]), ('text', ['x']), ('None', None), ('a number', 3), ('NaN', [math.nan]),
        ('a list of lists', [[1]]), ('a mixture', [users[0], 'x']))]
    ids = {raw: n for n, raw in enumerate(sorted(users))}

    def problem(found):
        want = [ids[raw] for raw in given['raw']]
        return None if found.tolist() == want and found.dtype == torch.long else f'{found}'

    return corrupted('FrameData.user_ids', lambda g: frame.user_ids(g['raw']), given,
                     corruptions, problem)


@st.composite
def _tables(draw) -> Call:
    frame = from_frame(pd.DataFrame({'u': ['a', 'b'], 'i': [7, 5]}), 'u', 'i')
    item = draw(st.lists(st.integers(-1, 1), min_size=2, max_size=2).filter(lambda i: max(i) >= 0))
    given = {'user': torch.tensor([1, 0]), 'item': torch.tensor(item)}
    ids = [('a text', 'x'), ('None', None), ('out of range', torch.tensor([2, 2])),
           ('fractions', torch.tensor([0., 1.]))]
    corruptions = [becomes(name, label, value) for name in given for label, value in ids]
    corruptions += [becomes('user', 'negative', torch.tensor([-1, -1])),
                    becomes('user', 'of another length', torch.tensor([0, 1, 1])),
                    becomes('item', 'of another length', torch.tensor([0, 1, 1, 0])),
                    becomes('score', 'of another shape', torch.ones(3))]

    def problem(found):
        want = [(u, (5, 7)[i]) for u, i in zip('ba', item) if i >= 0]
        have = list(zip(found['user'], found['item']))
        return None if have == want else f'{have} in place of {want}'

    return corrupted('FrameData.to_frame', lambda g: frame.to_frame(**g), given, corruptions,
                     problem)


CALLS = st.one_of(_calls(), _calls(), _calls(), _calls(), _lookups(), _tables())
