r"""The training loop: epochs, validation, early stopping, checkpoints."""
import math
import numbers
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

import torch
from torch import Tensor
from tqdm import tqdm

from pyg_advcf._checks import (
    check_bool,
    check_callable,
    check_count,
    check_instance,
    check_name,
    check_positive,
    shown,
)
from pyg_advcf.files import check_writable, load_safely, save_atomically
from pyg_advcf.interactions import held_out, split_names
from pyg_advcf.loader import InteractionLoader
from pyg_advcf.methods.recommender import Recommender, described
from pyg_advcf.metrics import evaluate as evaluate_model
from pyg_advcf.metrics.calibrate import calibrate as calibrate_model
from pyg_advcf.metrics.calibrate import check_calibration, parse_metric
from pyg_advcf.training.divergence import EpochStart, diagnose
from pyg_advcf.training.fork import check_threads
from pyg_advcf.training.memory import keep_freed_memory
from pyg_advcf.training.signature import differences, signature
from pyg_advcf.training.step import Step, check_same_nodes
from pyg_advcf.training.step_for import step_for

_FORMAT = 2  # Of checkpoints.
_ENTRIES = {'format', 'experiment', 'step', 'loader', 'rng', 'history', 'best', 'epoch', 'misses'}


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


def _figures(argument: str, found: Any, finite: bool) -> dict[str, float]:
    r"""What ``evaluate`` or ``track`` returned, as plain numbers."""
    check_instance(f'{argument}()', found, dict, "a dictionary of numbers: {'recall@20': 0.1}")
    figures: dict[str, float] = {}
    for name, value in found.items():
        if isinstance(value, Tensor) and value.numel() == 1:
            value = value.item()
        if (not isinstance(name, str) or isinstance(value, bool)
                or not isinstance(value, numbers.Real)):
            raise ValueError(f"'{argument}()' returns {shown(value)} for {name!r}, but needs to "
                             f"return a number for each name")
        if finite and not math.isfinite(value):
            raise ValueError(f"'{argument}()' returns {value} for '{name}', by which no epoch can "
                             f"be chosen; return finite numbers")
        figures[name] = int(value) if isinstance(value, numbers.Integral) else float(value)
    return figures


def _add(record: dict[str, Any], argument: str, figures: dict[str, float]) -> None:
    for name in figures:
        if name in ('epoch', 'loss', 'seconds', 'evaluated') or (
                name in ('prior', 'norm_power') and name in record):  # Of the calibration.
            raise ValueError(f"'{argument}()' returns the name '{name}', under which the history "
                             f"has something else; choose another")
    record.update(figures)


def _stacked(losses: list[Tensor], step: Step) -> Tensor:
    for loss in losses:
        if not isinstance(loss, Tensor) or loss.dim() != 0:
            raise ValueError(f"{step!r} returns {shown(loss)}, but a step needs to return its loss "
                             f"as a tensor without dimensions")
    return torch.stack(losses)


def _load(checkpoint: Path, resume: Union[bool, str], experiment: dict[str, Any]) -> dict[str, Any]:
    r"""The content of a checkpoint; with ``resume=True`` of one of the same experiment."""
    state = load_safely(checkpoint, 'delete it to start anew')
    if (not isinstance(state, dict) or state.get('format') != _FORMAT
            or state.keys() != _ENTRIES or not isinstance(state['step'], dict)):
        raise ValueError(f"the file '{checkpoint}' is no checkpoint of 'fit' in this version of "
                         f"the library; delete it to start anew")
    if resume is True:
        found = differences(experiment, state['experiment'])
        if found:
            raise ValueError(f"the checkpoint '{checkpoint}' is of another experiment: "
                             f"{'; '.join(found)}; delete it, or pass resume='weights' to start "
                             f"anew from its weights")
    return state


@torch.no_grad()
def _load_weights(method: Recommender, state: dict[str, Any], checkpoint: Path) -> None:
    r"""Sets the parameters to those of the best epoch of a checkpoint, or else of the last."""
    weights = state['step'].get('recommender') if state['best'] is None else state['best']
    weights = weights if isinstance(weights, dict) else {}
    weights = {name: t for name, t in weights.items() if isinstance(t, Tensor)}
    own = dict(method.named_parameters())
    wrong = [f"'{name}' is {list(p.shape)}, the checkpoint has "
             + (f'{list(weights[name].shape)}' if name in weights else 'none')
             for name, p in own.items()
             if name not in weights or weights[name].shape != p.shape]
    if wrong:
        raise ValueError(f"the weights of the checkpoint '{checkpoint}' do not fit: "
                         f"{'; '.join(wrong)}; delete it to start anew")
    for name, p in own.items():
        p.copy_(weights[name])


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
    resume: Union[bool, str] = False,
    progress: bool = True,
    calibrate: Union[bool, dict[str, Any]] = False,
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
            had its last epoch, at one of the regular evaluations. The checkpoint has to be of the
            same experiment: of the same backbone, criterion, similarity, recommender, step,
            optimizer and loader with the same arguments, over the same data in the same splits,
            with the same ``evaluate_every``, ``monitor``, ``patience`` and ``select_from``; only
            ``epochs`` may have grown. With ``'weights'`` training starts anew, at epoch 0, from
            the parameters of the checkpoint (of its best epoch, or without validation its last):
            whatever else is different, they need to have the same names and shapes.
        progress: Whether to show a progress bar.
        calibrate: Whether to choose the prior and the norm power of the ranking on the split
            ``'val'`` before each evaluation (:func:`pyg_advcf.metrics.calibrate`, by ``monitor``);
            or the arguments of that function. They are recorded, and restored with the weights.

    Threads of PyTorch do not survive a fork: in a process that was forked after they had been used,
    training would wait for them for ever, so that it is an error. Start processes with
    ``multiprocessing.get_context('spawn')``, or call ``torch.set_num_threads(1)`` in the fork.

    To find out where a run diverged, the state of the start of the epoch is kept in the memory of
    the CPU, with Adam three times the size of the parameters.

    Returns:
        The history; the recommender holds the best weights.

    Raises:
        ValueError: If an argument is of a wrong type or out of range, if training would end within
            the warm-up, if ``monitor`` is not measured, if ``checkpoint`` cannot be written, or if
            it is damaged or of another experiment; the message names each difference.
        FloatingPointError: If a loss or a parameter is not finite at the end of an epoch. The epoch
            is then trained again, to name the first such loss, gradient or parameter and its step;
            and the best weights so far are restored.
        RuntimeError: In a fork whose threads would hang.

    Example:
        >>> from pyg_advcf import MF, methods
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=99, num_items=40)[0]
        >>> recommender = methods.bpr(MF(data, dim=8))
        >>> history = fit(recommender, InteractionLoader(data), 10, lr=1e-2, progress=False)
        >>> [record['epoch'] for record in history.evaluated]
        [4, 9]
    """
    check_instance('step', step, (Step, Recommender),
                   'a Recommender, for example pyg_advcf.methods.bpr(backbone), or a Step')
    check_instance('loader', loader, InteractionLoader, 'an InteractionLoader')
    check_count('epochs', epochs)
    check_count('evaluate_every', evaluate_every)
    check_instance('monitor', monitor, str, "the name of a metric, such as 'recall@20'")
    if patience is not None:
        check_count('patience', patience)
    for name, function in (('evaluate', evaluate), ('track', track)):
        check_callable(name, function, 'without arguments that returns a dictionary of numbers')
    check_bool('progress', progress)
    if not isinstance(resume, bool) and not (isinstance(resume, str) and resume == 'weights'):
        raise ValueError(f"'resume' is {shown(resume)}, but needs to be True, False or 'weights'")
    if resume and checkpoint is None:
        raise ValueError(f"'resume' is {resume!r}, but 'checkpoint' does not name a file")
    if lr is not None:
        check_positive('lr', lr)
    if isinstance(step, Recommender):
        step = step_for(step, loader, **({} if lr is None else {'lr': lr}))
    elif lr is not None:
        raise ValueError(f"'lr' is {lr}, but {step!r} has a learning rate of its own; pass 'lr' to "
                         f"the step")
    method = step.recommender
    check_same_nodes('loader', loader, method)
    if step.warmup_epochs >= epochs:
        raise ValueError(f"'epochs' is {epochs}, but the warm-up of {step!r} takes "
                         f"{step.warmup_epochs} epochs, so the method itself would never be "
                         f"trained; raise 'epochs' or lower 'warmup_epochs'")
    select_from = step.warmup_epochs if select_from is None else select_from
    check_count('select_from', select_from, minimum=0)
    if select_from >= epochs:
        raise ValueError(f"'select_from' is {select_from}, but only {epochs} epochs are trained, "
                         f"so none could be chosen; raise 'epochs'")
    if evaluate is None and 'val' in split_names(loader.data):
        held_out(loader.data, 'val')  # An empty split is an error before any work is done.
        name, k = parse_metric('monitor', monitor)
        names = dict.fromkeys([name, 'recall', 'ndcg'])

        def evaluate() -> dict[str, float]:
            return evaluate_model(method, loader.data, splits='val', k=k,
                                  metrics=names, progress=progress)['val']

    if calibrate is not False:
        if calibrate is not True:
            check_instance('calibrate', calibrate, dict, 'True, False, or arguments of calibrate')
        if 'val' not in split_names(loader.data):
            raise ValueError("'calibrate' needs a split 'val' of the data, by which it chooses; "
                             "hold one out with RandomSplit(val=0.1)")
        calibrating = {'metric': monitor, 'progress': progress,
                       **({} if calibrate is True else calibrate)}
        check_calibration(method, loader.data, **calibrating)

    check_threads()
    if loader.user.device.type == 'cpu':
        keep_freed_memory()
    history, best, first, misses, experiment = History(), None, 0, 0, {}
    if checkpoint is not None:
        check_writable(checkpoint, 'checkpoint')
        checkpoint = Path(checkpoint)
        experiment = signature(step, loader, evaluate_every=evaluate_every, monitor=monitor,
                               patience=patience, select_from=select_from, calibrate=calibrate)
    if resume == 'weights' and not checkpoint.exists():
        raise ValueError(f"'resume' is 'weights', but there is no file '{checkpoint}'; pass False "
                         f"to start from new weights")
    if resume and checkpoint.exists():
        state = _load(checkpoint, resume, experiment)
        if resume == 'weights':
            _load_weights(method, state, checkpoint)
        else:
            first, misses = state['epoch'] + 1, state['misses']
            if first > epochs:
                raise ValueError(f"'epochs' is {epochs}, but the checkpoint '{checkpoint}' has "
                                 f"{first} epochs; raise 'epochs', or delete it to start anew")
            try:
                step.load_state_dict(state['step'])
                loader.load_state_dict(state['loader'])
                torch.set_rng_state(state['rng'])
                history, best = History(**state['history']), state['best']
            except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as e:
                raise ValueError(f"the state in the checkpoint '{checkpoint}' does not fit "
                                 f"{step!r} ({e}); delete it to start anew") from e

    start = EpochStart()
    bar = tqdm(range(first, epochs), initial=first, total=epochs, disable=not progress,
               desc=described(method), dynamic_ncols=True)
    for epoch in bar:
        if history.stopped_early:
            break
        start.keep(step, loader)
        method.train()
        record: dict[str, Any] = {'epoch': epoch}
        record.update(step.on_epoch_start(epoch, loader, progress))
        begin = time.perf_counter()
        losses = []  # Read once per epoch: no synchronisation per step.
        for batch in loader:
            losses.append(step(batch))
        losses = _stacked(losses, step)
        record['loss'] = float(losses.double().mean())
        record['seconds'] = time.perf_counter() - begin
        history.epochs.append(record)
        message = diagnose(step, loader, epoch, losses, start)
        if message is not None:
            if best is not None:
                method.load_state_dict(best)
                message += f"; the method has the weights of its best epoch, {history.best_epoch}"
            raise FloatingPointError(message)
        bar.set_postfix(loss=f"{record['loss']:.4f}",
                        best=f'{history.best_value:.4f}@{history.best_epoch}', refresh=False)
        if (epoch + 1) % evaluate_every != 0 and epoch + 1 != epochs:
            continue
        record['evaluated'] = True
        if calibrate is not False:
            found = calibrate_model(method, loader.data, **calibrating)
            record.update(prior=found.prior, norm_power=found.norm_power)
        if track is not None:
            _add(record, 'track', _figures('track', track(), finite=False))
        if evaluate is not None:
            metrics = _figures('evaluate', evaluate(), finite=True)
            value = metrics[check_name('monitor', monitor, metrics)]
            _add(record, 'evaluate', metrics)
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
                {'format': _FORMAT, 'experiment': experiment, 'step': step.state_dict(),
                 'loader': loader.state_dict(), 'rng': torch.get_rng_state(),
                 'history': history.to_dict(), 'best': best,
                 'epoch': epoch, 'misses': misses}, checkpoint)
    bar.close()
    if best is not None:
        method.load_state_dict(best)
    method.eval()
    return history
