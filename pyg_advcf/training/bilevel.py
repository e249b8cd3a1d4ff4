r"""Bi-level training: a recommender, and the instance weights that it is trained with."""
from collections.abc import Callable, Iterator
from typing import Any, Optional

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pyg_advcf._checks import check_count, check_instance, check_name, check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.criteria.instance_weighted import anchored_weights
from pyg_advcf.loader import InteractionLoader
from pyg_advcf.methods.accf import ACCF
from pyg_advcf.methods.perturbed import Perturbed
from pyg_advcf.training.step import Step, check_recommender, check_same_nodes
from pyg_advcf.training.updater import BuildOptimizer, Updater

MODES = ('unrolled', 'finite_difference', 'alternating')


class _At(nn.Module):
    r"""Runs a function of a module, for calls with other parameters."""
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, function: Callable[[Any], Tensor]) -> Tensor:
        return function(self.module)


def hypergradient(
    recommender: ACCF,
    found: Perturbed,
    lr: float,
    finite_difference: bool = False,
) -> tuple[Tensor, Tensor]:
    r"""What each weight does to the loss of held-out pairs, one SGD step ahead.

    .. math::
        \Theta' = \Theta - \eta\, \nabla_\Theta \frac{1}{B} \sum_k w_k \ell_k, \qquad
        \frac{\partial F(\Theta')}{\partial w_k} = -\frac{\eta}{B}
        \langle \nabla_\Theta \ell_k, \nabla F(\Theta') \rangle

    Perturbations are held fixed. No ``.grad`` is touched.

    Args:
        recommender: One with instance weights that learn from held-out pairs.
        found: ``recommender.perturb(batch, outer_batch)``.
        lr: :math:`\eta`.
        finite_difference: Whether to take the inner products from the losses at
            :math:`\Theta \pm \xi \nabla F`, :math:`\xi = 0.01 / \|\nabla F\|`, in place of a
            second derivative: less memory, not exact.

    Returns:
        :math:`F(\Theta')` and the derivatives, ``[B]``, both detached.
    """
    theirs = {id(p) for p in recommender.outer_parameters()}
    named = [(name, p) for name, p in recommender.named_parameters()
             if id(p) not in theirs and p.requires_grad]
    theta = [p for _, p in named]
    batch, outer_batch = found.batch, found.outer_batch

    def at(values: list[Tensor], function: Callable[[Any], Tensor]) -> Tensor:
        swapped = {f'module.{name}': t for (name, _), t in zip(named, values)}
        return functional_call(_At(recommender), swapped, (function, ))

    def grad(out: Tensor, at: list[Tensor], **kwargs: Any) -> list[Tensor]:
        found = torch.autograd.grad(out, at, allow_unused=True, **kwargs)
        return [torch.zeros_like(t) if g is None else g for g, t in zip(found, at)]

    with torch.enable_grad():
        weight = recommender.weights(found).detach().requires_grad_()
        inner = (weight * recommender.instance_losses(found)).mean()
        first = grad(inner, theta, retain_graph=True, create_graph=not finite_difference)
        ahead = [(t - lr * g).detach().requires_grad_() for t, g in zip(theta, first)]
        value = at(ahead, lambda method: method.outer_loss(outer_batch))
        v = grad(value, ahead)
        if not finite_difference:
            product = torch.stack([(g * d).sum() for g, d in zip(first, v)]).sum()
            along, = torch.autograd.grad(product, weight, retain_graph=True)
            return value.detach(), -lr * along
    length = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(d) for d in v]))
    size = torch.where(length > 0, 0.01 / length, 0.)
    with torch.no_grad():
        plus, minus = (
            at([t + sign * size * d for t, d in zip(theta, v)],
               lambda method: method.instance_losses(
                   method.perturb(batch, outer_batch, found.perturbation)))
            for sign in (1., -1.))
        slope = torch.where(size > 0, (plus - minus) / (2 * size), 0.)
    return value.detach(), -lr * slope / slope.numel()


class BilevelStep(Step):
    r"""The inner problem learns to rank, the outer problem learns instance weights.

    .. math::
        \min_\Lambda F(\Theta^*(\Lambda)), \qquad
        \Theta^*(\Lambda) = \arg\min_\Theta \frac{1}{B} \sum_k w_k(\Lambda)\, \ell_k(\Theta)
        + \ldots

    where :math:`F` is the plain loss of pairs that are neither in the graph nor among the
    positives. The weights are updated first, by the gradient of :math:`F` one SGD step of the inner
    problem ahead (:func:`hypergradient`): an instance gains weight if its gradient points in the
    direction of the held-out pairs' gradient.

    Args:
        recommender: What is trained.
        outer_loader: Batches of held-out pairs: ``InteractionLoader(data, split='outer')`` after
            ``RandomSplit(val=0, outer=0.05)``. It starts again at every epoch and whenever it
            ends.
        mode: ``'unrolled'``, exact; ``'finite_difference'``, in less memory; or
            ``'alternating'``: the weights of a held-out batch follow
            :func:`~pyg_advcf.criteria.anchored_weights` of its losses. With the recommender fixed,
            a plain held-out loss has no gradient in the weights.
        every: Updates of the recommender per update of the weights.
        lookahead_lr: Learning rate :math:`\eta` of the step ahead; ``lr`` by default.
        lr: Learning rate of the recommender (Adam).
        outer_lr: Learning rate of the weights (Adam).
        anchor: How strongly the weights are held together, :math:`\kappa \geq 0`; 1 by default for
            ``'alternating'`` (see :func:`~pyg_advcf.criteria.anchored_weights`), else 0, as
            published. With the hypergradient :math:`h`, divided by its root mean square, the
            weights minimise :math:`\sum_k w_k h_k + \kappa \sum_k w_k \ln w_k`, whose free
            optimum is :math:`w_k \propto e^{-h_k / \kappa}`. Without it they may come to lie on
            a few instances of the batch.
        prefer: See :func:`~pyg_advcf.criteria.anchored_weights`, for ``'alternating'``.
        optimizer: As in :class:`~pyg_advcf.training.Step`, for the recommender.

    Raises:
        ValueError: If the recommender has no outer problem, if ``outer_loader`` draws from the
            training graph, or if an argument is unknown or out of range.

    Example:
        >>> from pyg_advcf import MF, InteractionLoader, methods
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> from pyg_advcf.transforms import RandomSplit
        >>> data = SyntheticExposure(num_users=99, num_items=40)[0]
        >>> data = RandomSplit(val=0., outer=0.1, per_user=False)(data)
        >>> step = BilevelStep(methods.ACCF(MF(data, dim=8), weighting='bilevel'),
        ...                    InteractionLoader(data, split='outer'))
        >>> losses = [step(batch) for batch in InteractionLoader(data)]
    """
    def __init__(
        self,
        recommender: ACCF,
        outer_loader: InteractionLoader,
        mode: str = 'unrolled',
        every: int = 1,
        lookahead_lr: Optional[float] = None,
        lr: float = 1e-3,
        outer_lr: float = 1e-3,
        anchor: Optional[float] = None,
        prefer: str = 'easy',
        optimizer: Optional[BuildOptimizer] = None,
    ) -> None:
        outer = check_recommender(recommender).outer_parameters()
        if not outer:
            raise ValueError(f"'recommender' is {recommender.__class__.__name__}, which learns no "
                             f"weights by an outer problem; use Step, or pass the recommender "
                             f"itself to 'fit'")
        check_instance('outer_loader', outer_loader, InteractionLoader,
                       "an InteractionLoader of held-out pairs: InteractionLoader(data, "
                       "split='outer')")
        check_same_nodes('outer_loader', outer_loader, recommender)
        if outer_loader.split is None:
            raise ValueError("'outer_loader' draws training interactions, which the recommender "
                             "fits anyway; hold some out with RandomSplit(val=0, outer=0.05) and "
                             "pass InteractionLoader(data, split='outer')")
        self.mode = check_name('mode', mode, MODES)
        self.every = check_count('every', every)
        self.lookahead_lr = check_positive(
            'lookahead_lr', lr if lookahead_lr is None else lookahead_lr, zero=True)
        alternating = self.mode == 'alternating'
        self.anchor = check_positive('anchor', float(alternating) if anchor is None else anchor,
                                     zero=not alternating)
        self.prefer = check_name('prefer', prefer, ('easy', 'hard'))
        super().__init__(recommender, lr, optimizer, outer)
        self.outer_loader = outer_loader
        self.outer_updater = Updater(outer, outer_lr, argument='outer_lr')
        self.steps = 0
        self._batches: Iterator[Batch] = iter(())

    def on_epoch_start(self, epoch: int, *args: Any, **kwargs: Any) -> dict[str, float]:
        self._batches = iter(())  # A resumed run starts its epoch with a fresh iterator too.
        return super().on_epoch_start(epoch, *args, **kwargs)

    def _next(self) -> Batch:
        batch = next(self._batches, None)
        if batch is None:
            self._batches = iter(self.outer_loader)
            batch = next(self._batches)
        return batch

    def hypergradient(self, found: Perturbed) -> tuple[Tensor, Tensor]:
        r"""See :func:`hypergradient`; in the recommender's closed form where it has one."""
        if self.mode == 'finite_difference':
            return hypergradient(self.recommender, found, self.lookahead_lr, True)
        closed = self.recommender.hypergradient(found, self.lookahead_lr)
        if closed is not None:
            return closed
        return hypergradient(self.recommender, found, self.lookahead_lr)

    def outer_gradient(self, found: Perturbed) -> list[Optional[Tensor]]:
        r"""The gradient by which the weights are updated; no ``.grad`` is touched.

        The hypergradient is multiplied by :math:`B / \eta`, which leaves :math:`-\langle
        \nabla_\Theta \ell_k, \nabla F(\Theta') \rangle` for each weight: how far Adam updates the
        weights depends neither on the batch size nor on the look-ahead.

        Args:
            found: ``recommender.perturb(batch, outer_batch)``.
        """
        parameters = self.outer_updater.parameters
        if self.mode == 'alternating':
            objective = anchored_weights(*self.recommender.outer_weights(found), self.anchor,
                                         self.prefer)
            return list(torch.autograd.grad(objective, parameters, allow_unused=True))
        _, slope = self.hypergradient(found)
        if self.lookahead_lr > 0:
            # It holds the factor lr / B, about 1e-6, which together with small gradients puts every
            # entry below Adam's epsilon of 1e-8, so that the weights would hardly move.
            slope = slope * (slope.numel() / self.lookahead_lr)
        weights = self.recommender.weights(found)
        if self.anchor > 0:
            tiny = torch.finfo(slope.dtype).tiny
            slope = slope / slope.square().mean().sqrt().clamp(min=tiny)
            slope = slope + self.anchor * (weights.detach().clamp(min=tiny).log() + 1)
        return list(torch.autograd.grad(weights, parameters, slope, allow_unused=True))

    def __call__(self, batch: Batch) -> Tensor:
        due = self.steps % self.every == 0
        self.steps += 1
        found = self.recommender.perturb(batch, self._next() if due else None)
        if due:
            self.outer_updater.apply(self.outer_gradient(found))
        loss = self.recommender.inner_loss(found)
        self.updater(loss)
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), 'outer_optimizer': self.outer_updater.state_dict(),
                'outer_loader': self.outer_loader.state_dict(), 'steps': self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.outer_updater.load_state_dict(state['outer_optimizer'])
        self.outer_loader.load_state_dict(state['outer_loader'])
        self.steps = state['steps']

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, mode='{self.mode}', every={self.every})"
