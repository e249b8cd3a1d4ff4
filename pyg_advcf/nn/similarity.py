r"""How a user and an item are compared in training, and how their scores are ranked."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_advcf._checks import check_degrees, check_finite, check_instance, check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.embeddings import Embeddings, check_embeddings, check_rows
from pyg_advcf.ops import sampled_scores
from pyg_advcf.record import Recorded


class Similarity(Recorded, nn.Module):
    r"""Base class: scores of sampled pairs in training, and embeddings to rank with.

    The score that is *ranked* has two choices of its own, since a loss on sampled negatives learns
    affinity relative to how the negatives were drawn. In-batch negatives are drawn by popularity
    :math:`q`, and the optimum of their softmax is :math:`s_{ui} = \log p(i|u) - \log q_i`. Ranked
    by :math:`s` alone, popular items come too late, and :math:`\beta = 1` below ranks by
    :math:`p(i|u)` again.

    .. math::
        r_{ui} = s_{ui} \left( \frac{\|z_i\|}{\overline{\|z\|}} \right)^{\gamma - \gamma_0}
        + \beta \log(d_i + 1)

    with the training degree :math:`d_i`, the mean norm of the items, and the power
    :math:`\gamma_0` of the norm that is in :math:`s` already: 1 for :class:`Dot`, 0 for
    :class:`Cosine`. A cosine with :math:`\gamma = 1` ranks as the dot product.
    :func:`pyg_advcf.metrics.calibrate` chooses both on validation pairs.

    Args:
        temperature: :math:`\tau > 0`; scores are divided by it.
        norm_power: :math:`\gamma`, the power of the items' norm in the ranking; :math:`\gamma_0` by
            default, which ranks as training scores.
        prior: :math:`\beta`, the weight of the logarithm of popularity in the ranking.

    Attributes:
        kind: ``'dot'`` or ``'cosine'``; see :func:`pyg_advcf.ops.sampled_scores`.
        own_norm_power: :math:`\gamma_0`.

    Raises:
        ValueError: If ``temperature`` is not above 0, or another argument is not a finite number.
    """
    kind: str
    own_norm_power: float

    def __init__(self, temperature: float = 1., norm_power: Optional[float] = None,
                 prior: float = 0.) -> None:
        super().__init__()
        self.temperature = check_positive('temperature', temperature)
        norm_power = self.own_norm_power if norm_power is None else norm_power
        # Buffers, so that what was calibrated is kept with the weights.
        self.register_buffer('_norm_power', torch.empty((), dtype=torch.float64))
        self.register_buffer('_prior', torch.empty((), dtype=torch.float64))
        self.norm_power, self.prior = norm_power, prior

    @property
    def norm_power(self) -> float:
        r""":math:`\gamma`, which can be set."""
        return float(self._norm_power)

    @norm_power.setter
    def norm_power(self, value: float) -> None:
        self._norm_power.fill_(check_finite('norm_power', value))

    @property
    def prior(self) -> float:
        r""":math:`\beta`, which can be set."""
        return float(self._prior)

    @prior.setter
    def prior(self, value: float) -> None:
        self._prior.fill_(check_finite('prior', value))

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
        r"""Embeddings whose dot products, over the temperature, are the scores of training."""
        raise NotImplementedError

    def item_factor(self, z: Embeddings, norm_power: Optional[float] = None) -> Optional[Tensor]:
        r"""What the scores of every item are multiplied by for the ranking, ``[num_items]``.

        ``None`` if by nothing.
        """
        power = (self.norm_power if norm_power is None else norm_power) - self.own_norm_power
        if power == 0.:
            return None
        norm = z.item.norm(dim=1)
        # An item without a direction scores 0, whatever it is multiplied by.
        norm = norm / norm.mean().clamp(min=torch.finfo(norm.dtype).tiny)
        return norm.clamp(min=torch.finfo(norm.dtype).eps)**power

    def item_prior(self, popularity: Tensor, prior: Optional[float] = None) -> Tensor:
        r"""What is added to the dot products of every item, :math:`\tau \beta \log(d_i + 1)`."""
        prior = self.prior if prior is None else prior
        return popularity.double().log1p() * (prior * self.temperature)

    def rank(self, z: Embeddings, popularity: Optional[Tensor] = None) -> Embeddings:
        r"""Embeddings whose dot products, over the temperature, are the scores of the ranking.

        The prior takes a further column, so that everything that ranks by dot products, such as an
        index of nearest neighbours, stays exact.

        Args:
            z: Embeddings of all users and items.
            popularity: Training degree of every item, ``[num_items]``; needed for a prior.

        Raises:
            ValueError: If there is a prior, and ``popularity`` is missing or does not fit.
        """
        prepared, factor = self.prepare(z), self.item_factor(z)
        user, item = prepared
        if factor is not None:
            item = item * factor.unsqueeze(1)
        if self.prior != 0.:
            if popularity is None:
                raise ValueError(f"{self!r} ranks with a prior, which needs 'popularity', the "
                                 f"training degree of every item: pyg_advcf.degrees(data)[1]")
            check_degrees('popularity', popularity, item.size(0))
            prior = self.item_prior(popularity.to(item.device)).to(item.dtype)
            user = torch.cat([user, user.new_ones(user.size(0), 1)], dim=1)
            item = torch.cat([item, prior.unsqueeze(1)], dim=1)
        return prepared if item is prepared.item else prepared.with_tables(user, item)

    def extra_repr(self) -> str:
        parts = [f'temperature={self.temperature}']
        if self.norm_power != self.own_norm_power:
            parts.append(f'norm_power={self.norm_power:g}')
        if self.prior != 0.:
            parts.append(f'prior={self.prior:g}')
        return ', '.join(parts)


class Dot(Similarity):
    r"""Dot product, :math:`s_{ui} = z_u \cdot z_i / \tau`.

    Args:
        temperature: :math:`\tau > 0`; 1 almost everywhere.
        norm_power: See :class:`Similarity`; 1 by default.
        prior: See :class:`Similarity`.

    Raises:
        ValueError: As :class:`Similarity`.

    Example:
        >>> import torch
        >>> z = Embeddings(torch.eye(2), torch.eye(2))
        >>> batch = Batch(*(torch.tensor(t) for t in ([0], [0], [[1]], [0])))
        >>> Dot()(z, batch)
        (tensor([1.]), tensor([[0.]]))
    """
    kind = 'dot'
    own_norm_power = 1.

    def prepare(self, z: Embeddings) -> Embeddings:
        return check_embeddings('z', z)

    def extra_repr(self) -> str:
        return super().extra_repr().removeprefix('temperature=1.0').removeprefix(', ')


class Cosine(Similarity):
    r"""Cosine over temperature, :math:`s_{ui} = \cos(z_u, z_i) / \tau`.

    Args:
        temperature: :math:`\tau > 0`; published values reach from 0.05 to 3.
        norm_power: See :class:`Similarity`; 0 by default.
        prior: See :class:`Similarity`.

    Raises:
        ValueError: As :class:`Similarity`.

    Example:
        >>> import torch
        >>> z = Embeddings(torch.eye(2), 3 * torch.eye(2))
        >>> batch = Batch(*(torch.tensor(t) for t in ([0], [0], [[1]], [0])))
        >>> Cosine(temperature=0.5)(z, batch)
        (tensor([2.]), tensor([[0.]]))
    """
    kind = 'cosine'
    own_norm_power = 0.

    def __init__(self, temperature: float = 0.1, norm_power: Optional[float] = None,
                 prior: float = 0.) -> None:
        super().__init__(temperature, norm_power, prior)

    def prepare(self, z: Embeddings) -> Embeddings:
        check_embeddings('z', z)
        return z.with_tables(F.normalize(z.user, dim=-1), F.normalize(z.item, dim=-1))


def check_similarity(argument: str, similarity: Similarity) -> Similarity:
    r"""Returns ``similarity`` if it is one."""
    return check_instance(argument, similarity, Similarity,
                          'a similarity of pyg_advcf.nn, such as Dot() or Cosine(0.1)')
