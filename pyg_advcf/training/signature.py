r"""Which experiment a checkpoint is of: what defines it as plain data, and differences in words."""
from typing import Any, Union

from pyg_advcf.loader import InteractionLoader
from pyg_advcf.record import arguments, describe, describe_optimizer, is_recorded
from pyg_advcf.training.step import Step
from pyg_advcf.training.updater import Updater

Description = Union[dict[str, Any], Any]
_DATA = {'users': 'the number of users', 'items': 'the number of items',
         'interactions': 'the training interactions', 'candidate_mask': 'the candidate mask'}


def signature(step: Step, loader: InteractionLoader, **settings: Any) -> dict[str, Any]:
    r"""What an experiment is defined by.

    Backbone, criterion, similarity, recommender, step and loader by the arguments that they were
    made with; a custom optimizer by its class and settings; the data by fingerprints of
    every split.

    Args:
        step: What trains.
        loader: What it is trained on.
        **settings: Those of :func:`~pyg_advcf.training.fit` that change the outcome.
    """
    memo: dict[int, Any] = {}
    method = step.recommender
    parts = {'backbone': method.backbone, 'criterion': method.criterion,
             'similarity': method.similarity}
    found = {'recommender': describe(method, memo),
             **{name: describe(part, memo) for name, part in parts.items()},
             'step': describe(step, memo), 'loader': describe(loader, memo),
             'fit': describe(settings)}
    for name, own in (('recommender', method), ('step', step)):
        if is_recorded(own):  # What is described beside it is not repeated.
            beside = {id(part) for part in (method, *parts.values())}
            for key, value in arguments(own).items():
                if id(value) in beside:
                    found[name]['arguments'].pop(key, None)
    found['step']['arguments'].pop('optimizer', None)
    for name, updater in vars(step).items():
        if isinstance(updater, Updater) and updater.builder is not None:
            key = name.removesuffix('updater') + 'optimizer'
            found['step']['arguments'][key] = describe_optimizer(updater.optimizer)
    trained = {name for name, p in method.named_parameters() if p.requires_grad}
    found['weights'] = {
        name: f'{t.dtype} {list(t.shape)}' + (' trained' if name in trained else '')
        for name, t in method.state_dict().items()}
    return found


def _is_object(value: Description) -> bool:
    return isinstance(value, dict) and set(value) == {'class', 'arguments'}


def _short(value: Description) -> str:
    return value['class'].rpartition('.')[2] if _is_object(value) else repr(value)


def _of_data(now: dict[str, Any], then: dict[str, Any]) -> list[str]:
    found = []
    for key in dict.fromkeys([*now, *then]):
        if key not in then:
            found.append(f"the checkpoint has no split '{key}'")
        elif key not in now:
            found.append(f"there is no split '{key}', which the checkpoint has")
        elif now[key] != then[key] and key in ('users', 'items'):
            found.append(f'{_DATA[key]} is {now[key]}, the checkpoint has {then[key]}')
        elif now[key] != then[key]:
            what = _DATA.get(key, f"the split '{key}'")
            found.append(f"{what} differ{'' if key == 'interactions' else 's'}")
    return found


def differences(now: Description, then: Description, path: str = '') -> list[str]:
    r"""How ``now`` differs from ``then``, both of :func:`signature`: a sentence for each.

    Example:
        >>> differences({'fit': {'patience': 5}}, {'fit': {'patience': 9}})
        ['fit.patience is 5, the checkpoint has 9']
    """
    if now == then:
        return []
    if _is_object(now) and _is_object(then):
        if now['class'] == then['class']:
            return differences(now['arguments'], then['arguments'], path)
        short = _short(now) != _short(then)
        names = [_short(v) if short else v['class'] for v in (now, then)]
        return [f'{path} is {names[0]}, the checkpoint has {names[1]}']
    if not (isinstance(now, dict) and isinstance(then, dict)) or _is_object(now) or (
            _is_object(then)):
        return [f'{path} is {_short(now)}, the checkpoint has {_short(then)}']
    if _DATA.keys() <= now.keys() & then.keys():
        return _of_data(now, then)
    found = []
    for key in dict.fromkeys([*now, *then]):
        own = f'{path}.{key}' if path else key
        if key == 'weights' and not path and found:
            continue  # Other shapes follow from what is named already.
        if key not in then:
            found.append(f'{own} is {_short(now[key])}, the checkpoint has none')
        elif key not in now:
            found.append(f'{own} is missing, the checkpoint has {_short(then[key])}')
        else:
            found += differences(now[key], then[key], own)
    return list(dict.fromkeys(found))  # The data of backbone and loader are the same.
