r"""A mini-batch of interactions."""
from typing import TYPE_CHECKING, NamedTuple, Optional, Union

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_ids, check_instance, check_integers, check_mask, reads_values
from pyg_advcf.link import SampledRows, read_link

if TYPE_CHECKING:
    from pyg_advcf.pairs import PairSet


class Batch(NamedTuple):
    r"""A mini-batch of interactions with negatives. All ids are those of the data.

    Attributes:
        user: User ids, ``[B]``.
        item: Ids of the positive items, ``[B]``.
        neg_item: Ids of the negative items, ``[B, N]``; or ``[N]`` if all rows share them.
        id: The column of the interaction in ``edge_index``, ``[B]``. Values that are cached per
            interaction stay valid when the data are shuffled.
        neg_mask: ``[B, N]``, ``False`` where a negative must not count for its row, because it is
            the row's own positive or another training item of its user.
        rows: Where the users and items are in the tables of a sampled mini-batch; see
            :meth:`from_link`.

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
    rows: Optional[SampledRows] = None

    @classmethod
    def from_link(
        cls,
        data: Union[Data, HeteroData],
        edge_type: Optional[EdgeType] = None,
        num_users: Optional[int] = None,
        known: Optional['PairSet'] = None,
    ) -> 'Batch':
        r"""The batch of a mini-batch of PyG's ``LinkNeighborLoader`` or ``LinkLoader``.

        All ids are those of the data, found through ``n_id``; :meth:`Embeddings.from_link
        <pyg_advcf.Embeddings.from_link>` tells what the rows of a model's output belong to. ``id``
        is the loader's ``input_id``. Of binary negative sampling the drawn items are used, each
        compared with the user of a positive, and not the drawn users.

        Args:
            data: The mini-batch, with triplet or binary negative sampling.
            edge_type: The links from users to items; by default those that the loader samples.
            num_users: How many of the nodes are users, for a homogeneous mini-batch: they come
                first, and items follow.
            known: Pairs that must not count as negatives; PyG draws negatives from all items.
                ``PairSet.of(edge_index, num_users, num_items)`` for the training graph.

        Raises:
            ValueError: If ``data`` is no such mini-batch, has no negatives, or its links do not
                lead from users to items.

        Example:
            >>> data = HeteroData()
            >>> data['user'].n_id, data['item'].n_id = torch.tensor([7, 4]), torch.tensor([9, 2, 5])
            >>> data['user'].src_index = torch.tensor([0, 1])
            >>> data['item'].dst_pos_index = torch.tensor([0, 0])
            >>> data['item'].dst_neg_index = torch.tensor([1, 2])  # One negative per positive.
            >>> data['user', 'buys', 'item'].input_id = torch.tensor([30, 31])
            >>> batch = Batch.from_link(data)
            >>> batch.user, batch.neg_item
            (tensor([7, 4]), tensor([[2],
                    [5]]))
        """
        link = read_link(data, edge_type, num_users)
        neg_mask = None
        if known is not None:
            neg_mask = ~known.contains(link.user.unsqueeze(1), link.neg_item)
        return cls(link.user, link.item, link.neg_item, link.id, neg_mask, link.rows)

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
    if neg_item.dim() == 1 and neg_item.numel() == shape[0] and batch.neg_mask is None:
        raise ValueError(f"'batch' has {shape[0]} rows and neg_item of shape [{shape[0]}], which "
                         f"may be one negative for each row, or {shape[0]} that all rows share; "
                         f"pass neg_item.unsqueeze(1) for the first, and a 'neg_mask' of shape "
                         f"[{shape[0]}, {shape[0]}] for the second, False where a negative must "
                         f"not count")
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
    return batch._replace(**ids)
