r"""Two levels: a recommender, and the instance weights that it is trained with."""
from collections.abc import Callable, Iterator
from typing import Any, Optional

import torch
from torch import Tensor
from torch.optim import Optimizer

from pyg_advcf._checks import check_count, check_name, check_positive
from pyg_advcf.criteria.instance_weighted import anchored_weights
from pyg_advcf.interactions import Batch
from pyg_advcf.loader import InteractionLoader
from pyg_advcf.methods.recommender import BilevelRecommender
from pyg_advcf.training.steps import Step, _adam

MODES = ('unrolled', 'finite_difference', 'alternating')


class BilevelStep(Step):
    r"""The lower level learns to rank, the upper level what each instance shall weigh.

    .. math::
        \min_\Lambda F(\Theta^*(\Lambda)), \qquad
        \Theta^*(\Lambda) = \arg\min_\Theta \frac{1}{B} \sum_k w_k(\Lambda)\, \ell_k(\Theta)
        + \ldots

    where :math:`F` is the plain loss of pairs that are neither in the graph nor among the
    positives. Before the lower level moves, the upper level does, by the gradient of :math:`F` one
    SGD step ahead of the lower one (:meth:`~pyg_advcf.methods.BilevelRecommender.hypergradient`):
    an instance gains weight if its gradient points where the held-out pairs' does.

    Args:
        inner: What is trained.
        outer: Batches of held-out pairs: ``InteractionLoader(data, split='outer')`` after
            ``RandomSplit(val=0, outer=0.05)``. It is begun anew at every epoch and whenever it
            ends.
        upper: Parameters of the upper level; those of ``inner`` by default.
        mode: ``'unrolled'``, exact; ``'finite_difference'``, in less memory; or
            ``'alternating'``: the weights of a held-out batch follow
            :func:`~pyg_advcf.criteria.anchored_weights` of its losses. With the recommender fixed,
            a plain held-out loss has no gradient in the weights.
        every: Steps of the lower level per step of the upper one.
        lookahead_lr: Rate :math:`\eta` of the step ahead; ``lr`` by default.
        lr: Learning rate of the lower level (Adam).
        upper_lr: Learning rate of the upper level (Adam).
        anchor: See :func:`~pyg_advcf.criteria.anchored_weights`, for ``'alternating'``.
        prefer: See :func:`~pyg_advcf.criteria.anchored_weights`, for ``'alternating'``.
        optimizer: As in :class:`~pyg_advcf.training.Step`, for the lower level.

    Raises:
        ValueError: If ``inner`` has no upper level, if ``outer`` draws from the training graph, or
            if an argument is unknown or out of range.

    Example:
        >>> from pyg_advcf import MF, InteractionLoader, methods
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> from pyg_advcf.transforms import RandomSplit
        >>> data = SyntheticExposure(num_users=99, num_items=40)[0]
        >>> data = RandomSplit(val=0., outer=0.1, per_user=False)(data)
        >>> step = BilevelStep(methods.ACCF(MF(data, dim=8), data, weighting='bilevel'),
        ...                    InteractionLoader(data, split='outer'))
        >>> losses = [step(batch) for batch in InteractionLoader(data)]
    """
    trains = 'BilevelStep'

    def __init__(
        self,
        inner: BilevelRecommender,
        outer: InteractionLoader,
        upper: Optional[list[Tensor]] = None,
        mode: str = 'unrolled',
        every: int = 1,
        lookahead_lr: Optional[float] = None,
        lr: float = 1e-3,
        upper_lr: float = 1e-3,
        anchor: float = 1.,
        prefer: str = 'easy',
        optimizer: Optional[Callable[[list], Optimizer]] = None,
    ) -> None:
        if not isinstance(inner, BilevelRecommender) or not inner.upper_parameters():
            raise ValueError(f"'inner' is {inner.__class__.__name__}, which learns no weights by "
                             f"an upper level; use {inner.trained_by}, or Step")
        if outer.split is None:
            raise ValueError("'outer' draws training interactions, which the lower level fits "
                             "anyway; hold some out with RandomSplit(val=0, outer=0.05) and pass "
                             "InteractionLoader(data, split='outer')")
        self.mode = check_name('mode', mode, MODES)
        self.every = check_count('every', every)
        self.lookahead_lr = check_positive(
            'lookahead_lr', lr if lookahead_lr is None else lookahead_lr, zero=True)
        self.anchor = check_positive('anchor', anchor)
        self.prefer = check_name('prefer', prefer, ('easy', 'hard'))
        super().__init__(inner, lr, optimizer)
        self.outer = outer
        self.upper = list(inner.upper_parameters() if upper is None else upper)
        self.upper_optimizer = _adam(self.upper, check_positive('upper_lr', upper_lr))
        self.steps = 0
        self._batches: Iterator[Batch] = iter(())

    def on_epoch_start(self, epoch: int, *args: Any, **kwargs: Any) -> dict[str, float]:
        self._batches = iter(())  # A resumed run begins its epoch with a fresh iterator too.
        return super().on_epoch_start(epoch, *args, **kwargs)

    def _next(self) -> Batch:
        batch = next(self._batches, None)
        if batch is None:
            self._batches = iter(self.outer)
            batch = next(self._batches)
        return batch

    def upper_gradient(self, views: Any, batch: Batch, outer: Batch) -> list[Optional[Tensor]]:
        r"""The gradient by which the upper parameters move; no ``.grad`` is touched.

        Args:
            views: ``method.views(batch, outer)``.
            batch: A training batch.
            outer: Held-out pairs.
        """
        if self.mode == 'alternating':
            objective = anchored_weights(*self.method.outer_weights(views), self.anchor,
                                         self.prefer)
            return list(torch.autograd.grad(objective, self.upper, allow_unused=True))
        _, slope = self.method.hypergradient(views, batch, outer, self.lookahead_lr,
                                             self.mode == 'finite_difference')
        return list(torch.autograd.grad(self.method.weights(views), self.upper, slope,
                                        allow_unused=True))

    def __call__(self, batch: Batch) -> Tensor:
        due = self.steps % self.every == 0
        self.steps += 1
        outer = self._next() if due else None
        views = self.method.views(batch, outer)
        if due:
            for p, grad in zip(self.upper, self.upper_gradient(views, batch, outer)):
                p.grad = grad
            self.upper_optimizer.step()
            self.upper_optimizer.zero_grad()
        loss = self.method.loss(views)
        self.optimizer.zero_grad()
        loss.backward(inputs=self.parameters)
        self.optimizer.step()
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), 'upper_optimizer': self.upper_optimizer.state_dict(),
                'outer': self.outer.state_dict(), 'steps': self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.upper_optimizer.load_state_dict(state['upper_optimizer'])
        self.outer.load_state_dict(state['outer'])
        self.steps = state['steps']

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, mode='{self.mode}', every={self.every})"
