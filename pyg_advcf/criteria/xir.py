r"""XIR: resampled in-batch negatives and a cache of those that were drawn before."""
from typing import Any, Optional

import torch
from torch import Tensor

from pyg_advcf._checks import check_count, check_degrees, check_ratio
from pyg_advcf.batch import Batch
from pyg_advcf.criteria.bir import resample
from pyg_advcf.criteria.criterion import Criterion
from pyg_advcf.criteria.infonce import infonce


class XIR(Criterion):
    r"""XIR, resampled negatives of the batch and of a cache, `arXiv 2205.14859
    <https://arxiv.org/abs/2205.14859>`_.

    With half as many draws as the batch has items from each of the two, by the rule of
    :class:`~pyg_advcf.criteria.BIR`:

    .. math::
        L = \lambda L_{InfoNCE}(\text{cache}) + (1 - \lambda) L_{InfoNCE}(\text{batch})

    Each item counts how often it was drawn (since :meth:`forget`). After a call in training mode
    the cache is filled again, with replacement, from the items just drawn, by these counts. It
    starts out uniform over the catalogue. Cache and counts are part of the ``state_dict``.

    The negatives are the items of the batch followed by the cache: :meth:`pool`.

    Args:
        popularity: Training degree of every item, ``[num_items]``; below 1 it counts as 1.
        cache_size: Items in the cache; the published one is as large as a batch.
        weight: :math:`\lambda \in [0, 1]`.
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``.

    Shapes:
        ``pos [B]``, ``neg [B, B + cache_size]`` and a :class:`~pyg_advcf.Batch` with that pool as
        its negatives to a scalar (``[B]`` without reduction).

    Raises:
        ValueError: If ``cache_size`` is below 1, ``weight`` outside [0, 1], ``reduction`` unknown,
            or the shapes do not fit.

    Example:
        >>> criterion = XIR(popularity=torch.ones(5), cache_size=3)
        >>> batch = Batch(*(torch.tensor(t) for t in ([0, 1], [0, 1], [0, 1], [0, 1])))
        >>> batch = batch._replace(neg_item=criterion.pool(batch))
        >>> criterion(torch.zeros(2), torch.zeros(2, 2 + 3), batch)  # One draw from each: ln 2
        tensor(0.6931)
    """
    needs_batch = 'the negative items, whose popularity is divided out'
    negatives = 'none'
    single_pass = True

    def __init__(
        self,
        popularity: Tensor,
        cache_size: int = 2048,
        weight: float = 0.5,
        reduction: str = 'mean',
    ) -> None:
        super().__init__(reduction)
        check_count('cache_size', cache_size)
        self.weight = check_ratio('weight', weight)
        check_degrees('popularity', popularity)
        self.num_items = popularity.numel()
        self.register_buffer('log_q', popularity.clamp(min=1).float().log())
        self.register_buffer('cache', torch.randint(popularity.numel(), (cache_size, )))
        self.register_buffer('drawn', torch.zeros(popularity.numel()))

    def pool(self, batch: Batch) -> Tensor:
        r"""Ids of the batch's items and of the cache, ``[B + cache_size]``."""
        return torch.cat([batch.item, self.cache])

    def on_epoch_start(self, epoch: int, recommender: Any) -> None:
        r"""Resets the counts of draws at every epoch."""
        self.forget()

    def forget(self) -> None:
        r"""Resets the counts of draws to 0; the cache is kept."""
        self.drawn.zero_()

    @torch.no_grad()
    def _refill(self, items: Tensor, counted: Tensor) -> None:
        new = torch.zeros_like(self.drawn).index_add_(0, items, counted.to(self.drawn.dtype))
        self.drawn.add_(new)
        weight = self.drawn * (new > 0)
        empty = weight.sum() == 0  # Only where every negative is excluded: the cache stays.
        cache = torch.multinomial(weight + empty, self.cache.numel(), replacement=True)
        self.cache.copy_(torch.where(empty, self.cache, cache))

    def row_losses(self, pos: Tensor, neg: Tensor, batch: Optional[Batch]) -> Tensor:
        size = pos.numel()
        if neg.size(1) != size + self.cache.numel() or batch.neg_item.shape != neg.shape[1:]:
            raise ValueError(f"'neg' has shape {list(neg.shape)}, but needs to score the "
                             f"{size + self.cache.numel()} items of criterion.pool(batch)")
        num_draws = max(1, size // 2)
        log_q = self.log_q[batch.neg_item]
        losses, items, counted = [], [], []
        for start, stop in ((0, size), (size, neg.size(1))):
            part = neg[:, start:stop]
            index = resample(part, log_q[start:stop], num_draws)
            scores = part.gather(1, index)
            losses.append(infonce(pos, scores, 'none'))
            items.append(batch.neg_item[start:stop][index].view(-1))
            counted.append(~scores.isneginf().view(-1))
        if self.training:
            self._refill(torch.cat(items), torch.cat(counted))
        return torch.lerp(*losses, self.weight)

    def extra_repr(self) -> str:
        return f'cache_size={self.cache.numel()}, weight={self.weight}'
