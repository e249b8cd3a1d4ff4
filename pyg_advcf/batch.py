r"""A mini-batch of interactions."""
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from pyg_advcf._checks import check_ids, check_instance, check_integers, check_mask, reads_values


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


def check_batch(
    batch: Batch,
    num_users: Optional[int] = None,
    num_items: Optional[int] = None,
    negatives: bool = True,
) -> Batch:
    r"""Returns ``batch`` with ids as int64 if its tensors belong together.

    Shapes, types and devices are compared everywhere. Ids are compared with the sizes that are
    given on CPU only: an accelerator would have to be waited for.

    Args:
        batch: What is checked.
        num_users: Ids of users need to be below it.
        num_items: Ids of items need to be below it.
        negatives: Whether to look at the ids of negatives that are not shared; an operation that
            does so itself spares a second pass over ``[B, N]``.

    Raises:
        ValueError: If the batch is empty, its tensors do not fit each other, or an id is out of
            range.
    """
    check_instance('batch', batch, Batch, 'a pyg_advcf.Batch(user, item, neg_item, id), as an '
                   'InteractionLoader yields it')
    ids = {name: check_integers(f'batch.{name}', getattr(batch, name))
           for name in ('user', 'item', 'neg_item', 'id')}
    user, item, neg_item, columns = ids.values()
    shape = user.shape
    if user.dim() != 1 or item.shape != shape or columns.shape != shape:
        raise ValueError(f"'batch' has user, item and id of the shapes {list(shape)}, "
                         f"{list(item.shape)} and {list(columns.shape)}, but all need to be [B]")
    if shape[0] == 0:
        raise ValueError("'batch' is empty, and the mean over no positives is not a number; skip "
                         "empty batches")
    if neg_item.dim() not in (1, 2) or (neg_item.dim() == 2 and neg_item.size(0) != shape[0]):
        raise ValueError(f"'batch' has {shape[0]} rows and neg_item of shape "
                         f"{list(neg_item.shape)}, which needs to be [{shape[0]}, N], or [N] if "
                         f"all rows share their negatives")
    tensors = [*ids.values()]
    if batch.neg_mask is not None:
        tensors.append(check_mask('batch.neg_mask', batch.neg_mask,
                                  (shape[0], neg_item.size(-1))))
    if any(t.device != user.device for t in tensors):
        raise ValueError(f"'batch' has tensors on {sorted({str(t.device) for t in tensors})}, but "
                         f"needs all on one device; move it with batch.to(device)")
    if reads_values(user):
        for name, size in (('user', num_users), ('item', num_items),
                           ('neg_item', num_items if negatives or neg_item.dim() == 1 else None)):
            if size is not None:
                check_ids(f'batch.{name}', ids[name], size)
    if all(t.dtype == torch.long for t in batch[:4]):
        return batch
    return Batch(**ids, neg_mask=batch.neg_mask)
