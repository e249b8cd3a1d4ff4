r"""A comparison as it is written down: YAML files that may extend others (see README.md)."""
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import yaml
from optuna.pruners import BasePruner, NopPruner

from benchmarks.arguments import ConfigError, naming, received
from pyg_advcf.registry import BASELINES, METHODS

CONFIGS = Path(__file__).parent / 'configs'
# Each has the arguments of one constructor or function, and perhaps the `name` of it.
GROUPS = ('data', 'prepare', 'backbone', 'method', 'step', 'loader', 'fit', 'evaluate')


@dataclass
class Method:
    r"""One method of a comparison: what is passed to whom, what is searched and recorded."""
    groups: dict[str, dict[str, Any]]
    measures: dict[str, Optional[dict[str, Any]]] = field(default_factory=dict)
    space: dict[str, list[Any]] = field(default_factory=dict)
    settings: list[dict[str, Any]] = field(default_factory=list)
    curves: bool = False
    refit: bool = False


@dataclass
class Comparison:
    r"""Methods by label, and the search and the seeds that they share."""
    name: str
    methods: dict[str, Method]
    budget: int = 1
    seeds: list[int] = field(default_factory=lambda: [0])
    sampler: str = 'BruteForceSampler'  # Draws without replacement.
    pruner: BasePruner = field(default_factory=NopPruner)


def merged(base: Any, over: Any) -> Any:
    r"""``over`` laid over ``base``; what gets another name has other arguments, and starts anew."""
    if not isinstance(base, dict) or not isinstance(over, dict) or any(
            key in base and key in over and base[key] != over[key]
            for key in ('name', 'class_path')):
        return deepcopy(over)
    return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}


def read(path: Path) -> dict[str, Any]:
    r"""The content of a file, laid over that of the file that it ``extends``."""
    content = yaml.safe_load(path.read_text(encoding='utf-8'))
    base = content.pop('extends', None)
    return content if base is None else merged(read(path.parent / base), content)


def load(config: str) -> Comparison:
    r"""The comparison of a file, or of the name of a file in ``benchmarks/configs``."""
    path = Path(config) if Path(config).suffix else CONFIGS / f'{config}.yaml'
    content = {**read(path), 'name': path.stem}
    entries = {k: v for k, v in content.pop('methods', {}).items() if v is not None}
    shared = {k: content.pop(k) for k in (*GROUPS, *Method.__dataclass_fields__) if k in content}

    def whole(label: str) -> dict[str, Any]:
        if label not in entries:
            raise ConfigError(f"it is like '{label}', but there is no such method")
        entry = dict(entries[label])
        base = whole(entry.pop('like')) if 'like' in entry else {}
        group = base.get('method', {})
        name = label if label in {*METHODS, *BASELINES} else group.get('name', label)
        return merged({**base, 'method': {**group, 'name': name}}, entry)

    methods = {}
    for label in entries:
        with naming(f"method '{label}'"):
            entry = merged(shared, whole(label))
            groups = {group: entry.pop(group, {}) for group in GROUPS}
            methods[label] = Method(groups, **received(Method, entry, 'groups')[0])
    return Comparison(methods=methods, **received(Comparison, content, 'methods')[1])
