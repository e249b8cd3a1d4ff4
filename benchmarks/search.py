r"""The search of one method: an Optuna study that outlives the program."""
import threading
import warnings
import zlib
from concurrent.futures import Executor
from functools import cache
from pathlib import Path
from typing import Any, Optional, Union

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from benchmarks.arguments import ConfigError
from benchmarks.build import Spec
from benchmarks.config import Comparison
from benchmarks.plan import Plan, Setting
from benchmarks.run import Record, digest, record_of, run

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings('ignore', category=optuna.exceptions.ExperimentalWarning)
_ASKING = threading.Lock()


@cache
def _storage(path: Path) -> JournalStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(path)))


class Search:
    r"""Tries settings of one method with the first seed; validation chooses."""
    def __init__(self, comparison: Comparison, plan: Plan, work: Path) -> None:
        self.comparison, self.plan, self.work = comparison, plan, work
        self.seed, self.path = comparison.seeds[0], work / f'{comparison.name}.journal'
        self.sampler = getattr(optuna.samplers, comparison.sampler)
        # What was changed has another study.
        self.name = f'{plan.label} {digest([plan.spec({}, self.seed), plan.choices])}'

    def study(self, sampler: Optional[optuna.samplers.BaseSampler] = None) -> optuna.Study:
        r"""The study; a sampler is needed to ask for a trial, not to tell how one ended."""
        return optuna.create_study(
            storage=_storage(self.path), study_name=self.name, sampler=sampler,
            pruner=self.comparison.pruner, direction='maximize', load_if_exists=True)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        r"""The trials that are done, or in one of these states."""
        states = states or (TrialState.COMPLETE, TrialState.PRUNED)
        if not self.path.exists():
            return []
        return self.study().get_trials(deepcopy=False, states=states)

    def left(self) -> range:
        r"""Queues what was interrupted and what comes first; returns what else is to be done."""
        study = self.study()
        for trial in self.trials(TrialState.RUNNING):
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.system_attrs.get('fixed_params', trial.params))
        for setting in self.plan.first:
            study.enqueue_trial(setting, skip_if_exists=True)
        return range(len(self.trials()), self.plan.budget)

    def _run(self, spec: Spec, trial_id: int, data_dir: str) -> Union[Record, str]:
        r"""Runs a trial, in a worker; returns its record, or why there is none."""
        try:
            return run(spec, self.work, data_dir, optuna.Trial(self.study(), trial_id))
        except (optuna.TrialPruned, FloatingPointError) as error:
            return 'pruned' if isinstance(error, optuna.TrialPruned) else f'diverged: {error}'

    def attempt(self, place: int, processes: Executor, data_dir: str) -> str:
        r"""Runs the trial in this place, and says how it ended; without that it is interrupted."""
        seed = zlib.crc32(f'{self.plan.label} {place}'.encode())
        with _ASKING:
            trial = self.study(self.sampler(seed=seed)).ask({
                key: CategoricalDistribution(v) for key, v in self.plan.choices.items()})
            spec = self.plan.spec(trial.params, self.seed)
        found = processes.submit(self._run, spec, trial._trial_id, data_dir).result()
        trial.set_user_attr('end', found if isinstance(found, str) else 'complete')
        if isinstance(found, str):
            self.study().tell(trial.number, state=TrialState.PRUNED)
        else:
            self.study().tell(trial.number, *(found := found['valid']).values())
        return f'{self.plan.label}, trial {trial.number}, {trial.params}: {found}'

    def chosen(self) -> Setting:
        r"""The setting with the best validation, the first of equal ones."""
        complete = self.trials(TrialState.COMPLETE)
        if not complete:
            raise ConfigError(f"method '{self.plan.label}': no setting could be trained to its end")
        return max(complete, key=lambda trial: trial.value).params

    def records(self) -> list[dict[str, Any]]:
        r"""A row for each trial; nobody looked at its test sets."""
        chosen = self.chosen()
        runs = [(t, record_of(self.plan.spec(t.params, self.seed), self.work) or {})
                for t in self.trials()]
        return [{'label': self.plan.label, 'number': t.number, 'end': t.user_attrs['end'],
                 'chosen': t.params == chosen, 'setting': t.params, 'valid': t.value,
                 **{key: r.get(key) for key in ('best_epoch', 'epochs', 'test')}} for t, r in runs]
