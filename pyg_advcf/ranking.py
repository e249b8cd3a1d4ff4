r"""Scores of all items for some users at a time: the one loop behind evaluation and service."""
from collections.abc import Iterator
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from pyg_advcf.embeddings import Embeddings
from pyg_advcf.ops.top_k import top_k
from pyg_advcf.pairs import PairSet


class Recommendations(NamedTuple):
    r"""Ranked items of some users.

    Attributes:
        item: Item ids, best first, ``[B, k]``; ``-1`` where fewer than ``k`` candidates exist.
        score: Their scores, ``[B, k]``; :math:`-\infty` where ``item`` is ``-1``.
    """
    item: Tensor
    score: Tensor


def score_all(
    z: Embeddings,
    users: Tensor,
    batch_size: int,
    candidates: Optional[Tensor] = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    r"""Dot products of users with all items, ``batch_size`` users at a time.

    Args:
        z: Embeddings of all users and items whose dot products rank the items; see
            :meth:`pyg_advcf.nn.Similarity.prepare`.
        users: ``[U]``; may repeat.
        batch_size: Users scored at once; memory grows with ``batch_size * num_items``.
        candidates: The items that may be ranked, boolean ``[num_items]``; all by default.

    Raises:
        ValueError: If ``z`` does not hold all rows.

    Yields:
        Some of the users ``[B]``, and their scores ``[B, num_items]``, :math:`-\infty` for items
        that are no candidates. The scores are overwritten in the next turn.
    """
    z.check_complete('z')
    # One buffer for all chunks: a fresh one would be faulted in page by page each time.
    buffer = z.user.new_empty(min(batch_size, users.numel()), z.item.size(0))
    for chunk in users.split(batch_size):
        scores = torch.mm(z.user[chunk], z.item.t(), out=buffer[:chunk.numel()])
        if candidates is not None:
            scores[:, ~candidates] = float('-inf')
        yield chunk, scores


def recommend(
    z: Embeddings,
    users: Tensor,
    k: int,
    seen: Optional[PairSet] = None,
    candidates: Optional[Tensor] = None,
    batch_size: int = 1024,
) -> Recommendations:
    r"""The ``k`` items with the largest dot products for each user.

    Args:
        z: As of :func:`score_all`.
        users: ``[U]``; may repeat.
        k: Length of the lists.
        seen: Pairs to leave out.
        candidates: As of :func:`score_all`.
        batch_size: As of :func:`score_all`.

    Example:
        >>> z = Embeddings(torch.ones(1, 1), torch.tensor([[1.], [4.], [3.]]))
        >>> recommend(z, torch.tensor([0]), k=2).item
        tensor([[1, 2]])
    """
    found = []
    for chunk, scores in score_all(z, users, batch_size, candidates):  # Once for no users.
        if seen is not None:
            scores[seen.of_users(chunk)] = float('-inf')
        found.append(top_k(scores, k))
    item, score = zip(*found)
    return Recommendations(torch.cat(item), torch.cat(score))
