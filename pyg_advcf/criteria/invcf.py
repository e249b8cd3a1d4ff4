r"""InvCF: preference embeddings that do not depend on popularity."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_advcf._checks import check_count, check_floats, check_integers, check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.criteria.infonce import infonce
from pyg_advcf.embeddings import Embeddings, check_embeddings, check_rows
from pyg_advcf.nn.similarity import Cosine
from pyg_advcf.record import Recorded


def distance_correlation(x: Tensor, y: Tensor) -> Tensor:
    r"""Distance correlation of two samples: 0 if independent, 1 if equal up to a similarity.

    From "Measuring and testing dependence by correlation of distances" (Annals of Statistics,
    2007); 0 if one sample is constant.

    Args:
        x: ``[n, D]``.
        y: ``[n, D']``.

    Example:
        >>> x = torch.tensor([[0.], [1.], [5.]])
        >>> distance_correlation(x, 1 - 3 * x)
        tensor(1.)
    """
    check_floats('x', x, ('n', 'D'))
    check_floats('y', y, (x.size(0), "D'"))

    def centred(x: Tensor) -> Tensor:
        x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        d = torch.cdist(x, x, compute_mode='donot_use_mm_for_euclid_dist')
        return d - d.mean(0) - d.mean(1, keepdim=True) + d.mean()

    a, b = centred(x), centred(y)
    own = torch.stack([a.square().mean(), b.square().mean()])
    constant = (own == 0).any()
    scale = own.masked_fill(constant, 1.).sqrt().prod()
    squared = ((a * b).mean() / scale).masked_fill(constant, 0.)
    # The root has no derivative at 0, where rounding may also lead below.
    positive = squared > 0
    return squared.where(positive, 1.).sqrt().where(positive, 0.)


class InvCFLoss(Recorded, nn.Module):
    r"""Invariant collaborative filtering: separate embeddings of preference and popularity.

    .. math::
        L = L(E) + \lambda_1 L(P) + \lambda_3 \left( L([P \| E]) + L([P_\pi \| E]) \right)
            + \frac{\lambda_2}{F} \sum_f \mathrm{dCor}(E_f, P_f)

    where :math:`L` is InfoNCE on cosines of the preference embeddings :math:`E`, of the popularity
    embeddings :math:`P`, or of both side by side, and :math:`\pi` permutes the popularity of the
    batch's users and positives, of both alike. :math:`E_f, P_f` are the blocks of the columns of
    the rows of the batch, users and positives apart. From "Invariant Collaborative Filtering to
    Popularity Distribution Shift" (WWW 2023), whose code *subtracts* the last term, which rewards
    dependence.

    Args:
        temperature: :math:`\tau > 0`.
        popularity: :math:`\lambda_1 \geq 0`.
        independence: :math:`\lambda_2 \geq 0`.
        invariance: :math:`\lambda_3 \geq 0`.
        factors: Number :math:`F` of blocks of columns.

    Shapes:
        Two :class:`~pyg_advcf.Embeddings` with the same rows and a :class:`~pyg_advcf.Batch` to a
        scalar.

    Raises:
        ValueError: If an argument is out of range, or if there are more blocks than columns.

    Example:
        >>> z = Embeddings(torch.ones(3, 4), torch.ones(5, 4))
        >>> batch = Batch(*(torch.tensor(t) for t in ([0, 2], [1, 1], [[3], [4]], [0, 1])))
        >>> InvCFLoss(popularity=1., invariance=1.)(z, z, batch)  # 4 ln 2
        tensor(2.7726)
    """
    def __init__(
        self,
        temperature: float = 0.1,
        popularity: float = 1e-5,
        independence: float = 0.,
        invariance: float = 1e-4,
        factors: int = 4,
    ) -> None:
        super().__init__()
        self.similarity = Cosine(temperature)
        self.popularity = check_positive('popularity', popularity, zero=True)
        self.independence = check_positive('independence', independence, zero=True)
        self.invariance = check_positive('invariance', invariance, zero=True)
        self.factors = check_count('factors', factors)

    def forward(
        self,
        z: Embeddings,
        p: Embeddings,
        batch: Batch,
        order: Optional[Tensor] = None,
    ) -> Tensor:
        r"""Computes the loss.

        Args:
            z: Preference embeddings.
            p: Popularity embeddings, with the same rows.
            batch: The pairs to learn from.
            order: The permutation :math:`\pi` of the batch's rows, ``[B]``; drawn if absent.
        """
        check_embeddings('z', z)
        check_embeddings('p', p)
        batch = check_rows(z, batch)
        if order is not None:
            order = check_integers('order', order, tuple(batch.user.shape))
        loss = self._contrast(z, batch)
        if self.popularity > 0.:
            loss = loss + self.popularity * self._contrast(p, batch)
        if self.invariance > 0.:
            if order is None:
                order = torch.randperm(batch.user.numel(), device=batch.user.device)
            both = z.map(lambda e, p: torch.cat([p, e], dim=1), p)
            loss = loss + self.invariance * (self._contrast(both, batch)
                                             + self._permuted(both, p.user.size(1), batch, order))
        if self.independence > 0.:
            loss = loss + self.independence * self.dependence(z, p, batch)
        return loss

    def _contrast(self, z: Embeddings, batch: Batch) -> Tensor:
        return infonce(*self.similarity(z, batch))

    def _permuted(self, both: Embeddings, width: int, batch: Batch, order: Tensor) -> Tensor:
        r"""InfoNCE where users and positives have the popularity of other rows."""
        user, item = (torch.cat([rows[:, :width][order], rows[:, width:]], dim=1)
                      for rows in (both.users(batch.user), both.items(batch.item)))
        # A table of users with a row for each row of the batch.
        mixed = Embeddings(user, both.item, None, both.item_index)
        rows = torch.arange(order.numel(), device=order.device)
        _, neg = self.similarity(mixed, batch._replace(user=rows, rows=None))
        pos = F.cosine_similarity(user, item, dim=-1, eps=1e-12) / self.similarity.temperature
        return infonce(pos, neg)

    def check_width(self, width: int) -> None:
        r"""Raises if embeddings of this width have fewer columns than there are blocks."""
        if self.factors > width:
            raise ValueError(f"'factors' is {self.factors}, but embeddings of width {width} have "
                             f"at most as many blocks; lower 'factors'")

    def dependence(self, z: Embeddings, p: Embeddings, batch: Batch) -> Tensor:
        r"""Mean distance correlation of the blocks, of users and of positives."""
        self.check_width(z.user.size(1))
        total = []
        for rows in ((z.users(batch.user), p.users(batch.user)),
                     (z.items(batch.item), p.items(batch.item))):
            blocks = (t.tensor_split(self.factors, 1) for t in rows)
            total += [distance_correlation(a, b) for a, b in zip(*blocks)]
        return torch.stack(total).mean()

    def extra_repr(self) -> str:
        return (f'popularity={self.popularity}, '
                f'independence={self.independence}, invariance={self.invariance}, '
                f'factors={self.factors}')
