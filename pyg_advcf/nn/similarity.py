r"""How a user and an item are compared: in training and in ranking by the same object."""
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_advcf._checks import check_instance, check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.embeddings import Embeddings, check_embeddings, check_rows
from pyg_advcf.ops import sampled_scores
from pyg_advcf.record import Recorded


class Similarity(Recorded, nn.Module):
    r"""Base class: scores of sampled pairs in training, and embeddings to rank with.

    Args:
        temperature: :math:`\tau > 0`; scores are divided by it.

    Attributes:
        kind: ``'dot'`` or ``'cosine'``; see :func:`pyg_advcf.ops.sampled_scores`.

    Raises:
        ValueError: If ``temperature`` is not above 0.
    """
    kind: str

    def __init__(self, temperature: float = 1.) -> None:
        super().__init__()
        self.temperature = check_positive('temperature', temperature)

    def forward(self, z: Embeddings, batch: Batch) -> tuple[Tensor, Tensor]:
        r"""Scores of a batch: ``pos [B]``, ``neg [B, N]``.

        Where ``batch.neg_mask`` is ``False``, the score of the negative is :math:`-\infty`: every
        criterion of this library gives it neither weight nor gradient.
        """
        check_embeddings('z', z)
        # Own negatives of the rows are looked at by the operation.
        batch = check_rows(z, batch, negatives=False)
        pos, neg = sampled_scores(z.user, z.item, *z.rows(batch), self.kind, self.temperature)
        return pos, batch.mask_negatives(neg)

    def prepare(self, z: Embeddings) -> Embeddings:
        r"""Embeddings whose dot products, over the temperature, are the scores."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f'temperature={self.temperature}'


class Dot(Similarity):
    r"""Dot product, :math:`s_{ui} = z_u \cdot z_i / \tau`.

    Args:
        temperature: :math:`\tau > 0`; 1 almost everywhere.

    Raises:
        ValueError: If ``temperature`` is not above 0.

    Example:
        >>> import torch
        >>> z = Embeddings(torch.eye(2), torch.eye(2))
        >>> batch = Batch(*(torch.tensor(t) for t in ([0], [0], [[1]], [0])))
        >>> Dot()(z, batch)
        (tensor([1.]), tensor([[0.]]))
    """
    kind = 'dot'

    def prepare(self, z: Embeddings) -> Embeddings:
        return check_embeddings('z', z)

    def extra_repr(self) -> str:
        return '' if self.temperature == 1. else super().extra_repr()


class Cosine(Similarity):
    r"""Cosine over temperature, :math:`s_{ui} = \cos(z_u, z_i) / \tau`.

    Args:
        temperature: :math:`\tau > 0`; published values reach from 0.05 to 3.

    Raises:
        ValueError: If ``temperature`` is not above 0.

    Example:
        >>> import torch
        >>> z = Embeddings(torch.eye(2), 3 * torch.eye(2))
        >>> batch = Batch(*(torch.tensor(t) for t in ([0], [0], [[1]], [0])))
        >>> Cosine(temperature=0.5)(z, batch)
        (tensor([2.]), tensor([[0.]]))
    """
    kind = 'cosine'

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__(temperature)

    def prepare(self, z: Embeddings) -> Embeddings:
        check_embeddings('z', z)
        return z.with_tables(F.normalize(z.user, dim=-1), F.normalize(z.item, dim=-1))


def check_similarity(argument: str, similarity: Similarity) -> Similarity:
    r"""Returns ``similarity`` if it is one."""
    return check_instance(argument, similarity, Similarity,
                          'a similarity of pyg_advcf.nn, such as Dot() or Cosine(0.1)')
