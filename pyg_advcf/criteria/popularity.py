r"""Embeddings of popularity: nodes with the same training degree share a row."""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_advcf._checks import check_count, check_degrees, check_numbers
from pyg_advcf.embeddings import Embeddings, Index, check_embeddings
from pyg_advcf.record import Recorded


def degree_bucket(degree: Tensor) -> Tensor:
    r"""The index of every node's degree among the distinct degrees.

    Example:
        >>> degree_bucket(torch.tensor([5, 1, 5, 9]))
        tensor([1, 0, 1, 2])
    """
    check_numbers('degree', degree)
    return torch.unique(degree, return_inverse=True)[1]


class PopularityEmbedding(Recorded, nn.Module):
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
        >>> table().items(torch.tensor([0, 2])).shape  # Both have degree 1.
        torch.Size([2, 4])
    """
    def __init__(self, user_degree: Tensor, item_degree: Tensor, dim: int = 64) -> None:
        super().__init__()
        check_count('dim', dim)
        for side, degree in (('user', user_degree), ('item', item_degree)):
            bucket = degree_bucket(check_degrees(f'{side}_degree', degree))
            self.register_buffer(f'{side}_bucket', bucket)
            setattr(self, side, nn.Embedding(int(bucket.max()) + 1, dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Initialises the tables again, Xavier-normal."""
        nn.init.xavier_normal_(self.user.weight)
        nn.init.xavier_normal_(self.item.weight)

    def forward(self) -> Embeddings:
        r"""The tables, which map every user and item to the row of its degree."""
        return Embeddings(self.user.weight, self.item.weight, Index(self.user_bucket),
                          Index(self.item_bucket))

    def rows_like(self, x: Embeddings) -> Embeddings:
        r"""A row for each row of ``x``: for all users and items, or for those that ``x`` holds."""
        p, x = self(), check_embeddings('x', x, self.user_bucket.numel(), self.item_bucket.numel())
        tables = [F.embedding(index.position if of is None else index.position[of.ids], table)
                  for table, index, of in ((p.user, p.user_index, x.user_index),
                                           (p.item, p.item_index, x.item_index))]
        return x.with_tables(*tables)
