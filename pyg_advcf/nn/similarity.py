r"""How a user and an item are compared: in training and in ranking by the same object."""
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_advcf._checks import check_positive
from pyg_advcf.interactions import Batch, Embeddings
from pyg_advcf.ops import sampled_scores


class Similarity(nn.Module):
    r"""Base class; a similarity has a ``kind`` and a ``temperature``."""
    kind: str
    temperature: float = 1.0

    def forward(self, z: Embeddings, batch: Batch) -> tuple[Tensor, Tensor]:
        r"""Scores of a batch: ``pos [B]``, ``neg [B, N]``.

        Where ``batch.neg_mask`` is ``False`` the negative's score is :math:`-\infty`: every
        criterion of this library gives it neither weight nor gradient.
        """
        return self._scores(z, batch, self.kind)

    def prepared(self, z: Embeddings, batch: Batch) -> tuple[Tensor, Tensor]:
        r"""As :meth:`forward`, for embeddings that went through :meth:`prepare` once."""
        return self._scores(z, batch, 'dot')

    def _scores(self, z: Embeddings, batch: Batch, kind: str) -> tuple[Tensor, Tensor]:
        pos, neg = sampled_scores(z.user, z.item, batch.user, batch.item, batch.neg_item, kind,
                                  self.temperature)
        if batch.neg_mask is not None:
            neg = neg.masked_fill(~batch.neg_mask, float('-inf'))
        return pos, neg

    def prepare(self, z: Embeddings) -> Embeddings:
        r"""Embeddings whose plain dot products rank as this similarity does."""
        raise NotImplementedError


class Dot(Similarity):
    r"""Dot product, :math:`s_{ui} = z_u \cdot z_i`.

    Example:
        >>> import torch
        >>> z = Embeddings(torch.eye(2), torch.eye(2))
        >>> batch = Batch(*(torch.tensor(t) for t in ([0], [0], [[1]], [0])))
        >>> Dot()(z, batch)
        (tensor([1.]), tensor([[0.]]))
    """
    kind = 'dot'

    def prepare(self, z: Embeddings) -> Embeddings:
        return Embeddings(z.user, z.item)

    def extra_repr(self) -> str:
        return ''


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
        super().__init__()
        self.temperature = check_positive('temperature', temperature)

    def prepare(self, z: Embeddings) -> Embeddings:
        return Embeddings(F.normalize(z.user, dim=-1), F.normalize(z.item, dim=-1))

    def extra_repr(self) -> str:
        return f'temperature={self.temperature}'
