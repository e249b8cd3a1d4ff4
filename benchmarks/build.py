r"""One run as data, its `spec`, and as objects: the only place where a comparison builds anything.

The arguments in the record are those that are passed here, with the defaults of the signatures.
"""
import copy
import inspect
import os
from collections.abc import Callable, Sequence
from pkgutil import resolve_name
from typing import Any, Optional, Union

import torch
from torch_geometric.data import HeteroData
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import coalesce

from benchmarks.arguments import ConfigError, received
from pyg_advcf import InteractionLoader, evaluate, fit, interaction_data, training
from pyg_advcf._checks import check_name
from pyg_advcf.baselines import Baseline
from pyg_advcf.interactions import EDGE_TYPE, is_split_key, num_nodes, split_names
from pyg_advcf.registry import BACKBONES, BASELINES, DATASETS, METHODS
from pyg_advcf.training import Step, step_for
from pyg_advcf.transforms import SampleUsers

STEPS = {name: cls for name, cls in vars(training).items()
         if inspect.isclass(cls) and issubclass(cls, Step)}
Spec = dict[str, Any]


def prepare(data: HeteroData, users: float = 1., resplit: bool = False,
            transforms: Sequence[BaseTransform] = ()) -> HeteroData:
    r"""The pairs of a dataset: a share of its users, perhaps all in training again, transformed."""
    data = copy.copy(data)
    store = data[EDGE_TYPE]
    splits = {key: store[key] for key in store.keys() if is_split_key(key)}
    for key in set(store.keys()) - {'edge_index', *splits}:
        del store[key]  # Ratings and times, which injected pairs would lack.
    if resplit:
        pairs = coalesce(torch.cat([store.edge_index, *splits.values()], dim=1))
        data = interaction_data(pairs, *num_nodes(data))
    for transform in [*([] if users == 1 else [SampleUsers(users)]), *transforms]:
        data = transform(data)
    return data


def load(spec: Spec, data_dir: str) -> HeteroData:
    r"""The data of a run, which need to have the splits that it uses."""
    name, arguments = spec['data']['name'], spec['data']['arguments']
    root = [] if name == 'synthetic' else [os.path.join(data_dir, name)]
    data = prepare(DATASETS[name](*root, **arguments)[0],
                   **received(prepare, spec['prepare']['arguments'], 'data')[1])
    step = spec.get('step', {}).get('name')
    for split in ('val', 'outer') if step == 'BilevelStep' else ('val', ):
        if split not in split_names(data):
            raise ConfigError(f"'data' is '{name}' without a split '{split}'; hold one out with "
                              f"RandomSplit among the transforms of 'prepare'")
    return data


def build(spec: Spec, data: HeteroData) -> tuple[Spec, Union[Step, Baseline],
                                                 Optional[InteractionLoader]]:
    r"""Builds a run over the data, and fills in its spec what that does not say.

    A baseline is fitted then: it has no loader, and of the groups of training nothing but what is
    monitored.
    """
    spec = dict(spec)

    def passed(group: str, target: Callable, *own: str) -> dict[str, Any]:
        plain, objects = received(target, spec[group]['arguments'], *own)
        spec[group] = {'name': spec[group].get('name', target.__name__), 'arguments': plain}
        return objects

    def named(group: str, registry: Any) -> Callable:
        return registry[check_name(f'{group}.name', spec[group].get('name'), registry)]

    passed('data', named('data', DATASETS), 'root', 'transform', 'pre_transform', 'force_reload')
    passed('prepare', prepare, 'data')
    method, loader = named('method', {**METHODS, **BASELINES}), None
    if spec['method']['name'] in BASELINES:
        recommender = built = method(data, **passed('method', method, 'data'))
        for group in ('backbone', 'step', 'loader'):
            spec.pop(group, None)
    else:
        cls = named('backbone', BACKBONES)
        backbone = cls(data, **passed('backbone', cls, 'data'))
        recommender = method(backbone, **passed('method', method, 'backbone'))
        loader = InteractionLoader(data, **passed('loader', InteractionLoader, 'data'))
        default = type(step_for(recommender, loader))
        cls = named('step', STEPS) if 'name' in spec['step'] else default
        kwargs = passed('step', cls, 'recommender', 'outer_loader', '_others')
        built = (step_for(recommender, loader, **kwargs) if cls is default
                 else cls(recommender, **kwargs))
    passed('fit', fit, 'step', 'loader', 'lr', 'evaluate', 'track', 'checkpoint', 'resume',
           'progress')
    if loader is None:
        spec['fit']['arguments'] = {'monitor': spec['fit']['arguments']['monitor']}
    passed('evaluate', evaluate, 'model', 'data', 'protocol', 'similarity', 'per_user')
    for measure in spec['measures'].values():
        inspect.signature(resolve_name(measure['function'])).bind(
            recommender, data, **measure.get('arguments', {}))
    return spec, built, loader
