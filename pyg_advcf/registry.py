r"""Names under which datasets, backbones, methods and the like are found."""
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from pyg_advcf._checks import check_name

T = TypeVar('T')


class Registry(Mapping):
    r"""A mapping from public names to classes, filled where the classes are defined.

    Args:
        kind: What the entries are; it names the argument in error messages.
    """
    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, type] = {}

    def register(self, name: str) -> Callable[[T], T]:
        r"""Registers the decorated class under ``name``."""
        def decorate(cls: T) -> T:
            if name in self._entries:
                raise ValueError(f"the {self.kind} name '{name}' is taken")
            self._entries[name] = cls
            return cls

        return decorate

    def __getitem__(self, name: str) -> type:
        return self._entries[check_name(self.kind, name, self._entries)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries


def import_modules(package: str, path: Iterable[str]) -> None:
    r"""Imports every module of a package, so that a new file registers itself by being there.

    Args:
        package: Its ``__name__``.
        path: Its ``__path__``.
    """
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f'{package}.{module.name}')


DATASETS = Registry('dataset')
BACKBONES = Registry('backbone')
CRITERIA = Registry('criterion')
METHODS = Registry('method')
BASELINES = Registry('baseline')
