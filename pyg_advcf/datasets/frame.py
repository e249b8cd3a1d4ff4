r"""From a table of raw interactions to a graph, and back."""
import dataclasses
import math
import numbers
import reprlib
import warnings
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Optional

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_ids, check_name
from pyg_advcf.interactions import EDGE_TYPE, interaction_data, resolve_edge_type
from pyg_advcf.record import arguments, is_recorded

if TYPE_CHECKING:
    from pyg_advcf.methods import Recommender


def _vocab(data: HeteroData, node_type: str) -> pd.Index:
    raw = data[node_type].get('raw_id')
    if isinstance(raw, Tensor):
        raw = pd.Index(raw.cpu().numpy())
    name = f"data['{node_type}'].raw_id"
    if not isinstance(raw, pd.Index):
        raise ValueError(f"'{name}' is {reprlib.repr(raw)}, but needs to be the raw ids, as a "
                         f"pandas.Index or a tensor; build the data with "
                         f"'pyg_advcf.datasets.from_frame'")
    if len(raw) != data[node_type].num_nodes or not raw.is_unique:
        raise ValueError(f"'{name}' holds {len(raw)} raw ids, {raw.nunique()} of them distinct, "
                         f"but needs one for each of {data[node_type].num_nodes} nodes; drop nodes "
                         f"with the transforms of this library, such as 'KCore'")
    return raw


@dataclasses.dataclass
class FrameData:
    r"""Interactions whose raw ids are known; what :func:`from_frame` returns.

    The raw ids are part of the data, ``data['user'].raw_id`` and ``data['item'].raw_id``, by user
    and item id: splits, samples, cores and saved recommenders have those of their own nodes. So
    answers are those of the data that the attribute :attr:`data` holds *now*: assign what a
    transform returns, wrap it as ``FrameData(data)``, or ask for the data of a recommender with
    :meth:`of`.

    Args:
        data: The interactions, with the attribute ``raw_id`` of users and items: a
            :class:`pandas.Index` or a tensor.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Example:
        >>> from pyg_advcf.transforms import KCore
        >>> df = pd.DataFrame({'user': ['ann', 'bob', 'bob', 'cid', 'cid'],
        ...                    'item': ['x', 'y', 'z', 'y', 'z']})
        >>> frame = from_frame(df)
        >>> frame.user_ids(['bob'])
        tensor([1])
        >>> frame.data = KCore(2)(frame.data)
        >>> frame.user_ids(['bob']), frame.item_vocab.tolist()
        (tensor([0]), ['y', 'z'])
    """
    data: HeteroData
    edge_type: Optional[EdgeType] = None

    @classmethod
    def of(cls, recommender: 'Recommender') -> 'FrameData':
        r"""The data that a recommender was built from, also a loaded one.

        Args:
            recommender: A recommender or a backbone.

        Raises:
            ValueError: If it is none, or was not built from data.

        Example:
            >>> from pyg_advcf import MF, methods
            >>> df = pd.DataFrame({'user': ['ann', 'bob'], 'item': ['x', 'y']})
            >>> recommender = methods.bpr(MF(from_frame(df).data, dim=4))
            >>> FrameData.of(recommender).user_vocab.tolist()
            ['ann', 'bob']
        """
        backbone = getattr(recommender, 'backbone', recommender)
        data = arguments(backbone).get('data') if is_recorded(backbone) else None
        if not isinstance(data, HeteroData):
            raise ValueError(f"'recommender' is of type {type(recommender).__name__}, but needs to "
                             f"be a recommender or a backbone that was built from HeteroData")
        return cls(data, getattr(backbone, 'edge_type', None))

    @property
    def user_vocab(self) -> pd.Index:
        r"""Raw ids by user id.

        Raises:
            ValueError: If the data do not have one raw id for each user, all distinct.
        """
        return _vocab(self.data, resolve_edge_type(self.data, self.edge_type)[0])

    @property
    def item_vocab(self) -> pd.Index:
        r"""Raw ids by item id; raises as :attr:`user_vocab`."""
        return _vocab(self.data, resolve_edge_type(self.data, self.edge_type)[2])

    def user_ids(self, raw: Iterable) -> Tensor:
        r"""User ids of raw ids.

        Raises:
            ValueError: If ``raw`` is no list of ids, or if one does not occur in the data.
        """
        return _encode('user', raw, self.user_vocab)

    def item_ids(self, raw: Iterable) -> Tensor:
        r"""Item ids of raw ids; raises as :meth:`user_ids`."""
        return _encode('item', raw, self.item_vocab)

    def to_frame(self, user: Tensor, item: Tensor, score: Optional[Tensor] = None) -> pd.DataFrame:
        r"""A frame of raw ids, for example of recommendations.

        Args:
            user: User ids, ``[B]``.
            item: Item ids, ``[B]`` or ``[B, k]``; places that hold ``-1`` are left out.
            score: In the shape of ``item``.

        Raises:
            ValueError: If an argument is no tensor or of another shape, or an id is out of range.
        """
        for argument, value in (('user', user), ('item', item), ('score', score)):
            if not isinstance(value, Tensor) and not (argument == 'score' and value is None):
                raise ValueError(f"'{argument}' is {value!r}, but needs to be a tensor")
        if user.dim() != 1 or item.dim() not in (1, 2) or item.size(0) != user.size(0) or (
                score is not None and score.shape != item.shape):
            shapes = [None if x is None else list(x.shape) for x in (user, item, score)]
            raise ValueError(f"'user', 'item' and 'score' have the shapes {shapes}, but need to be "
                             f"[B], [B] or [B, k], and as 'item'")
        user_vocab, item_vocab = self.user_vocab, self.item_vocab
        check_ids('user', user, len(user_vocab))
        check_ids('item', item[item >= 0], len(item_vocab))
        user, item = user.cpu(), item.cpu()
        if item.dim() == 2:
            user = user.view(-1, 1).expand(item.shape)
        keep = item >= 0
        columns = {'user': user_vocab[user[keep].numpy()],
                   'item': item_vocab[item[keep].numpy()]}
        if score is not None:
            columns['score'] = score.detach().cpu()[keep].numpy()
        return pd.DataFrame(columns)


def _encode(what: str, raw: Iterable, vocab: pd.Index) -> Tensor:
    if isinstance(raw, Tensor):
        raw = raw.tolist()
    try:
        if isinstance(raw, (pd.MultiIndex, set, frozenset)):  # No ids, or in no order.
            raise TypeError
        values = pd.Index(raw, tupleize_cols=False)
        ids = vocab.get_indexer(values)
    except (TypeError, ValueError) as e:  # No list, or ids that cannot be hashed.
        raise ValueError(f"'raw' is {reprlib.repr(raw)}, but the {what}s need to be a list of "
                         f"the {what} ids of the data") from e
    if (ids < 0).any():
        unknown = values[[int(np.argmax(ids < 0))]].tolist()[0]
        raise ValueError(f"'raw' holds the {what} {unknown!r}, which does not occur in the data; "
                         f"{what}s that were never seen, or that a transform has removed, cannot "
                         f"be embedded")
    return torch.from_numpy(ids.astype(np.int64))


def _column(df: pd.DataFrame, argument: str, name: Hashable) -> pd.Series:
    # The column of that name, without NaN.
    try:
        known = name in df.columns
    except TypeError:  # Not hashable.
        known = False
    if not known:
        check_name(argument, str(name), set(map(str, df.columns)) - {str(name)})
    column = df[name]
    if isinstance(column, pd.DataFrame):
        raise ValueError(f"'{argument}' is {name!r}, which names {column.shape[1]} column(s) at "
                         f"once; rename all but one")
    missing = column.isna().to_numpy()
    if missing.any():
        raise ValueError(f"column '{name}' ('{argument}') holds {int(missing.sum())} NaN, the "
                         f"first in row {df.index[int(missing.argmax())]!r}; drop or fill these "
                         f"rows")
    return column


def _numbers(argument: str, name: Hashable, column: pd.Series) -> np.ndarray:
    # Finite numbers; of datetimes, the seconds since 1970.
    dtype = column.dtype
    if argument == 'time' and pd.api.types.is_datetime64_any_dtype(dtype):
        epoch = pd.Timestamp(0, tz=getattr(dtype, 'tz', None))
        column = (column - epoch) // pd.Timedelta(seconds=1)
    elif not pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype) or (
            pd.api.types.is_complex_dtype(dtype)):
        raise ValueError(f"column '{name}' ('{argument}') has dtype {dtype}, but needs numbers; "
                         f"convert it with pandas.to_numeric or pandas.to_datetime")
    if argument == 'rating':
        kind = np.float32
    elif isinstance(column.dtype, np.dtype):
        kind = column.dtype
    else:  # An extension of pandas.
        kind = np.int64 if pd.api.types.is_integer_dtype(column.dtype) else np.float64
    with np.errstate(over='ignore'):
        values = column.to_numpy(dtype=kind)
    infinite = ~np.isfinite(values)
    if infinite.any():
        raise ValueError(f"column '{name}' ('{argument}') holds {int(infinite.sum())} values that "
                         f"are infinite or too large, the first in row "
                         f"{column.index[int(infinite.argmax())]!r}; drop or correct these rows")
    return values


def _codes(argument: str, name: Hashable, column: pd.Series) -> tuple[np.ndarray, pd.Index]:
    # A hash of all rows; only the vocabulary is sorted.
    remedy = 'convert it with df[column].astype(str)'
    if pd.api.types.is_bool_dtype(column.dtype):
        raise ValueError(f"column '{name}' ('{argument}') holds True and False, but needs ids; "
                         f"{remedy}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error', RuntimeWarning)  # 'Unorderable'
            codes, vocab = pd.factorize(column, sort=True)
    except (TypeError, ValueError, RuntimeWarning) as e:
        raise ValueError(f"column '{name}' ('{argument}') holds ids that cannot be hashed or "
                         f"compared with each other ({e}); {remedy}") from e
    vocab = pd.Index(vocab)
    if isinstance(vocab, pd.CategoricalIndex):  # Its values alone can be saved.
        vocab = vocab.astype(vocab.categories.dtype)
    return codes.astype(np.int64, copy=False), vocab


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

    Raw ids may be anything pandas can hash and compare; they are numbered in sorted order,
    and kept as ``raw_id`` of the users and the items.

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
        ValueError: If a column is missing (the nearest name is suggested) or there are two of its
            name, an id, rating or time is NaN, a rating or time is no finite number, ids cannot
            be compared with each other, a pair occurs twice, or no row is left.

    Example:
        >>> df = pd.DataFrame({'who': ['ann', 'bob', 'ann'], 'what': ['x', 'x', 'y']})
        >>> frame = from_frame(df, user='who', item='what')
        >>> frame.data['user', 'interacts', 'item'].edge_index
        tensor([[0, 1, 0],
                [0, 0, 1]])
        >>> frame.user_ids(['bob'])
        tensor([1])
    """
    if not isinstance(df, pd.DataFrame):
        raise ValueError(f"'df' is a {type(df).__name__}, but needs to be a pandas.DataFrame; "
                         f"build one with pandas.DataFrame(...)")
    check_name('duplicates', duplicates, ('error', 'first', 'last'))
    if min_rating is not None and rating is None:
        raise ValueError("'min_rating' is given without 'rating', the column it applies to")
    if min_rating is not None and (isinstance(min_rating, bool) or not isinstance(
            min_rating, numbers.Real) or not math.isfinite(min_rating)):
        raise ValueError(f"'min_rating' is {min_rating!r}, but needs to be a finite number")
    names = {'user': user, 'item': item, 'rating': rating, 'time': time}
    names = {argument: name for argument, name in names.items()
             if name is not None or argument in ('user', 'item')}
    columns = {argument: _column(df, argument, name) for argument, name in names.items()}
    if user == item:
        raise ValueError(f"'user' and 'item' are both the column {user!r}; name two columns")
    values = {argument: _numbers(argument, names[argument], columns[argument])
              for argument in ('rating', 'time') if argument in columns}
    if min_rating is not None:
        # In the type of the column: a rating of 0.1 in double precision is at least 0.1.
        keep = (columns['rating'] >= min_rating).to_numpy(dtype=bool)
        columns = {argument: column[keep] for argument, column in columns.items()}
        values = {argument: value[keep] for argument, value in values.items()}
    if len(columns['user']) == 0:
        raise ValueError("no interaction of 'df' is left" + (
            f" with a rating of at least {min_rating}; lower 'min_rating'"
            if min_rating is not None else ": the frame is empty"))
    user_code, user_vocab = _codes('user', user, columns['user'])
    item_code, item_vocab = _codes('item', item, columns['item'])
    key = user_code * len(item_vocab) + item_code
    ascending = np.sort(key)
    if (ascending[1:] == ascending[:-1]).any():
        if duplicates == 'error':
            repeated = pd.Series(key).duplicated().to_numpy()
            row = int(repeated.argmax())
            first = [columns[argument].iloc[[row]].tolist()[0] for argument in ('user', 'item')]
            raise ValueError(f"{int(repeated.sum())} duplicate pairs, the first is user "
                             f"{first[0]!r} and item {first[1]!r}; pass "
                             f"duplicates='first' or 'last' to keep one row of each")
        order = (np.arange(len(key)) if time is None
                 else columns['time'].argsort(kind='stable').to_numpy())
        order = order[~pd.Series(key[order]).duplicated(keep=duplicates).to_numpy()]
        order.sort()
        user_code, item_code = user_code[order], item_code[order]
        values = {argument: value[order] for argument, value in values.items()}
    edge_index = torch.from_numpy(np.stack([user_code, item_code]))
    data = interaction_data(edge_index, len(user_vocab), len(item_vocab))
    for argument, value in values.items():
        data[EDGE_TYPE][argument] = torch.tensor(value)
    data['user'].raw_id, data['item'].raw_id = user_vocab, item_vocab
    return FrameData(data)
