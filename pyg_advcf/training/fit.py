r"""The training loop: epochs, validation, early stopping, checkpoints."""
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

import torch
from tqdm import tqdm

from pyg_advcf._checks import check_count, check_name
from pyg_advcf.files import load_safely, save_atomically
from pyg_advcf.interactions import held_out, split_names
from pyg_advcf.loader import InteractionLoader
from pyg_advcf.methods.recommender import Recommender, described
from pyg_advcf.metrics import evaluate as evaluate_model
from pyg_advcf.training.memory import keep_freed_memory
from pyg_advcf.training.step import Step
from pyg_advcf.training.step_for import step_for


@dataclass
class History:
    r"""What happened in training, as plain data.

    Attributes:
        epochs: One record per epoch: ``epoch`` (0-based), ``loss``, ``seconds`` (without
            evaluation), and what the step and the evaluation logged; evaluated epochs have the
            validation metrics, and those of ``track`` under their own keys.
        best_epoch: The epoch whose weights were kept; -1 without validation.
        best_value: Its value of the monitored metric.
        stopped_early: Whether patience ran out.
    """
    epochs: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = -1
    best_value: float = -math.inf
    stopped_early: bool = False

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def evaluated(self) -> list[dict[str, Any]]:
        r"""The records of the epochs that were evaluated."""
        return [record for record in self.epochs if record.get('evaluated')]

    @property
    def seconds_per_epoch(self) -> float:
        r"""Median training time of an epoch, evaluation not counted."""
        return float(torch.tensor([r['seconds'] for r in self.epochs]).median())


def _divergence(method: Recommender, losses: torch.Tensor, epoch: int) -> str:
    r"""What went wrong first, in words."""
    first = int(losses.isfinite().logical_not().nonzero()[0])
    tensors = [(name, t) for name, t in method.state_dict().items() if t.is_floating_point()]
    tensors += [(f'{name}.grad', p.grad) for name, p in method.named_parameters()
                if p.grad is not None]
    broken = next((name for name, t in tensors if not bool(t.isfinite().all())), None)
    where = (f"the first tensor that is not finite is '{broken}'" if broken
             else 'its parameters and gradients are finite still')
    return (f"the loss of {described(method)} is {float(losses[first])} in step {first} of "
            f"epoch {epoch}; {where}; lower the learning rate or raise the temperature")


def fit(
    step: Union[Step, Recommender],
    loader: InteractionLoader,
    epochs: int = 1000,
    lr: Optional[float] = None,
    evaluate: Optional[Callable[[], dict[str, float]]] = None,
    evaluate_every: int = 5,
    monitor: str = 'recall@20',
    patience: Optional[int] = 20,
    select_from: Optional[int] = None,
    track: Optional[Callable[[], dict[str, float]]] = None,
    checkpoint: Union[str, Path, None] = None,
    resume: bool = False,
    progress: bool = True,
) -> History:
    r"""Trains until ``epochs`` are done or the validation metric stops improving.

    The weights of the best evaluated epoch are restored at the end. Only the validation split
    selects: the values of ``track`` are recorded and not used.

    Args:
        step: A recommender, which is trained by the step that it needs (:func:`step_for`); or a
            step.
        loader: The batches of an epoch.
        epochs: Most epochs to train.
        lr: Learning rate for a recommender, 1e-3 by default; a step has its own.
        evaluate: Returns the validation metrics. By default the method is ranked on the split
            ``'val'`` of ``loader.data``; without that split there is no validation, and all
            epochs are trained.
        evaluate_every: Epochs between evaluations.
        monitor: The metric to maximise, strictly.
        patience: *Evaluations* without improvement before training stops; ``None`` never stops.
        select_from: The first (0-based) epoch that may be chosen, and from which patience counts;
            by default the end of the method's warm-up. Otherwise a method that only begins there
            might be judged by weights that it never updated.
        track: Returns further figures to record at each evaluation, for learning curves.
        checkpoint: File to write the whole state to after every evaluation, atomically.
        resume: Whether to go on from ``checkpoint`` if it exists. The run then ends exactly as it
            would have without the interruption (on CPU bit for bit), if it was interrupted, or
            had its last epoch, at one of the regular evaluations.
        progress: Whether to show a progress bar.

    Returns:
        The history; the recommender holds the best weights.

    Raises:
        ValueError: If an argument is out of range, if training would end within the warm-up, if
            ``monitor`` is not measured, or if a checkpoint is damaged.
        FloatingPointError: If a loss is not finite; the message names the step, the method and the
            first such tensor, and the best weights so far are restored.

    Example:
        >>> from pyg_advcf import MF, methods
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=99, num_items=40)[0]
        >>> recommender = methods.bpr(MF(data, dim=8))
        >>> history = fit(recommender, InteractionLoader(data), 10, lr=1e-2, progress=False)
        >>> [record['epoch'] for record in history.evaluated]
        [4, 9]
    """
    check_count('epochs', epochs)
    check_count('evaluate_every', evaluate_every)
    if isinstance(step, Recommender):
        step = step_for(step, loader, **({} if lr is None else {'lr': lr}))
    elif lr is not None:
        raise ValueError(f"'lr' is {lr}, but {step!r} has a learning rate of its own; pass 'lr' to "
                         f"the step")
    if step.warmup_epochs >= epochs:
        raise ValueError(f"'epochs' is {epochs}, but the warm-up of {step!r} takes "
                         f"{step.warmup_epochs} epochs, so the method itself would never be "
                         f"trained; raise 'epochs' or lower 'warmup_epochs'")
    select_from = step.warmup_epochs if select_from is None else select_from
    check_count('select_from', select_from, minimum=0)
    if select_from >= epochs:
        raise ValueError(f"'select_from' is {select_from}, but only {epochs} epochs are trained, "
                         f"so none could be chosen; raise 'epochs'")
    if patience is not None:
        check_count('patience', patience)
    method = step.recommender
    if evaluate is None and 'val' in split_names(loader.data):
        held_out(loader.data, 'val')  # An empty split is an error before any work is done.
        name, _, k = monitor.partition('@')
        if not k.isdigit():
            raise ValueError(f"'monitor' is {monitor!r}, but needs the form 'recall@20'")
        names = dict.fromkeys([name, 'recall', 'ndcg'])

        def evaluate() -> dict[str, float]:
            return evaluate_model(method, loader.data, splits='val', k=int(k),
                                  metrics=names)['val']

    if loader.user.device.type == 'cpu':
        keep_freed_memory()
    history, best, start, misses = History(), None, 0, 0
    signature = f'{step!r} over {loader!r}'
    if resume and checkpoint is None:
        raise ValueError("'resume' is True, but 'checkpoint' does not name a file")
    if resume and Path(checkpoint).exists():
        state = load_safely(checkpoint, 'delete it to start anew')
        if not isinstance(state, dict) or state.get('signature') != signature:
            found = state.get('signature') if isinstance(state, dict) else type(state).__name__
            raise ValueError(f"the checkpoint '{checkpoint}' is of {found}, but this run is "
                             f"{signature}; delete it to start anew")
        step.load_state_dict(state['step'])
        loader.load_state_dict(state['loader'])
        torch.set_rng_state(state['rng'])
        history, best = History(**state['history']), state['best']
        start, misses = state['epoch'] + 1, state['misses']

    bar = tqdm(range(start, epochs), initial=start, total=epochs, disable=not progress,
               desc=described(method), dynamic_ncols=True)
    for epoch in bar:
        if history.stopped_early:
            break
        method.train()
        record: dict[str, Any] = {'epoch': epoch}
        record.update(step.on_epoch_start(epoch, loader, progress))
        begin = time.perf_counter()
        losses = []  # Read once per epoch: no synchronisation per step.
        for batch in loader:
            losses.append(step(batch))
        losses = torch.stack(losses)
        record['loss'] = float(losses.double().mean())
        record['seconds'] = time.perf_counter() - begin
        history.epochs.append(record)
        if not math.isfinite(record['loss']):
            message = _divergence(method, losses, epoch)
            if best is not None:
                method.load_state_dict(best)
                message += f"; the method has the weights of its best epoch, {history.best_epoch}"
            raise FloatingPointError(message)
        bar.set_postfix(loss=f"{record['loss']:.4f}",
                        best=f'{history.best_value:.4f}@{history.best_epoch}', refresh=False)
        if (epoch + 1) % evaluate_every != 0 and epoch + 1 != epochs:
            continue
        record['evaluated'] = True
        if track is not None:
            record.update(track())
        if evaluate is not None:
            metrics = evaluate()
            record.update(metrics)
            value = metrics[check_name('monitor', monitor, metrics)]
            if epoch < select_from:
                pass
            elif value > history.best_value:
                history.best_epoch, history.best_value, misses = epoch, value, 0
                best = {k: v.detach().clone() for k, v in method.state_dict().items()}
            else:
                misses += 1
                history.stopped_early = patience is not None and misses >= patience
        if checkpoint is not None:
            save_atomically(
                {'signature': signature, 'step': step.state_dict(),
                 'loader': loader.state_dict(), 'rng': torch.get_rng_state(),
                 'history': history.to_dict(), 'best': best,
                 'epoch': epoch, 'misses': misses}, checkpoint)
    bar.close()
    if best is not None:
        method.load_state_dict(best)
    method.eval()
    return history
