r"""Scores of all items for some users at a time: the one loop behind evaluation and service."""
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, Optional, Protocol, TypeVar, Union, runtime_checkable

import torch
from torch import Tensor
from tqdm import tqdm

from pyg_advcf._checks import (
    check_bool,
    check_count,
    check_floats,
    check_ids,
    check_instance,
    check_mask,
    shown,
)
from pyg_advcf.embeddings import Embeddings, check_embeddings
from pyg_advcf.ops.top_k import top_k
from pyg_advcf.pairs import PairSet

if TYPE_CHECKING:
    from pyg_advcf.nn import Similarity

T = TypeVar('T')
BATCH_SIZE = 256  # More users at once are hardly faster, and need more memory.
_DELAY = 5.  # Seconds before a progress bar is shown.


class Recommendations(NamedTuple):
    r"""Ranked items of some users.

    Attributes:
        item: Item ids, best first, ``[B, k]``; ``-1`` where fewer than ``k`` candidates exist.
        score: Their scores, ``[B, k]``; :math:`-\infty` where ``item`` is ``-1``.
    """
    item: Tensor
    score: Tensor


@runtime_checkable
class Scorer(Protocol):
    r"""What scores items otherwise than by dot products, as :mod:`pyg_advcf.baselines` do.

    It takes the place of embeddings in :func:`~pyg_advcf.evaluate`, :func:`recommend` and
    :func:`map_scores`.

    Attributes:
        num_users: Number of users.
        num_items: Number of items.

    Example:
        >>> class Newest:
        ...     num_users, num_items = 2, 4
        ...     def scores(self, users):
        ...         return torch.arange(4.).repeat(users.numel(), 1)
        >>> recommend(Newest(), torch.tensor([1]), k=2).item
        tensor([[3, 2]])
    """
    num_users: int
    num_items: int

    def scores(self, users: Tensor) -> Tensor:
        r"""Scores of all items for the users ``[B]``: a new tensor ``[B, num_items]``.

        :math:`-\infty` for items that are no candidates. Chunks of users may be asked for from
        several threads at once.
        """
        ...


def _largest(argument: str, z: Embeddings) -> list[float]:
    r"""The largest absolute value of either table.

    Raises:
        ValueError: If one is not finite.
    """
    largest = [float(table.abs().amax()) if table.numel() > 0 else 0. for table in z]
    for name, value in zip(('user', 'item'), largest):
        if not math.isfinite(value):
            raise ValueError(f"the {name} embeddings of '{argument}' hold values that are not "
                             f"finite; training has diverged: lower the learning rate")
    return largest


def check_scorable(argument: str, z: Embeddings) -> Embeddings:
    r"""Returns ``z`` if it holds all rows and no dot product of them can overflow.

    :math:`|u \cdot i| \leq D \max |u_d| \max |i_d|`, and so are the partial sums: two scalars
    tell it for all pairs, without looking at a score.

    Raises:
        ValueError: If rows are missing, a value is not finite, or a score might not be.
    """
    check_embeddings(argument, z).check_complete(argument)
    user, item = _largest(argument, z)
    limit = torch.finfo(z.user.dtype).max
    if user * item * z.user.size(1) > limit:
        raise ValueError(f"'{argument}' has embeddings of up to {user:.3g} (user) and {item:.3g} "
                         f"(item), whose scores may exceed the largest {z.user.dtype}, "
                         f"{limit:.3g}; training has diverged: lower the learning rate, or rank by "
                         f"Cosine()")
    return z


def rankable(
    argument: str,
    z: Embeddings,
    similarity: 'Similarity',
    num_users: int,
    num_items: int,
    popularity: Optional[Tensor] = None,
) -> Embeddings:
    r"""Embeddings whose dot products rank the items; half precision is lifted to float32.

    Args:
        argument: The name of ``z`` in messages.
        z: Embeddings of all users and items.
        similarity: How they are compared.
        num_users: Number of users of the data.
        num_items: Number of items of the data.
        popularity: Training degree of every item, ``[num_items]``, for the prior.

    Raises:
        ValueError: If rows are missing or do not fit the data, a value is not finite, or a score
            might not be.
    """
    check_embeddings(argument, z, num_users, num_items).check_complete(argument)
    if z.user.dtype in (torch.float16, torch.bfloat16):
        z = z.map(Tensor.float)
    largest = max(_largest(argument, z))
    limit = torch.finfo(z.user.dtype).max
    if similarity.kind == 'cosine' and largest * largest * z.user.size(1) > limit:
        raise ValueError(f"'{argument}' has embeddings of up to {largest:.3g}, whose length may "
                         f"exceed the largest {z.user.dtype}, {limit:.3g}; training has diverged: "
                         f"lower the learning rate")
    return check_scorable(argument, similarity.rank(z, popularity))


def _check_source(argument: str, z: Union[Embeddings, Scorer]) -> tuple[int, int]:
    r"""The numbers of users and items that ``z`` scores, if it can score any."""
    if not isinstance(z, Scorer):
        return tuple(table.size(0) for table in check_scorable(argument, z))
    if isinstance(z, type):
        raise ValueError(f"'{argument}' is {shown(z)}, but needs to be an instance of it")
    return tuple(check_count(f'{argument}.{name}', getattr(z, name))
                 for name in ('num_users', 'num_items'))


def _in_order(work: Callable[[Tensor], T], chunks: Sequence[Tensor], threads: int) -> Iterator[T]:
    r"""The results of all chunks, each computed on one thread, ``threads`` of them at a time."""
    if threads == 1:
        yield from map(work, chunks)
        return
    # The operations of a worker use its own thread only; those of the caller all, as before. A
    # chunk is then computed alike whatever the number of threads, which a product that is divided
    # among threads is not.
    pool = ThreadPoolExecutor(min(threads, len(chunks)), 'ranking', torch.set_num_threads, (1, ))
    try:
        yield from pool.map(work, chunks)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # For threads that begin later.


def map_scores(
    rank: Callable[[Tensor, Tensor], T],
    z: Union[Embeddings, Scorer],
    users: Tensor,
    batch_size: int = BATCH_SIZE,
    candidates: Optional[Tensor] = None,
    progress: bool = False,
) -> Iterator[T]:
    r"""Scores of all items for users, ``batch_size`` users at a time.

    On CPU as many of these chunks are computed at once as PyTorch has threads
    (:func:`torch.set_num_threads`), each on one thread; the results do not depend on how many.

    Args:
        rank: Called with some of the users ``[B]`` and their scores ``[B, num_items]``,
            :math:`-\infty` for items that are no candidates. It may change the scores, which are
            overwritten in the next turn, and runs on another thread than the caller.
        z: Embeddings of all users and items whose dot products rank the items; see
            :meth:`pyg_advcf.nn.Similarity.rank`. Or a :class:`Scorer`.
        users: ``[U]``; may repeat.
        batch_size: Users scored at once; memory grows with ``batch_size * num_items`` for each
            thread.
        candidates: The items that may be ranked, boolean ``[num_items]``; all by default.
        progress: Whether to show a progress bar, if ranking takes longer than some seconds.

    Raises:
        ValueError: If ``z`` does not hold all rows, a score might not be finite, an id is out of
            range, an argument is of another kind, or a :class:`Scorer` returns something else.

    Yields:
        What ``rank`` returned, in the order of the users.
    """
    check_instance('rank', rank, Callable, 'a function of users and scores')
    num_users, num_items = _check_source('z', z)
    users = check_ids('users', users, num_users, ('U', ))
    check_count('batch_size', batch_size)
    check_bool('progress', progress)
    barred = None
    if candidates is not None:
        check_mask('candidates', candidates, (num_items, ))
        barred = (~candidates).nonzero().view(-1)
    chunks = users.split(batch_size)  # One for no users.
    own = threading.local()

    def score(chunk: Tensor) -> Tensor:
        if isinstance(z, Scorer):
            return check_floats('z.scores(users)', z.scores(chunk), (chunk.numel(), num_items))
        if not hasattr(own, 'buffer'):
            # One for all chunks of a thread: a fresh one would be faulted in page by page.
            own.buffer = z.user.new_empty(chunks[0].numel(), num_items)
        return torch.mm(z.user[chunk], z.item.t(), out=own.buffer[:chunk.numel()])

    def work(chunk: Tensor) -> T:
        with torch.no_grad():
            scores = score(chunk)
            if barred is not None:
                scores.index_fill_(1, barred, -math.inf)
            return rank(chunk, scores)

    threads = torch.get_num_threads() if users.device.type == 'cpu' else 1
    with tqdm(total=users.numel(), desc='ranking', unit=' users', delay=_DELAY, leave=False,
              disable=not progress, dynamic_ncols=True) as bar:
        for chunk, found in zip(chunks, _in_order(work, chunks, threads)):
            bar.update(chunk.numel())
            yield found


def recommend(
    z: Union[Embeddings, Scorer],
    users: Tensor,
    k: int,
    seen: Optional[PairSet] = None,
    candidates: Optional[Tensor] = None,
    batch_size: int = BATCH_SIZE,
    progress: bool = False,
) -> Recommendations:
    r"""The ``k`` items with the largest scores for each user.

    Args:
        z: As of :func:`map_scores`.
        users: ``[U]``; may repeat.
        k: Length of the lists.
        seen: Pairs to leave out.
        candidates: As of :func:`map_scores`.
        batch_size: As of :func:`map_scores`.
        progress: As of :func:`map_scores`.

    Raises:
        ValueError: As :func:`map_scores`, or if ``k`` is below 1 or ``seen`` of other users and
            items.

    Example:
        >>> z = Embeddings(torch.ones(1, 1), torch.tensor([[1.], [4.], [3.]]))
        >>> recommend(z, torch.tensor([0]), k=2).item
        tensor([[1, 2]])
    """
    check_count('k', k)
    if seen is not None:
        check_instance('seen', seen, PairSet, 'a PairSet, as backbone.known')
        sizes = _check_source('z', z)
        if (seen.num_users, seen.num_items) != sizes:
            raise ValueError(f"'seen' is of {seen.num_users} users and {seen.num_items} items, but "
                             f"'z' is of {sizes[0]} and {sizes[1]}")

    def rank(chunk: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        if seen is not None:
            scores[seen.of_users(chunk)] = -math.inf
        return top_k(scores, k)

    item, score = zip(*map_scores(rank, z, users, batch_size, candidates, progress))
    return Recommendations(torch.cat(item), torch.cat(score))
