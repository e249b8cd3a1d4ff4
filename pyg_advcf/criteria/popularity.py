r"""Embeddings of popularity: nodes of equal training degree share a row."""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_advcf._checks import check_count
from pyg_advcf.interactions import Batch, Embeddings


def degree_bucket(degree: Tensor) -> Tensor:
    r"""The index of every node's degree among the distinct degrees.

    Example:
        >>> degree_bucket(torch.tensor([5, 1, 5, 9]))
        tensor([1, 0, 1, 2])
    """
    return torch.unique(degree, return_inverse=True)[1]


class PopularityEmbedding(nn.Module):
    r"""Tables of users' and items' popularity, a row for each distinct training degree.

    Args:
        user_degree: Training degree of every user, ``[num_users]``.
        item_degree: Training degree of every item, ``[num_items]``.
        dim: Width of the tables.

    Raises:
        ValueError: If ``dim`` is below 1.

    Example:
        >>> table = PopularityEmbedding(torch.tensor([2, 2]), torch.tensor([1, 2, 1]), dim=4)
        >>> table.user.weight.shape, table.item.weight.shape
        (torch.Size([1, 4]), torch.Size([2, 4]))
        >>> table().item.shape
        torch.Size([3, 4])
    """
    def __init__(self, user_degree: Tensor, item_degree: Tensor, dim: int = 64) -> None:
        super().__init__()
        check_count('dim', dim)
        for side, degree in (('user', user_degree), ('item', item_degree)):
            bucket = degree_bucket(degree)
            self.register_buffer(f'{side}_bucket', bucket)
            setattr(self, side, nn.Embedding(int(bucket.max()) + 1, dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Draws the tables anew, Xavier-normal."""
        nn.init.xavier_normal_(self.user.weight)
        nn.init.xavier_normal_(self.item.weight)

    def buckets(self, batch: Batch) -> Batch:
        r"""The batch with rows of the tables in place of ids."""
        return batch._replace(user=self.user_bucket[batch.user], item=self.item_bucket[batch.item],
                              neg_item=self.item_bucket[batch.neg_item])

    def forward(self) -> Embeddings:
        r"""A row for every user and every item."""
        return Embeddings(F.embedding(self.user_bucket, self.user.weight),
                          F.embedding(self.item_bucket, self.item.weight))
