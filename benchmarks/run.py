r"""One run: trained, measured, and written as soon as it is done."""
import hashlib
import itertools
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Optional, Union

import optuna
import torch
from torch_geometric import seed_everything
from torch_geometric.data import HeteroData

from benchmarks.build import Spec, build, load
from pyg_advcf import InteractionLoader, Recommender, evaluate, fit
from pyg_advcf.baselines import Baseline
from pyg_advcf.files import load_safely
from pyg_advcf.interactions import held_out, known_pairs, num_nodes, split_names
from pyg_advcf.metrics import evaluate_by_user
from pyg_advcf.pairs import PairSet
from pyg_advcf.training import History, Step
from pyg_advcf.transforms import MergeSplit

Record = dict[str, Any]


def digest(content: Any) -> str:
    r"""A short name of the content, the same in every process."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def write_json(path: Path, content: list) -> None:
    r"""Writes an entry a line, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.name}.{os.getpid()}.part')
    partial.write_text('[\n' + ',\n'.join(map(json.dumps, content)) + '\n]\n')
    os.replace(partial, path)


def _path(spec: Spec, work: Path) -> Path:
    return work / 'runs' / f'{digest(spec)}.json'  # By all that the run depends on.


def record_of(spec: Spec, work: Path) -> Optional[Record]:
    r"""The record of a run, if it is done."""
    path = _path(spec, work)
    return json.loads(path.read_text())[0] if path.exists() else None


def _test(recommender: Recommender, data: HeteroData, **kwargs: Any) -> dict[str, dict]:
    r"""The test sets, clean and, where that protocol counts other pairs, official."""
    clean, official = (evaluate(recommender, data, protocol=protocol, **kwargs)
                       for protocol in ('clean', 'official'))
    seen = [known_pairs(data), *(held_out(data, split) for split in split_names(data, 'val'))]
    seen = PairSet.of(torch.cat(seen, 1), *num_nodes(data))
    return {**clean, **{f'{split}_official': values for split, values in official.items()
                        if 'candidate_mask' in data['item']
                        or seen.contains(*held_out(data, split)).any()}}


def _validation(spec: Spec, recommender: Any, data: HeteroData) -> dict[str, float]:
    name, _, k = spec['fit']['arguments']['monitor'].partition('@')
    names = dict.fromkeys([name, 'recall', 'ndcg'])
    return evaluate(recommender, data, 'val', int(k), names)['val']


def run(spec: Spec, work: Path, data_dir: str, trial: Optional[optuna.Trial] = None) -> Record:
    r"""Trains and measures a run, unless that is done; goes on where it was interrupted."""
    path, done = _path(spec, work), record_of(spec, work)
    if done is not None:
        return done
    data = load(spec, data_dir)
    seed_everything(spec['seed'])
    start = time.perf_counter()
    spec, built, loader = build(spec, data)
    if loader is None:
        recommender, seconds = built, time.perf_counter() - start
        metrics, monitor = _validation(spec, recommender, data), spec['fit']['arguments']['monitor']
        history = History([{'epoch': 0, 'seconds': seconds, 'evaluated': True, **metrics}], 0,
                          metrics[monitor])
    else:
        recommender = built.recommender
        history = _trained(spec, built, loader, data, path.with_suffix('.pt'), trial)
    measured = spec['evaluate']['arguments']
    refitted: Record = {}
    if spec.get('refit'):
        refitted['selection_test'] = _test(recommender, data, **measured)
        recommender, data, refitted['refit_seconds_per_epoch'] = _refit(spec, data, history, path)
    record = {
        'dataset': spec['data']['name'], 'users': spec['prepare']['arguments']['users'],
        'seed': spec['seed'], 'best_epoch': history.best_epoch, 'epochs': len(history.epochs),
        'valid': {spec['fit']['arguments']['monitor']: history.best_value},
        'test': _test(recommender, data, **measured),
        'train_seconds_per_epoch': history.seconds_per_epoch, **refitted,
        **_extras(spec, recommender, data, history), **_ranking(recommender),
        **{key: value for key, value in spec.items() if key not in ('seed', 'curves')}}
    write_json(path, [record])
    path.with_suffix('.pt').unlink(missing_ok=True)
    return record


def _trained(spec: Spec, step: Step, loader: InteractionLoader, data: HeteroData, checkpoint: Path,
             trial: Optional[optuna.Trial]) -> History:
    r"""Trains a method, from its checkpoint if there is one."""
    schedule, recommender = spec['fit']['arguments'], step.recommender
    start = load_safely(checkpoint, 'delete it')['epoch'] if checkpoint.exists() else -1
    epochs = itertools.count(start + schedule['evaluate_every'], schedule['evaluate_every'])

    def validate() -> dict[str, float]:
        metrics = _validation(spec, recommender, data)
        epoch = next(epochs)
        if trial is not None and epoch >= step.warmup_epochs:
            trial.report(metrics[schedule['monitor']], epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return metrics

    followed = _followed(spec)

    def curves() -> dict[str, float]:
        found = _measured(spec, followed, recommender, data)
        if spec['curves']:
            k = int(schedule['monitor'].partition('@')[2])
            found |= _test(recommender, data, k=k, metrics=('recall', 'ndcg'))
        return {f'{group}/{key}': value for group, values in found.items()
                for key, value in values.items()}

    try:
        return fit(step, loader, evaluate=validate,
                   track=curves if spec['curves'] or followed else None,
                   checkpoint=checkpoint, resume=True, progress=False, **schedule)
    except (optuna.TrialPruned, FloatingPointError):
        checkpoint.unlink(missing_ok=True)
        raise


def _refit(spec: Spec, data: HeteroData, history: History,
           path: Path) -> tuple[Union[Recommender, Baseline], HeteroData, float]:
    r"""Trains anew on training and validation pairs, for as many epochs as validation chose.

    The ranking's prior and norm power are those that validation chose, too.
    """
    merged = MergeSplit('val')(data)
    seed_everything(spec['seed'])
    start = time.perf_counter()
    _, built, loader = build(spec, merged)
    if loader is None:
        return built, merged, time.perf_counter() - start
    checkpoint, recommender = path.with_suffix('.refit.pt'), built.recommender
    found = fit(built, loader, history.best_epoch + 1, patience=None, checkpoint=checkpoint,
                evaluate_every=spec['fit']['arguments']['evaluate_every'], resume=True,
                progress=False)
    chosen = history.epochs[history.best_epoch]
    if 'prior' in chosen:
        recommender.similarity.prior = chosen['prior']
        recommender.similarity.norm_power = chosen['norm_power']
    checkpoint.unlink(missing_ok=True)
    return recommender, merged, found.seconds_per_epoch


def _ranking(recommender: Union[Recommender, Baseline]) -> Record:
    r"""How scores are ranked, where that was chosen apart from training."""
    similarity = getattr(recommender, 'similarity', None)
    if similarity is None or (similarity.prior == 0. and
                              similarity.norm_power == similarity.own_norm_power):
        return {}
    return {'ranking': {'prior': similarity.prior, 'norm_power': similarity.norm_power}}


def _followed(spec: Spec) -> list[str]:
    return [name for name, m in spec['measures'].items() if m.get('every_evaluation')]


def _measured(spec: Spec, names: Iterable[str], recommender: Recommender,
              data: HeteroData) -> Record:
    r"""The measures of these names."""
    measures = [(name, spec['measures'][name]) for name in names]
    return {name: resolve_name(m['function'])(recommender, data, **m.get('arguments', {}))
            for name, m in measures}


def _extras(spec: Spec, recommender: Recommender, data: HeteroData, history: History) -> Record:
    r"""What only some runs have: an adversary, cold users, further measures, curves."""
    extras: Record = {}
    passes = [epoch for epoch in history.epochs if 'adversary_loss' in epoch]
    if passes:
        extras['adversary'] = {
            'passes': len(passes), 'kl_uniform_p': passes[-1]['kl_uniform_p'],
            'seconds_per_pass': sum(e['adversary_seconds'] for e in passes) / len(passes)}
    if 'cold_mask' in data['user']:
        groups = {'cold': data['user'].cold_mask, 'warm': ~data['user'].cold_mask}
        extras['groups'] = evaluate_by_user(recommender, data, groups,
                                            **spec['evaluate']['arguments'])
    extras |= _measured(spec, spec['measures'], recommender, data)
    if spec['curves'] or _followed(spec):
        keys = set.intersection(*map(set, history.evaluated)) - {'evaluated', 'loss', 'seconds'}
        extras['curves'] = {key: [round(epoch[key], 5) for epoch in history.evaluated]
                            for key in history.evaluated[0] if key in keys}
    return extras
