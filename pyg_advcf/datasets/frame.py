r"""From a table of raw interactions to a graph, and back."""
from typing import NamedTuple, Optional

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_advcf._checks import check_name
from pyg_advcf.interactions import EDGE_TYPE, interaction_data


class FrameData(NamedTuple):
    r"""What :func:`from_frame` returns.

    Attributes:
        data: The interactions.
        user_vocab: Raw ids by user id.
        item_vocab: Raw ids by item id.
    """
    data: HeteroData
    user_vocab: pd.Index
    item_vocab: pd.Index

    def user_ids(self, raw: list) -> Tensor:
        r"""User ids of raw ids.

        Raises:
            ValueError: If a raw id does not occur in the frame.
        """
        return _encode('user', raw, self.user_vocab)

    def item_ids(self, raw: list) -> Tensor:
        r"""Item ids of raw ids; raises as :meth:`user_ids`."""
        return _encode('item', raw, self.item_vocab)

    def to_frame(self, user: Tensor, item: Tensor, score: Optional[Tensor] = None) -> pd.DataFrame:
        r"""A frame of raw ids, for example of recommendations.

        Args:
            user: User ids, ``[B]``.
            item: Item ids, ``[B]`` or ``[B, k]``; places that hold ``-1`` are left out.
            score: In the shape of ``item``.
        """
        user, item = user.cpu(), item.cpu().view(item.size(0), -1)
        columns = {'user': user.view(-1, 1).expand(item.shape), 'item': item}
        if score is not None:
            columns['score'] = score.cpu().view(item.shape)
        keep = item >= 0
        columns = {key: value[keep].numpy() for key, value in columns.items()}
        columns['user'] = self.user_vocab[columns['user']]
        columns['item'] = self.item_vocab[columns['item']]
        return pd.DataFrame(columns)


def _encode(what: str, raw: list, vocab: pd.Index) -> Tensor:
    ids = vocab.get_indexer(pd.Index(raw))
    if (ids < 0).any():
        raise ValueError(f"the {what} {list(raw)[int(np.argmax(ids < 0))]!r} does not occur in "
                         f"the frame; {what}s without interactions cannot be embedded")
    return torch.from_numpy(ids.astype(np.int64))


def from_frame(
    df: pd.DataFrame,
    user: str = 'user',
    item: str = 'item',
    rating: Optional[str] = None,
    min_rating: Optional[float] = None,
    time: Optional[str] = None,
    duplicates: str = 'error',
) -> FrameData:
    r"""Turns a frame with a row per interaction into :class:`~torch_geometric.data.HeteroData`.

    Raw ids may be anything pandas can compare; they are numbered in sorted order.

    Args:
        df: The frame.
        user: Column of raw user ids.
        item: Column of raw item ids.
        rating: Column of ratings; kept as ``rating`` of the edges.
        min_rating: Rows rated lower are no interactions.
        time: Column of times (numbers or datetimes); kept as ``time`` of the edges, datetimes as
            seconds since 1970.
        duplicates: What to do about a pair that occurs twice: ``'error'``, or ``'first'`` or
            ``'last'`` to keep that row (by time, if given).

    Raises:
        ValueError: If a column is missing (the nearest name is suggested), an id, rating or time
            is NaN, a pair occurs twice, or no row is left.

    Example:
        >>> df = pd.DataFrame({'who': ['ann', 'bob', 'ann'], 'what': ['x', 'x', 'y']})
        >>> frame = from_frame(df, user='who', item='what')
        >>> frame.data['user', 'interacts', 'item'].edge_index
        tensor([[0, 1, 0],
                [0, 0, 1]])
        >>> frame.user_ids(['bob'])
        tensor([1])
    """
    check_name('duplicates', duplicates, ('error', 'first', 'last'))
    if min_rating is not None and rating is None:
        raise ValueError("'min_rating' is given without 'rating', the column it applies to")
    names = {'user': user, 'item': item, 'rating': rating, 'time': time}
    names = {argument: name for argument, name in names.items() if name is not None}
    for argument, name in names.items():
        if name not in df.columns:
            check_name(argument, str(name), set(map(str, df.columns)) - {str(name)})
        missing = df[name].isna()
        if missing.any():
            raise ValueError(f"column '{name}' ('{argument}') holds {int(missing.sum())} NaN, the "
                             f"first in row {df.index[int(missing.to_numpy().argmax())]!r}; drop "
                             f"or fill these rows")
    df = pd.DataFrame({argument: df[name] for argument, name in names.items()})
    for argument in ('rating', 'time'):
        if argument in df and not (pd.api.types.is_numeric_dtype(df[argument])
                                   or pd.api.types.is_datetime64_any_dtype(df[argument])):
            raise ValueError(f"column '{names[argument]}' ('{argument}') has dtype "
                             f"{df[argument].dtype}, but needs numbers; convert it with "
                             f"pandas.to_numeric or pandas.to_datetime")
    if min_rating is not None:
        df = df[df.rating >= min_rating]
    if df.empty:
        raise ValueError("no interaction is left" + (
            f" with a rating of at least {min_rating}; lower 'min_rating'"
            if min_rating is not None else ": the frame is empty"))
    repeated = df.duplicated(['user', 'item'])
    if repeated.any():
        if duplicates == 'error':
            first = [df.loc[repeated, column].tolist()[0] for column in ('user', 'item')]
            raise ValueError(f"{int(repeated.sum())} duplicate pairs, the first is user "
                             f"{first[0]!r} and item {first[1]!r}; pass "
                             f"duplicates='first' or 'last' to keep one row of each")
        if time is not None:
            df = df.sort_values('time', kind='stable')
        df = df.drop_duplicates(['user', 'item'], keep=duplicates).sort_index()
    user_code, user_vocab = pd.factorize(df['user'], sort=True)
    item_code, item_vocab = pd.factorize(df['item'], sort=True)
    edge_index = torch.from_numpy(np.stack([user_code, item_code]).astype(np.int64))
    data = interaction_data(edge_index, len(user_vocab), len(item_vocab))
    if rating is not None:
        data[EDGE_TYPE].rating = torch.tensor(df['rating'].to_numpy(dtype=np.float32))
    if time is not None:
        stamp = df['time']
        if pd.api.types.is_datetime64_any_dtype(stamp):
            stamp = (stamp - pd.Timestamp(0, tz=stamp.dt.tz)) // pd.Timedelta(seconds=1)
        data[EDGE_TYPE].time = torch.tensor(stamp.to_numpy().copy())
    return FrameData(data, pd.Index(user_vocab), pd.Index(item_vocab))
