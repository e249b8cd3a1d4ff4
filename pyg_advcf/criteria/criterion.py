r"""What all criteria share: reduction, precision and the treatment of excluded negatives."""
from typing import Optional

import torch
from torch import Tensor, nn

from pyg_advcf._checks import check_name
from pyg_advcf.interactions import Batch

_REDUCTIONS = ('mean', 'sum', 'none')


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


class Criterion(nn.Module):
    r"""Base class of criteria on scores: ``criterion(pos [B], neg [B, N], batch=None) -> loss``.

    Args:
        reduction: ``'mean'`` over the positives, ``'sum'``, or ``'none'`` (``[B]``).

    Raises:
        ValueError: If ``reduction`` is unknown.
    """
    def __init__(self, reduction: str = 'mean') -> None:
        super().__init__()
        self.reduction = check_name('reduction', reduction, _REDUCTIONS)

    def forward(self, pos: Tensor, neg: Tensor, batch: Optional[Batch] = None) -> Tensor:
        raise NotImplementedError

    def extra_repr(self) -> str:
        return '' if self.reduction == 'mean' else f"reduction='{self.reduction}'"
