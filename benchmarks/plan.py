r"""What one method of a comparison runs: its published setting, others to try, seeds."""
import itertools
import json
import math
from collections.abc import Iterable
from functools import cache, reduce
from operator import getitem
from typing import Any

from torch_geometric.data import HeteroData

from benchmarks.arguments import naming
from benchmarks.build import Spec, build
from benchmarks.config import GROUPS, Method
from pyg_advcf._checks import check_name
from pyg_advcf.datasets import SyntheticExposure
from pyg_advcf.transforms import RandomSplit

Setting = dict[str, Any]  # By `group.argument`.


@cache
def _tiny() -> HeteroData:
    data = SyntheticExposure(num_users=200, num_items=150)[0]
    return RandomSplit(val=0., outer=0.1, per_user=False)(data)


class Plan:
    r"""The runs of one method; each value that is searched was built on a tiny graph once."""
    def __init__(self, label: str, method: Method, budget: int) -> None:
        self.label, self.method = label, method
        keys = dict.fromkeys([*method.space, *itertools.chain(*method.settings)])
        with naming(f"method '{label}'"):
            groups = set(GROUPS) & self.spec({}, 0).keys()  # A baseline has fewer.
            for key in keys:
                check_name('space', key.partition('.')[0], groups)
            values = {key: [self._received({key: value}, [key])[key] for value in [
                *method.space.get(key, ()), *(s[key] for s in method.settings if key in s)]]
                for key in keys}
            # What is tried before any is drawn, the published setting first.
            self.first = [self._received(setting, keys) for setting in ({}, *method.settings)]
            self.choices = {key: list(dict.fromkeys([self.first[0][key], *values[key]]))
                            for key in keys}
        self.budget = min(budget, math.prod(map(len, self.choices.values())))

    def _received(self, setting: Setting, keys: Iterable[str]) -> Setting:
        r"""What the constructors receive of ``keys`` under the setting."""
        spec = self.spec(setting, 0)
        return {key: reduce(getitem, path, spec[group]['arguments'])
                for key in keys for group, *path in [key.split('.')]}

    def spec(self, setting: Setting, seed: int) -> Spec:
        r"""The run with a setting and a seed, as :func:`benchmarks.build.build` fills it in."""
        groups = json.loads(json.dumps(self.method.groups).replace('"$seed"', str(seed)))
        groups['loader'].setdefault('seed', seed)
        for key, value in setting.items():
            *path, last = key.split('.')
            reduce(getitem, path, groups)[last] = value
        measures = {k: v for k, v in self.method.measures.items() if v is not None}
        spec: Spec = {'seed': seed, 'curves': self.method.curves, 'measures': measures}
        if self.method.refit:
            spec['refit'] = True
        for name, group in groups.items():
            spec[name] = {**({'name': group.pop('name')} if 'name' in group else {}),
                          'arguments': group}
        return build(spec, _tiny())[0]
