r"""What all criteria share: checks, precision, reduction and excluded negatives."""
from typing import Any, Optional

import torch
from torch import Tensor, nn

from pyg_advcf import _checks
from pyg_advcf._checks import check_name
from pyg_advcf.batch import Batch, check_batch
from pyg_advcf.embeddings import Embeddings, check_embeddings
from pyg_advcf.nn.similarity import Dot, Similarity
from pyg_advcf.record import Recorded

REDUCTIONS = ('mean', 'sum', 'none')


def reduce(loss: Tensor, reduction: str) -> Tensor:
    r"""Applies ``'mean'``, ``'sum'`` or ``'none'`` over the positives of a batch."""
    if reduction == 'mean':
        return loss.mean()
    if reduction == 'none':
        return loss
    check_name('reduction', reduction, REDUCTIONS)
    return loss.sum()


def check_scores(pos: Tensor, neg: Tensor) -> tuple[Tensor, Tensor]:
    r"""Checks types and the shapes ``[B]`` and ``[B, N]``, and lifts half precision to float32.

    Half-precision scores are kept as they are; only the loss is computed in float32, as autocast
    does for the losses of PyTorch.
    """
    _checks.check_scores(pos, neg)
    if pos.dtype in (torch.float16, torch.bfloat16):
        pos, neg = pos.float(), neg.float()
    return pos, neg


def finite(neg: Tensor) -> Tensor:
    r"""Lifts excluded negatives (:math:`-\infty`) to the lowest scores that keep sums finite.

    Their softmax weight and gradient stay exactly 0, also where a row has no other negative.
    """
    return neg.clamp(min=torch.finfo(neg.dtype).min / 4)


class Criterion(Recorded, nn.Module):
    r"""Base class of criteria on scores: ``criterion(pos [B], neg [B, N], batch=None) -> loss``.

    A subclass implements :meth:`row_losses`, the value of every row; the base class checks scores
    and batch, lifts half precision to float32, and reduces. Whether scores are finite is not looked
    at, since a step must not wait for an accelerator: :func:`pyg_advcf.fit` names the first loss
    that is not. What
    :class:`~pyg_advcf.methods.Recommender` and the training loop need to know about a criterion are
    the attributes and methods below, all of which have defaults.

    Args:
        reduction: ``'mean'`` over the positives, ``'sum'``, or ``'none'`` (``[B]``).

    Attributes:
        negatives: ``'one'`` if the loss was published with one sampled negative per positive,
            ``'many'`` if with several, ``'none'`` if it does not use sampled negatives (then
            ``num_neg=1`` is the cheapest).
        needs_batch: What the ids of the batch are needed for; empty if they are not needed.
        num_users: Users that the criterion has a table of; ids of a batch are compared with it.
        num_items: Items that the criterion has a table of.
        needs_tables: Whether :meth:`forward` takes the layer-0 tables as ``x``.
        single_pass: Whether a call in training mode records something, so that a training step may
            call it only once.
        warmup_epochs: Epochs before the loss is the one that is published.

    Raises:
        ValueError: If ``reduction`` is unknown.
    """
    negatives = 'many'
    needs_batch = ''
    num_users: Optional[int] = None
    num_items: Optional[int] = None
    needs_tables = False
    single_pass = False
    warmup_epochs = 0

    def __init__(self, reduction: str = 'mean') -> None:
        super().__init__()
        self.reduction = check_name('reduction', reduction, REDUCTIONS)

    def default_similarity(self) -> Similarity:
        r"""The similarity that the criterion was published with."""
        return Dot()

    def row_losses(self, pos: Tensor, neg: Tensor, batch: Optional[Batch]) -> Tensor:
        r"""The loss of every row, ``[B]``, for scores that have been checked."""
        raise NotImplementedError

    def forward(self, pos: Tensor, neg: Tensor, batch: Optional[Batch] = None) -> Tensor:
        r"""Computes the loss.

        Args:
            pos: Scores of the positives, ``[B]``.
            neg: Scores of the negatives, ``[B, N]``; :math:`-\infty` for excluded ones.
            batch: The ids behind the scores, where they are needed.

        Raises:
            ValueError: If scores or batch are empty, of wrong types, or do not fit each other, if
                ``batch`` is needed and missing, or if it holds an id that the criterion has no row
                for (checked on CPU).
        """
        pos, neg = check_scores(pos, neg)
        batch = self._check_batch(batch, neg)
        return reduce(self.row_losses(pos, neg, batch), self.reduction)

    def _check_batch(self, batch: Optional[Batch], neg: Optional[Tensor] = None) -> Optional[Batch]:
        if batch is None:
            if self.needs_batch:
                raise ValueError(f"{self.__class__.__name__} needs 'batch' for {self.needs_batch}: "
                                 f"call criterion(pos, neg, batch)")
            return None
        batch = check_batch(batch, self.num_users, self.num_items)
        if neg is not None and (batch.user.size(0), batch.neg_item.size(-1)) != neg.shape:
            raise ValueError(f"'batch' has {batch.user.size(0)} rows with "
                             f"{batch.neg_item.size(-1)} negatives, but 'neg' scores "
                             f"{list(neg.shape)}; pass the batch that was scored")
        return batch

    def pool(self, batch: Batch) -> Optional[Tensor]:
        r"""Ids of the items that all rows share as negatives, ``[P]``, in place of sampled ones.

        ``None`` if the criterion uses the negatives of the batch.
        """
        return None

    def on_epoch_start(self, epoch: int, recommender: Any) -> None:
        r"""Called before each 0-based epoch with the recommender that is trained."""

    def adversary_parameters(self) -> list[nn.Parameter]:
        r"""Parameters that maximise the loss, for :class:`~pyg_advcf.training.MinMaxStep`."""
        return []

    def extra_repr(self) -> str:
        return '' if self.reduction == 'mean' else f"reduction='{self.reduction}'"


class EmbeddingCriterion(Criterion):
    r"""Base class of criteria on embeddings: ``criterion(z, batch) -> loss``.

    The embeddings know which rows they hold, so the ids of the batch are those of the data.
    """
    negatives = 'none'

    def forward(self, z: Embeddings, batch: Batch) -> Tensor:
        r"""Computes the loss of the batch from the embeddings ``z``."""
        return self.embedding_loss(check_embeddings('z', z), check_batch(batch))

    def embedding_loss(self, z: Embeddings, batch: Batch) -> Tensor:
        r"""The loss, for embeddings and a batch that have been checked."""
        raise NotImplementedError
