r"""Contrast of two views of the same nodes."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_advcf._checks import check_count, check_name, check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.criteria.grouping import first_occurrence
from pyg_advcf.embeddings import Embeddings, check_embeddings, check_rows
from pyg_advcf.ops.cross_entropy import product_cross_entropy
from pyg_advcf.ops.normalize import normalize
from pyg_advcf.record import Recorded


class ViewInfoNCE(Recorded, nn.Module):
    r"""InfoNCE between two views of the batch's users, plus the same of its positive items.

    .. math::
        L_U = -\frac{1}{|U_B|} \sum_{u \in U_B} \log
            \frac{e^{\cos(z_u, \tilde z_u) / \tau}}
                 {\sum_{v} e^{\cos(z_u, \tilde z_v) / \tau}}, \qquad L = L_U + L_I

    over the *unique* users :math:`U_B` and the unique positive items of the batch. The negatives
    come from the second view and hold the positive exactly once.

    Args:
        temperature: :math:`\tau > 0`.
        scope: What :math:`v` runs over: ``'batch'``, the unique nodes of the batch, or ``'all'``,
            all nodes of that side.
        chunk_size: Rows scored at once, so that memory is ``chunk_size`` times the negatives; see
            :func:`~pyg_advcf.ops.cross_entropy.product_cross_entropy` for the default.
        item_weight: Weight of :math:`L_I` beside :math:`L_U`.

    Shapes:
        Two :class:`~pyg_advcf.Embeddings` and a :class:`~pyg_advcf.Batch` to a scalar.

    Raises:
        ValueError: If ``temperature`` is not above 0, ``scope`` unknown, ``chunk_size``
            below 1 or ``item_weight`` negative.

    Example:
        >>> z = Embeddings(torch.ones(3, 2), torch.ones(4, 2))
        >>> batch = Batch(*(torch.tensor(t) for t in ([0, 2, 2], [1, 1, 1], [[3]] * 3, [0, 1, 2])))
        >>> ViewInfoNCE(0.2)(z, z, batch)  # ln 2 for two users, ln 1 for one item
        tensor(0.6931)
    """
    def __init__(
        self,
        temperature: float = 0.2,
        scope: str = 'batch',
        chunk_size: Optional[int] = None,
        item_weight: float = 1.,
    ) -> None:
        super().__init__()
        self.item_weight = check_positive('item_weight', item_weight, zero=True)
        self.temperature = check_positive('temperature', temperature)
        self.scope = check_name('scope', scope, ('batch', 'all'))
        self.chunk_size = None if chunk_size is None else check_count('chunk_size', chunk_size)

    def forward(self, z: Embeddings, other: Embeddings, batch: Batch) -> Tensor:
        r"""Computes the loss.

        Args:
            z: The anchors' view.
            other: The view that positives and negatives come from, with the same rows.
            batch: Its users and positive items are contrasted.

        Raises:
            ValueError: If the views hold different rows, or not all of them with ``scope='all'``.
        """
        check_embeddings('z', z)
        check_embeddings('other', other)
        if z.user_index is not other.user_index or z.item_index is not other.item_index:
            raise ValueError("'z' and 'other' hold different rows; encode both for the same batch, "
                             "by one encoder: encode = backbone.encoder(batch)")
        if z.user.shape != other.user.shape or z.item.shape != other.item.shape:
            raise ValueError(f"'z' and 'other' have tables of the shapes {list(z.user.shape)}, "
                             f"{list(z.item.shape)} and {list(other.user.shape)}, "
                             f"{list(other.item.shape)}, but need to be views of the same nodes")
        if self.scope == 'all':
            z.check_complete('z')
        batch = check_rows(z, batch, negatives=False)
        users = self.side(z.user, other.user, z.user_rows(batch.user))
        items = self.side(z.item, other.item, z.item_rows(batch.item))
        return users + (items if self.item_weight == 1. else self.item_weight * items)

    def side(self, z: Tensor, other: Tensor, ids: Tensor) -> Tensor:
        r"""The loss of one side, for the rows ``ids`` of both tables, which may repeat."""
        if ids.numel() == 0:
            return z.new_zeros(())
        if z.dtype in (torch.float16, torch.bfloat16):
            z, other = z.float(), other.float()
        first = first_occurrence(ids)
        once = first == torch.arange(ids.numel(), device=ids.device)
        bias = None
        if ids.device.type == 'cpu' and not torch.compiler.is_compiling():
            ids, target = ids[once], (once.cumsum(0) - 1)[first[once]]
            share = z.new_full((ids.numel(), ), 1. / ids.numel())
        else:
            # Counting the nodes would stop the queue. Repeated ones stay, as rows of weight 0, and
            # as columns that nobody sees.
            target, share = first, once.to(z.dtype) / once.sum()
            bias = torch.zeros_like(share).masked_fill(~once, float('-inf'))
        a = normalize(F.embedding(ids, z)) / self.temperature
        if self.scope == 'all':
            b, target, bias = normalize(other), ids, None
        else:
            b = normalize(F.embedding(ids, other))
        return product_cross_entropy(a, b, target, share, bias, self.chunk_size)

    def extra_repr(self) -> str:
        return f"temperature={self.temperature}, scope='{self.scope}'"
