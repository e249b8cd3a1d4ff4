r"""A mini-batch of interactions."""
from typing import NamedTuple, Optional

import torch
from torch import Tensor


class Batch(NamedTuple):
    r"""A mini-batch of interactions with negatives. All ids are those of the data.

    Attributes:
        user: User ids, ``[B]``.
        item: Ids of the positive items, ``[B]``.
        neg_item: Ids of the negative items, ``[B, N]``; or ``[N]`` if all rows share them.
        id: The column of the interaction in ``edge_index``, ``[B]``. Values that are cached per
            interaction stay valid when the data are shuffled.
        neg_mask: ``[B, N]``, ``False`` where a shared negative must not count for its row, because
            it is the row's own positive or another training item of its user.

    Example:
        >>> batch = Batch(*(torch.tensor(t) for t in ([0, 1], [3, 4], [[5], [6]], [0, 1])))
        >>> batch.user, batch.neg_item.shape
        (tensor([0, 1]), torch.Size([2, 1]))
    """
    user: Tensor
    item: Tensor
    neg_item: Tensor
    id: Tensor
    neg_mask: Optional[Tensor] = None

    def to(self, device: torch.device) -> 'Batch':
        r"""Moves all tensors to ``device``."""
        return Batch(*(None if t is None else t.to(device) for t in self))

    def mask_negatives(self, neg: Tensor) -> Tensor:
        r"""Sets the scores ``[B, N]`` of excluded negatives to :math:`-\infty`.

        Every criterion of this library gives these neither weight nor gradient.
        """
        return neg if self.neg_mask is None else neg.masked_fill(~self.neg_mask, float('-inf'))
