r"""The trajectory penalty of SharpCF."""
import os
from typing import Optional

import torch
from torch import Tensor, nn

from pyg_advcf._checks import (
    check_count,
    check_floats,
    check_ids,
    check_integers,
    check_mask,
    check_name,
    check_positive,
    reads_values,
)
from pyg_advcf.record import Recorded

_DTYPES = {'float32': torch.float32, 'float16': torch.float16}
_NEVER = -1
_TURNS = 2**15  # Of the ring, until 16 bits count anew.


def trajectory(pos: Tensor, before: Tensor, known: Optional[Tensor] = None) -> Tensor:
    r"""Mean squared distance of scores from earlier ones; see :class:`TrajectoryPenalty`.

    Args:
        pos: ``[B]``.
        before: ``[B]``, held fixed.
        known: ``[B]``, ``False`` where there is no earlier score.
    """
    check_floats('pos', pos, ('B', ))
    check_floats('before', before, (pos.size(0), ))
    if known is not None:
        check_mask('known', known, (pos.size(0), ))
    gap = pos - before.detach().to(pos.dtype)
    if known is not None:
        gap = gap * known
    return gap.dot(gap) / max(pos.numel(), 1)


class TrajectoryPenalty(Recorded, nn.Module):
    r"""Penalises changes of the positives' scores since some epochs ago.

    .. math::
        \frac{\lambda}{B} \sum_b \left(s^+_b - H_e(k_b)\right)^2

    where :math:`H_e(k)` is the score that interaction :math:`k` had in epoch :math:`e - E`. From
    `"Adversarial Collaborative Filtering for Free" <https://arxiv.org/abs/2308.13541>`_: it
    replaces the adversarial loss in the search for flat minima, without a second pass.

    Scores are stored by *interaction id* (:attr:`pyg_advcf.Batch.id`), so that shuffling does not
    matter; an interaction that was not seen exactly :math:`E` epochs ago adds nothing. The scores
    are part of the ``state_dict``: a resumed run continues exactly.

    Args:
        num_interactions: Number of training interactions.
        weight: :math:`\lambda \geq 0`; 0.1 to 1 were best in the paper.
        lag: :math:`E \geq 1` epochs.
        warmup_epochs: Epochs without penalty, 200 in the paper; recording begins ``lag`` epochs
            earlier.
        dtype: ``'float32'`` or ``'float16'``, in which scores are kept.

    Shapes:
        ``pos [B]``, ``id [B]`` and the 0-based epoch to a scalar.

    Raises:
        ValueError: If an argument is out of range.
        MemoryError: If the scores need more memory than there is.

    Example:
        >>> penalty = TrajectoryPenalty(num_interactions=5, weight=1., lag=1, warmup_epochs=1)
        >>> ids = torch.tensor([4, 2])
        >>> penalty(torch.tensor([1., 2.]), ids, epoch=0)  # Records.
        tensor(0.)
        >>> penalty(torch.tensor([2., 4.]), ids.flip(0), epoch=1)  # ((2 - 2)^2 + (4 - 1)^2) / 2
        tensor(4.5000)
    """
    def __init__(
        self,
        num_interactions: int,
        weight: float = 0.1,
        lag: int = 3,
        warmup_epochs: int = 200,
        dtype: str = 'float32',
    ) -> None:
        super().__init__()
        check_count('num_interactions', num_interactions)
        self.weight = check_positive('weight', weight, zero=True)
        self.lag = check_count('lag', lag)
        self.warmup_epochs = check_count('warmup_epochs', warmup_epochs, minimum=0)
        kind = _DTYPES[check_name('dtype', dtype, _DTYPES)]
        # When a slot was written is told apart by turns of the ring, which 16 bits can count.
        needed = lag * num_interactions * (kind.itemsize + torch.int16.itemsize)
        there = (os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
                 if hasattr(os, 'sysconf') else needed)
        message = (f"the scores of {num_interactions:,} interactions over {lag} epochs need "
                   f"{needed:,} bytes, more than there is; lower 'lag', or keep them with "
                   f"dtype='float16'")
        if needed > there:
            raise MemoryError(message)
        try:
            score = torch.zeros(lag, num_interactions, dtype=kind)
            turn = torch.full((lag, num_interactions), _NEVER, dtype=torch.int16)
        except RuntimeError as error:
            raise MemoryError(message) from error
        self.register_buffer('score', score)
        self.register_buffer('turn', turn)

    def records(self, epoch: int) -> bool:
        r"""Whether scores of the 0-based ``epoch`` are kept."""
        return epoch >= self.warmup_epochs - self.lag

    def forward(self, pos: Tensor, id: Tensor, epoch: int) -> Tensor:
        r"""Compares with the scores of ``lag`` epochs ago, then (in training) overwrites them.

        Args:
            pos: Scores of the positives, ``[B]``.
            id: Ids of these interactions, ``[B]``.
            epoch: 0-based.

        Raises:
            ValueError: If an id is out of range (checked on CPU), or ``epoch`` is negative.
        """
        check_count('epoch', epoch, minimum=0)
        check_floats('pos', pos, ('B', ))
        id = check_integers('id', id, (pos.size(0), ))
        if reads_values(id):
            check_ids('id', id, self.score.size(1))
        if not self.records(epoch):
            return pos.new_zeros(())
        slot, turn = epoch % self.lag, epoch // self.lag % _TURNS
        scores, turns = self.score[slot], self.turn[slot]
        penalty = pos.new_zeros(())
        if epoch >= self.warmup_epochs:
            # Of the slot's last turn, that is `lag` epochs ago, and not of an earlier one.
            last = (turn - 1) % _TURNS if epoch >= self.lag else _NEVER - 1
            known = turns.index_select(0, id) == last
            penalty = self.weight * trajectory(pos, scores.index_select(0, id), known)
        if not self.training:
            return penalty
        with torch.no_grad():
            scores.index_copy_(0, id, pos.detach().to(scores.dtype))
            turns.index_fill_(0, id, turn)
        return penalty

    def reset_parameters(self) -> None:
        r"""Discards all stored scores."""
        self.turn.fill_(_NEVER)

    def extra_repr(self) -> str:
        return f'weight={self.weight}, lag={self.lag}, warmup_epochs={self.warmup_epochs}'
