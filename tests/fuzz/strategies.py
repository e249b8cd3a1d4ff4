r"""Strategies of frames, interactions, batches, scores and embeddings: all of them right."""
import datetime

import pandas as pd
import torch
from hypothesis import strategies as st

from pyg_advcf import Batch, Embeddings, interaction_data

SPLITS = ('val', 'test', 'test_other', 'outer')


def keys_to_pairs(keys, num_items, dtype=torch.long):
    keys = torch.tensor(list(keys), dtype=torch.long)
    return torch.stack([keys // num_items, keys % num_items]).to(dtype)


@st.composite
def interactions(draw, splits=SPLITS, largest=8):
    r"""Distinct pairs and their sizes: the arguments of ``interaction_data``."""
    num_users, num_items = draw(st.integers(2, largest)), draw(st.integers(3, largest))
    cells = num_users * num_items
    keys = draw(st.lists(st.integers(0, cells - 1), unique=True, min_size=1,
                         max_size=max(1, cells * 2 // 3)))
    dtype = draw(st.sampled_from((torch.long, torch.long, torch.int32)))
    parts, rest = {}, keys
    for split in splits:
        if len(rest) > 3 and draw(st.booleans()):
            size = draw(st.integers(1, max(1, len(rest) // 3)))
            parts[split], rest = keys_to_pairs(rest[:size], num_items, dtype), rest[size:]
    return {'edge_index': keys_to_pairs(rest, num_items, dtype), 'num_users': num_users,
            'num_items': num_items, **parts}


def with_a_test_set(given):
    return any(key.startswith('test') for key in given)


def data_of(given):
    return interaction_data(**given)


@st.composite
def larger_interactions(draw):
    r"""Random pairs of a few dozen users and items, by a seed: cheap to draw."""
    num_users, num_items = draw(st.integers(6, 20)), draw(st.integers(8, 25))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    keys = torch.randperm(num_users * num_items, generator=generator)
    keys = keys[:draw(st.integers(20, max(21, num_users * num_items // 3)))]
    return {'edge_index': keys_to_pairs(keys, num_items), 'num_users': num_users,
            'num_items': num_items}


def floats(low=-20., high=20.):
    return st.floats(low, high, width=32, allow_subnormal=False)


@st.composite
def scores(draw, rows=None, low=-20., high=20., dtype=torch.float32):
    r"""``pos [B]`` and ``neg [B, N]``."""
    rows = draw(st.integers(1, 5)) if rows is None else rows
    columns = draw(st.integers(1, 4))
    values = draw(st.lists(floats(low, high), min_size=rows * (columns + 1),
                           max_size=rows * (columns + 1)))
    values = torch.tensor(values, dtype=torch.float32).to(dtype).view(rows, columns + 1)
    return values[:, 0].contiguous(), values[:, 1:].contiguous()


@st.composite
def batches(draw, num_users, num_items, num_interactions=None, columns=None):
    r"""Any ids in range, with negatives of each row, some of them perhaps masked."""
    rows = draw(st.integers(1, 5))
    columns = draw(st.integers(1, 4)) if columns is None else columns

    def ids(size, count):
        return torch.tensor(draw(st.lists(st.integers(0, size - 1), min_size=count,
                                          max_size=count)))

    neg_mask = None
    if draw(st.integers(0, 3)) == 0:
        neg_mask = torch.tensor(draw(st.lists(st.booleans(), min_size=rows * columns,
                                              max_size=rows * columns))).view(rows, columns)
        neg_mask[:, 0] = True
    return Batch(ids(num_users, rows), ids(num_items, rows),
                 ids(num_items, rows * columns).view(rows, columns),
                 ids(num_interactions or rows, rows), neg_mask)


@st.composite
def embeddings(draw, num_users, num_items, width=None, scale=1.):
    r"""Normal tables by a seed."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    width = draw(st.integers(1, 4)) if width is None else width
    return Embeddings(*(scale * torch.randn(size, width, generator=generator)
                        for size in (num_users, num_items)))


_RAW = {
    'integers': st.integers(-10, 10),
    'large integers': st.integers(-2**62, 2**62),
    'text': st.text('abzäß0 ', min_size=0, max_size=3),
    'floats': st.floats(-5, 5, allow_nan=False).map(lambda v: round(v * 2) / 2),
    'dates': st.dates(datetime.date(2000, 1, 1), datetime.date(2000, 1, 20)).map(pd.Timestamp),
}


@st.composite
def frames(draw):
    r"""A frame of distinct pairs, and what its columns are called: arguments of ``from_frame``."""
    kinds = [draw(st.sampled_from(sorted(_RAW))) for _ in range(2)]
    pairs = draw(st.lists(st.tuples(_RAW[kinds[0]], _RAW[kinds[1]]), min_size=1, max_size=12,
                          unique=True))
    df = pd.DataFrame(pairs, columns=['u', 'i'])
    for column in ('u', 'i'):
        if draw(st.integers(0, 4)) == 0:
            df[column] = df[column].astype('category' if draw(st.booleans()) else object)
    given = {'df': df, 'user': 'u', 'item': 'i'}
    if draw(st.booleans()):
        df['r'] = draw(st.lists(st.integers(1, 5), min_size=len(df), max_size=len(df)))
        given['rating'] = 'r'
        if draw(st.booleans()):
            given['min_rating'] = draw(st.integers(1, 5))
    if draw(st.booleans()):
        df['t'] = draw(st.lists(st.integers(0, 10**9), min_size=len(df), max_size=len(df)))
        if draw(st.booleans()):
            df['t'] = pd.to_datetime(df['t'], unit='s')
        given['time'] = 't'
    if draw(st.booleans()):
        given['duplicates'] = draw(st.sampled_from(('first', 'last')))
        again = draw(st.lists(st.integers(0, len(df) - 1), max_size=4))
        given['df'] = pd.concat([df, df.iloc[again]])
    if draw(st.integers(0, 4)) == 0:
        given['df'] = given['df'].set_axis(
            draw(st.permutations(range(len(given['df'])))), axis=0)
    return given
