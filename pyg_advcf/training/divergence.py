r"""Where training diverged: an epoch that ended badly is trained again, under observation.

Nothing is looked at while training goes on, since that would stop an accelerator at every step. In
place of that the state at the start of the epoch is kept.
"""
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Optional

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pyg_advcf.embeddings import Embeddings
from pyg_advcf.loader import InteractionLoader
from pyg_advcf.methods.recommender import described
from pyg_advcf.training.step import Step
from pyg_advcf.training.updater import Updater


def _kept(value: Any, old: Any) -> Any:
    r"""A copy in the memory of the CPU, written over the old one where that fits."""
    if isinstance(value, Tensor):
        value = value.detach()
        if (isinstance(old, Tensor) and old.shape == value.shape and old.dtype == value.dtype
                and value.layout == torch.strided):
            return old.copy_(value)
        return torch.empty_like(value, device='cpu').copy_(value)
    if isinstance(value, dict):
        old = old if isinstance(old, dict) else {}
        return {key: _kept(entry, old.get(key)) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        old = old if isinstance(old, (list, tuple)) and len(old) == len(value) else [None] * len(
            value)
        return (list if isinstance(value, list) else tuple)(map(_kept, value, old))
    return value


class EpochStart:
    r"""The state at the start of an epoch: what a checkpoint holds, in the memory of the CPU.

    With Adam that is three times the size of the parameters, and what the recommender remembers.
    The same memory is used for every epoch.
    """
    def __init__(self) -> None:
        self.state: Any = None

    def keep(self, step: Step, loader: InteractionLoader) -> None:
        r"""Copies the state as it is now."""
        try:
            state = {'step': step.state_dict(), 'loader': loader.state_dict(),
                     'rng': torch.get_rng_state()}
        except (AttributeError, NotImplementedError):
            self.state = None  # A custom step that cannot be resumed either.
            return
        self.state = _kept(state, self.state)

    def restore(self, step: Step, loader: InteractionLoader) -> None:
        r"""Goes back; once, since the optimizer then goes on in the memory of the copy."""
        step.recommender.zero_grad()  # Those of the step that went wrong.
        step.load_state_dict(self.state['step'])
        loader.load_state_dict(self.state['loader'])
        torch.set_rng_state(self.state['rng'])
        self.state = None


def _is_finite(tensor: Tensor) -> Tensor:
    r"""Whether all entries are, still on the device; without a tensor of the size of ``tensor``."""
    return torch.linalg.vector_norm(tensor.detach(), float('inf')).isfinite()


def broken_parameter(module: nn.Module) -> Optional[str]:
    r"""The name of the first parameter with an entry that is not finite; looks at them once.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> broken_parameter(layer) is None
        True
        >>> _ = layer.bias.data.fill_(float('nan'))
        >>> broken_parameter(layer)
        'bias'
    """
    named = [(name, p) for name, p in module.named_parameters()
             if p.numel() > 0 and (p.is_floating_point() or p.is_complex())]
    finite = [_is_finite(p) for _, p in named]
    if not finite or bool(torch.stack([f.to(finite[0].device) for f in finite]).all()):
        return None
    return next(name for (name, _), f in zip(named, finite) if not f)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value.detach()
    elif isinstance(value, (Embeddings, tuple, list)):
        for entry in value:
            yield from _tensors(entry)


class _Watch:
    r"""Notes what is not finite, in the order of computation.

    Attributes:
        outputs: Outputs of modules. They may be harmless: an excluded score is minus infinity.
        found: Losses, gradients and parameters.
        first: What was noted first.
    """
    def __init__(self, step: Step) -> None:
        self.step = step
        self.first: Optional[str] = None
        self.found: Optional[str] = None
        self.names = {id(p): name for name, p in step.recommender.named_parameters()}

    def clear(self) -> None:
        r"""Forgets the outputs of a step that came to nothing worse."""
        self.first = None

    def _note(self, what: str, certain: bool) -> None:
        self.first = self.first or what
        if certain:
            self.found = self.found or what

    def output(self, name: str, module: nn.Module, args: Any, out: Any) -> None:
        for tensor in _tensors(out):
            if bool(tensor.isnan().any()) or bool(tensor.isposinf().any()):
                self._note(f"an output of '{name}'", False)

    def loss(self, name: str, loss: Any) -> None:
        if isinstance(loss, Tensor) and not bool(loss.isfinite().all()):
            self._note('the loss' if name == 'updater' else f"the loss of '{name}'", True)

    def gradient(self, p: Tensor) -> None:
        if p.grad is not None and not bool(p.grad.isfinite().all()):
            self._note(f"the gradient of {self._name(p)}", True)

    def parameter(self, p: Tensor) -> None:
        if not bool(p.detach().isfinite().all()):
            name = self._name(p)
            self._note(f'the parameter {name}' if id(p) in self.names else name, True)

    def _name(self, p: Tensor) -> str:
        name = self.names.get(id(p))
        return f'a parameter of shape {list(p.shape)}' if name is None else f"'{name}'"

    @contextmanager
    def watching(self) -> Iterator[None]:
        r"""Looks at outputs, losses, gradients and parameters as soon as each of them is there."""
        method, parts = self.step.recommender, vars(self.step)
        handles = [module.register_forward_hook(partial(self.output, name))
                   for name, module in method.named_modules() if name]
        handles += [p.register_post_accumulate_grad_hook(self.gradient)
                    for p in method.parameters() if p.requires_grad]
        updaters = {name: part for name, part in parts.items() if isinstance(part, Updater)}
        optimizers = [*(updater.optimizer for updater in updaters.values()),
                      *(part for part in parts.values() if isinstance(part, Optimizer))]

        def each(check: Callable[[Tensor], None], optimizer: Optimizer, *_: Any) -> None:
            for group in optimizer.param_groups:
                for p in group['params']:
                    check(p)

        for optimizer in optimizers:  # Gradients may be set by hand, too.
            handles += [optimizer.register_step_pre_hook(partial(each, self.gradient)),
                        optimizer.register_step_post_hook(partial(each, self.parameter))]
        for name, updater in updaters.items():
            updater.backward = partial(self._backward, name, updater.backward)
        try:
            with torch.compiler.set_stance('force_eager'):  # Compiled code has no hooks.
                yield
        finally:
            for handle in handles:
                handle.remove()
            for updater in updaters.values():
                del updater.backward  # That of the class is back.

    def _backward(self, name: str, backward: Callable[[Tensor], None], loss: Tensor) -> None:
        self.loss(name, loss)
        backward(loss)


def _repeat(step: Step, loader: InteractionLoader, epoch: int,
            losses: Tensor) -> tuple[Optional[str], bool]:
    r"""Trains the epoch again: what went wrong first, in words, and whether all was the same."""
    watch, same = _Watch(step), True

    def found(where: str) -> Optional[str]:
        if watch.found is None:
            watch.clear()
            return None
        text = f'{where}: the first tensor that is not finite is {watch.first}'
        return text if watch.first == watch.found else f'{text}, followed by {watch.found}'

    name = broken_parameter(step.recommender)
    if name is not None:
        return f"before epoch {epoch}: the parameter '{name}' is not finite", True
    with watch.watching():
        step.on_epoch_start(epoch, loader)
        text = found(f'between the epochs, before epoch {epoch}')
        if text is not None:
            return text, True
        for number, batch in enumerate(loader):
            loss = step(batch).detach()
            same = same and bool(torch.equal(loss, losses[number]) or loss.isnan().all())
            watch.loss('updater', loss)
            text = found(f'in step {number} of epoch {epoch}')
            if text is not None:
                return text, same
    return None, same


def diagnose(step: Step, loader: InteractionLoader, epoch: int, losses: Tensor,
             start: EpochStart) -> Optional[str]:
    r"""What went wrong first in an epoch, in words; ``None`` if nothing did.

    If a loss or a parameter is not finite, the epoch is trained again from ``start``, and losses,
    gradients and parameters are looked at as they are computed.

    Args:
        step: The step that trained the epoch.
        loader: Its batches.
        epoch: 0-based.
        losses: Of every step.
        start: The state at the start of the epoch.
    """
    broken = broken_parameter(step.recommender)
    bad = losses.isfinite().logical_not().nonzero()
    if broken is None and bad.numel() == 0:
        return None
    seen = (f'the loss is {float(losses[bad[0]])} in step {int(bad[0])} of epoch {epoch}'
            if bad.numel() > 0 else
            f"the parameter '{broken}' is not finite at the end of epoch {epoch}")
    text, same, why = None, False, 'its state at the start of the epoch could not be copied'
    if start.state is not None:
        why = ('a repetition of the epoch, step by step, was all finite, since the step or the '
               'recommender keeps a state outside of its state_dict, or since the device does not '
               'add in the same order twice')
        try:
            start.restore(step, loader)
            text, same = _repeat(step, loader, epoch, losses)
        except Exception as e:  # Whatever a custom step may raise is less than the message.
            why = f'a repetition of the epoch failed ({type(e).__name__}: {e})'
    method, remedy = described(step.recommender), 'lower the learning rate or raise the temperature'
    if text is None:
        return (f'training of {method} diverged: {seen}; which tensor was the first is not known: '
                f'{why}; {remedy}')
    doubt = '' if same else ' (in a repetition of the epoch that differed from the first time)'
    return f'training of {method} diverged {text}{doubt}; {seen}; {remedy}'
