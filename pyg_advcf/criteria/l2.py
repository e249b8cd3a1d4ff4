r"""L2 regularisation of the embedding rows that a batch uses."""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_advcf._checks import check_bool, check_ids, check_positive, reads_values
from pyg_advcf.batch import Batch, check_batch
from pyg_advcf.embeddings import Embeddings, check_embeddings
from pyg_advcf.record import Recorded


def _squares(table: Tensor, ids: Tensor) -> Tensor:
    r"""Sum of the squares of rows; a row counts as often as it is named."""
    if reads_values(ids):
        check_ids('batch', ids, table.size(0))
    if ids.numel() <= table.size(0):
        return F.embedding(ids, table).square().sum()
    # Many negatives: every row once, instead of a copy for every time that it occurs. Half
    # precision could not count that far.
    count = torch.zeros(table.size(0), device=table.device,
                        dtype=torch.promote_types(table.dtype, torch.float32))
    count.index_add_(0, ids.reshape(-1), count.new_ones(1).expand(ids.numel()))
    return count @ table.to(count.dtype).square().sum(1)


class EmbeddingL2(Recorded, nn.Module):
    r""":math:`\lambda \frac{1}{2B} \sum \|e^0\|^2` over the layer-0 rows of a batch.

    Not Adam's ``weight_decay``, which also shrinks the rows that the batch does not use. A row
    that occurs twice in the batch counts twice.

    Args:
        weight: :math:`\lambda \geq 0`: 1e-5 in AdvInfoNCE, 1e-4 in the LightGCN family.
        negatives: Whether the rows of negatives count.

    Raises:
        ValueError: If ``weight`` is negative.

    Example:
        >>> import torch
        >>> x = Embeddings(torch.ones(2, 4), torch.ones(3, 4))
        >>> batch = Batch(*(torch.tensor(t) for t in ([0], [1], [[2]], [0])))
        >>> EmbeddingL2(1.)(x, batch)  # (4 + 4) / 2
        tensor(4.)
    """
    def __init__(self, weight: float, negatives: bool = False) -> None:
        super().__init__()
        self.weight = check_positive('weight', weight, zero=True)
        self.negatives = check_bool('negatives', negatives)

    def forward(self, x: Embeddings, batch: Batch) -> Tensor:
        check_embeddings('x', x, one_width=False)
        batch = check_batch(batch)
        total = (_squares(x.user, x.user_rows(batch.user))
                 + _squares(x.item, x.item_rows(batch.item)))
        if self.negatives:
            total = total + _squares(x.item, x.item_rows(batch.neg_item))
        return total * (self.weight / (2 * batch.user.numel()))

    def extra_repr(self) -> str:
        return f'weight={self.weight}, negatives={self.negatives}'
