r"""What all criteria share: checks, precision, reduction and excluded negatives."""
from typing import Any, Optional

import torch
from torch import Tensor, nn

from pyg_advcf._checks import check_name
from pyg_advcf.batch import Batch
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.nn.similarity import Dot, Similarity
from pyg_advcf.record import Recorded

REDUCTIONS = ('mean', 'sum', 'none')


def reduce(loss: Tensor, reduction: str) -> Tensor:
    r"""Applies ``'mean'``, ``'sum'`` or ``'none'`` over the positives of a batch."""
    if reduction == 'mean':
        return loss.mean()
    return loss.sum() if reduction == 'sum' else loss


def check_scores(pos: Tensor, neg: Tensor) -> tuple[Tensor, Tensor]:
    r"""Checks the shapes ``[B]`` and ``[B, N]``, and lifts half precision to float32.

    Half-precision scores are kept as they are; only the loss is computed in float32, as autocast
    does for the losses of PyTorch.
    """
    if pos.dim() != 1 or neg.dim() != 2 or neg.size(0) != pos.size(0):
        raise ValueError(f"'pos' and 'neg' have shapes {list(pos.shape)} and {list(neg.shape)}, "
                         f"but need to be [B] and [B, N]")
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

    A subclass implements :meth:`row_losses`, the value of every row; the base class checks the
    shapes, lifts half precision to float32, and reduces. What
    :class:`~pyg_advcf.methods.Recommender` and the training loop need to know about a criterion are
    the attributes and methods below, all of which have defaults.

    Args:
        reduction: ``'mean'`` over the positives, ``'sum'``, or ``'none'`` (``[B]``).

    Attributes:
        negatives: ``'one'`` if the loss was published with one sampled negative per positive,
            ``'many'`` if with several, ``'none'`` if it does not use sampled negatives (then
            ``num_neg=1`` is the cheapest).
        needs_batch: What the ids of the batch are needed for; empty if they are not needed.
        needs_tables: Whether :meth:`forward` takes the layer-0 tables as ``x``.
        single_pass: Whether a call in training mode records something, so that a training step may
            call it only once.
        warmup_epochs: Epochs before the loss is the one that is published.

    Raises:
        ValueError: If ``reduction`` is unknown.
    """
    negatives = 'many'
    needs_batch = ''
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
            ValueError: If the shapes do not fit, or if ``batch`` is needed and missing.
        """
        pos, neg = check_scores(pos, neg)
        self._check_batch(batch)
        return reduce(self.row_losses(pos, neg, batch), self.reduction)

    def _check_batch(self, batch: Optional[Batch]) -> None:
        if self.needs_batch and batch is None:
            raise ValueError(f"{self.__class__.__name__} needs 'batch' for {self.needs_batch}: "
                             f"call criterion(pos, neg, batch)")

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
        raise NotImplementedError
