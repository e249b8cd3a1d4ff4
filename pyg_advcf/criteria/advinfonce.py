r"""AdvInfoNCE: InfoNCE with a learned hardness of every negative."""
import math
from collections.abc import Iterable
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_advcf._checks import (
    check_count,
    check_degrees,
    check_finite,
    check_floats,
    check_mask,
    check_name,
    check_positive,
)
from pyg_advcf.batch import Batch
from pyg_advcf.criteria.criterion import Criterion, check_scores, finite, reduce
from pyg_advcf.criteria.hardness import (
    BucketHardness,
    EmbedHardness,
    MLPHardness,
    PopularityHardness,
    RandomHardness,
    UniformHardness,
)
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.nn.similarity import Cosine, Similarity
from pyg_advcf.registry import CRITERIA

HARDNESS = ('embed', 'mlp', 'reverse', 'random', 'uniform', 'buckets', 'popularity')


def log_hardness(raw: Tensor, mask: Optional[Tensor] = None) -> Tensor:
    r""":math:`\delta = \log(N p)`, :math:`p = \mathrm{softmax}(g)`: hardness of every negative.

    Args:
        raw: :math:`g`, ``[B, N]``.
        mask: ``[B, N]``, ``False`` for negatives that do not count, in :math:`N` neither. Their
            hardness is 0.

    Returns:
        :math:`\delta`, ``[B, N]``; the mean of :math:`e^\delta` over a row is 1.
    """
    check_floats('raw', raw, ('B', 'N'))
    if mask is not None:
        check_mask('mask', mask, tuple(raw.shape))
    if raw.dtype in (torch.float16, torch.bfloat16):
        raw = raw.float()
    if mask is None:
        return F.log_softmax(raw, dim=1) + math.log(max(raw.size(1), 1))
    log_p = F.log_softmax(finite(raw.masked_fill(~mask, float('-inf'))), dim=1)
    count = mask.sum(1, keepdim=True).clamp(min=1)
    return (log_p + count.log()).masked_fill(~mask, 0.)


def advinfonce(
    pos: Tensor,
    neg: Tensor,
    log_hardness: Tensor,
    k: float = 64.,
    reduction: str = 'mean',
) -> Tensor:
    r"""AdvInfoNCE loss for given ``log_hardness [B, N]``; see :class:`AdvInfoNCE`."""
    pos, neg = check_scores(pos, neg)
    check_floats('log_hardness', log_hardness, tuple(neg.shape))
    check_positive('k', k)
    hard = torch.logsumexp(finite(neg + log_hardness), dim=1) + math.log(k)
    return reduce(F.softplus(hard - pos), reduction)


@CRITERIA.register('advinfonce')
class AdvInfoNCE(Criterion):
    r"""Adversarial InfoNCE, `arXiv 2310.18700 <https://arxiv.org/abs/2310.18700>`_.

    .. math::
        L = \frac{1}{B} \sum_b -\log
            \frac{e^{s^+_b}}{e^{s^+_b} + k \sum_j e^{\delta_{bj}} e^{s^-_{bj}}}, \qquad
        \delta_{bj} = \log(N p_{bj}), \quad p_b = \mathrm{softmax}(g_b)

    The recommender minimises :math:`L` with the hardness frozen (:meth:`forward`), the hardness
    model maximises it with the recommender frozen (:meth:`adversary_loss`), each with its own
    optimizer. A negative with :math:`\delta > 0` is up-weighted as a hard negative, one with
    :math:`\delta < 0` is down-weighted as a likely false negative.

    Args:
        num_users: Number of users.
        num_items: Number of items.
        dim: Width of the hardness tables, or of the features of ``'mlp'``.
        k: :math:`k > 0`, stands in for the negatives that are not sampled. Note that
            :math:`k > 1` alone adds the margin :math:`\ln k`: compare with ``'uniform'``.
        hardness: ``'embed'`` (tables :math:`g = a_u \cdot b_j`), ``'mlp'`` (of the layer-0
            embeddings), ``'reverse'`` (as ``'embed'``, but the adversary *minimises*),
            ``'random'``, ``'uniform'`` (:math:`\delta = 0`), ``'buckets'`` (fixed, by classes of
            popularity: a control of the authors' code) or ``'popularity'`` (fixed,
            :math:`g_j = a \log(d_j + 1)`).
        popularity: Training degree :math:`d` of the items, for ``'buckets'`` and ``'popularity'``.
        exponent: :math:`a` of ``'popularity'``: larger values gain on data that are less popular
            than the training data, and lose on data like these.
        adversary_l2: Weight of :math:`\frac{1}{2B} \sum \|a_u\|^2 + \|b_j\|^2` over the rows of
            the batch in the adversary's loss (``'embed'``, ``'reverse'``). 0 is published.
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``.

    Shapes:
        ``pos [B]``, ``neg [B, N]`` and a :class:`~pyg_advcf.Batch` to a scalar.

    Raises:
        ValueError: If ``hardness`` or ``reduction`` is unknown, ``k`` is not above 0, or
            ``popularity`` is missing.

    Example:
        >>> criterion = AdvInfoNCE(num_users=3, num_items=5, dim=8, k=1, hardness='uniform')
        >>> batch = Batch(torch.tensor([0, 2]), torch.tensor([1, 1]),
        ...               torch.tensor([[0, 3, 4], [2, 0, 4]]), torch.tensor([0, 5]))
        >>> criterion(torch.zeros(2), torch.zeros(2, 3), batch)  # InfoNCE: ln 4
        tensor(1.3863)
    """
    needs_batch = 'the ids whose hardness it learns'

    def __init__(
        self,
        num_users: int,
        num_items: int,
        dim: int = 64,
        k: float = 64.,
        hardness: str = 'embed',
        popularity: Optional[Tensor] = None,
        adversary_l2: float = 0.,
        reduction: str = 'mean',
        exponent: float = 0.5,
    ) -> None:
        super().__init__(reduction)
        self.k = check_positive('k', k)
        self.mode = check_name('hardness', hardness, HARDNESS)
        self.adversary_l2 = check_positive('adversary_l2', adversary_l2, zero=True)
        self.num_users = check_count('num_users', num_users)
        self.num_items = check_count('num_items', num_items)
        check_count('dim', dim)
        check_finite('exponent', exponent)
        if popularity is not None:
            check_degrees('popularity', popularity, num_items)
        if hardness in ('embed', 'reverse'):
            self.hardness = EmbedHardness(num_users, num_items, dim)
        elif hardness == 'mlp':
            self.hardness = MLPHardness(dim)
        elif hardness == 'random':
            self.hardness = RandomHardness()
        elif hardness == 'uniform':
            self.hardness = UniformHardness()
        else:
            if popularity is None:
                raise ValueError(f"hardness '{hardness}' needs 'popularity', the training degree "
                                 f"of all {num_items} items: pyg_advcf.degrees(data)[1]")
            self.hardness = (BucketHardness(popularity) if hardness == 'buckets' else
                             PopularityHardness(popularity, exponent))
        # What MinMaxStep(target_kl=...) sets; kept with the weights.
        self.register_buffer('hardness_scale', torch.ones(()))

    @property
    def needs_tables(self) -> bool:
        return self.mode == 'mlp'

    def default_similarity(self) -> Similarity:
        return Cosine(0.1)

    def adversary_parameters(self) -> list[nn.Parameter]:
        return list(self.hardness.parameters())

    def log_hardness(self, batch: Batch, x: Optional[Embeddings] = None) -> Tensor:
        r"""Hardness :math:`\delta` of the negatives of a batch, ``[B, N]``.

        Args:
            batch: The ids.
            x: Layer-0 tables of the recommender, for ``'mlp'``.

        Raises:
            ValueError: If there is but one negative for each positive, which leaves an adversary
                nothing to choose.
        """
        batch = self._check_batch(batch)
        if self.mode != 'uniform' and batch.neg_item.size(-1) == 1:
            raise ValueError(f"'batch' has one negative for each positive, but hardness "
                             f"'{self.mode}' is a share among a row's negatives, so that one alone "
                             f"always has the log hardness 0; sample more, with num_neg= of "
                             f"InteractionLoader or amount= of PyG's NegativeSampling, or pass "
                             f"hardness='uniform'")
        return log_hardness(self.hardness(batch, x) * self.hardness_scale, batch.neg_mask)

    @torch.no_grad()
    def scale_to_kl(self, target: float, batches: Iterable[Batch],
                    x: Optional[Embeddings] = None) -> dict[str, float]:
        r"""Scales the raw hardness so that its :math:`KL(P_0 \| P)` is ``target`` on ``batches``.

        The divergence rises with the scale :math:`c` of :math:`p = \mathrm{softmax}(c g)`, so that
        bisection finds it, between :math:`2^{-40}` and :math:`2^{40}`.

        Args:
            target: The mean divergence over the batches, above 0.
            batches: Batches to measure it on.
            x: Layer-0 tables of the recommender, for ``'mlp'``.

        Returns:
            The divergence that was reached (``kl_uniform_p``) and ``hardness_scale``.

        Raises:
            ValueError: If ``target`` is not above 0, or there is no batch.
        """
        check_positive('target', target)
        raw = [(self.hardness(batch, x), batch.neg_mask)
               for batch in map(self._check_batch, batches)]
        if not raw:
            raise ValueError("'batches' is empty, but the divergence needs a batch to measure")

        def divergence(exponent: float) -> float:
            return float(torch.stack([-log_hardness(g * 2.**exponent, mask).mean()
                                      for g, mask in raw]).mean())

        low, high = -40., 40.
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if divergence(middle) < target else (low, middle)
        self.hardness_scale.fill_(2.**high)
        return {'kl_uniform_p': divergence(high), 'hardness_scale': 2.**high}

    def forward(
        self,
        pos: Tensor,
        neg: Tensor,
        batch: Optional[Batch] = None,
        x: Optional[Embeddings] = None,
        log_hardness: Optional[Tensor] = None,
    ) -> Tensor:
        r"""Computes the recommender's loss. The hardness is frozen: it gets no gradient.

        Args:
            pos: Scores of the positives, ``[B]``.
            neg: Scores of the negatives, ``[B, N]``.
            batch: The ids behind the scores.
            x: Layer-0 tables of the recommender, for ``'mlp'``.
            log_hardness: Hardness :math:`\delta` to use instead of the model's, ``[B, N]``.
        """
        pos, neg = check_scores(pos, neg)
        if log_hardness is None or batch is not None:
            batch = self._check_batch(batch, neg)
        if log_hardness is None:
            with torch.no_grad():
                log_hardness = self.log_hardness(batch, x)
        return advinfonce(pos, neg, log_hardness, self.k, self.reduction)

    def adversary_loss(
        self,
        pos: Tensor,
        neg: Tensor,
        batch: Batch,
        x: Optional[Embeddings] = None,
    ) -> Tensor:
        r"""What the adversary's optimizer *minimises*: :math:`-L`, or :math:`+L` if ``'reverse'``.

        The scores are detached: no gradient reaches the recommender.
        """
        return self.adversary_loss_and_log(pos, neg, batch, x)[0]

    def adversary_loss_and_log(
        self,
        pos: Tensor,
        neg: Tensor,
        batch: Batch,
        x: Optional[Embeddings] = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        r"""As :meth:`adversary_loss`, with two divergences from uniform hardness to log.

        Returns:
            The loss, and the means over the batch of :math:`KL(P_0 \| P)` (``kl_uniform_p``, the
            one of the paper's theorem) and of :math:`KL(P \| P_0)` (``kl_p_uniform``).
        """
        check_scores(pos, neg)
        batch = self._check_batch(batch, neg)
        hardness = self.log_hardness(batch, x)
        loss = self(pos.detach(), neg.detach(), batch, log_hardness=hardness)
        loss = loss if self.mode == 'reverse' else -loss
        if self.adversary_l2 > 0. and isinstance(self.hardness, EmbedHardness):
            rows = (self.hardness.user(batch.user), self.hardness.item(batch.neg_item.view(-1)))
            penalty = sum(row.square().sum() for row in rows) / (2 * batch.user.numel())
            loss = loss + self.adversary_l2 * penalty
        with torch.no_grad():
            log = {'kl_uniform_p': -hardness.mean(),
                   'kl_p_uniform': (hardness.exp() * hardness).mean()}
        return loss, log

    def extra_repr(self) -> str:
        return f"k={self.k:g}, hardness='{self.mode}'"
