r"""Recommenders as folders: the weights, what they were built from, and their interactions."""
import inspect
import math
import numbers
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.data import HeteroData

from pyg_advcf._checks import check_instance
from pyg_advcf.files import PathLike
from pyg_advcf.folders import check_new_folder, read_folder, write_folder
from pyg_advcf.interactions import interaction_graph
from pyg_advcf.record import Recorded, arguments, describe, is_recorded, qualified_name, target

if TYPE_CHECKING:
    from pyg_advcf.methods import Recommender

KIND = 'recommender'


def _find(name: str) -> Any:
    r"""The class or function of a qualified name, in modules that are imported; else ``None``.

    Only what records its calls is found, and nothing is imported: a folder cannot choose what runs.
    """
    parts = name.split('.')
    for end in range(len(parts) - 1, 0, -1):
        found = sys.modules.get('.'.join(parts[:end]))
        if found is not None:
            for part in parts[end:]:  # Without `getattr`, by which some modules import others.
                found = getattr(found, '__dict__', {}).get(part)
            is_class = inspect.isclass(found) and issubclass(found, Recorded)
            return found if is_class or getattr(found, 'records_calls', False) is True else None
    return None


class _Encoder:
    r"""Turns what an object was built from into plain data, and gathers the tensors in it."""
    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._places: dict[int, int] = {}
        self._kept: list[Any] = []  # Keeps the ids of objects their own.

    def tensor(self, value: Tensor) -> dict[str, Any]:
        name = str(len(self.tensors))
        self.tensors[name] = value.as_subclass(Tensor) if isinstance(value, EdgeIndex) else value
        return {'tensor': name}

    def mapping(self, values: Mapping, where: str) -> list[list[Any]]:
        return [[self(key, where), self(value, f'{where}.{key}')] for key, value in values.items()]

    def vocabulary(self, index: pd.Index, where: str) -> dict[str, Any]:
        if pd.api.types.is_integer_dtype(index.dtype) and index.max() < 2**63:
            return {'index': self.tensor(torch.from_numpy(index.to_numpy(np.int64, copy=True)))}
        if all(isinstance(value, str) for value in index):
            return {'strings': index.tolist()}
        raise ValueError(f"'{where}' holds ids of the type {index.dtype}, but only strings and "
                         f"integers of 64 bits can be saved; convert them with astype(str)")

    def __call__(self, value: Any, where: str) -> Any:
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, (np.bool_, numbers.Integral)):
            return bool(value) if isinstance(value, np.bool_) else int(value)
        if isinstance(value, numbers.Real):
            value = float(value)
            return value if math.isfinite(value) else {'float': repr(value)}
        if isinstance(value, (list, tuple, set, frozenset)):
            kind = next(k for k in (list, tuple, set, frozenset) if isinstance(value, k))
            return {kind.__name__: [self(entry, where) for entry in value]}
        if isinstance(value, pd.Index):
            return self.vocabulary(value, where)
        if isinstance(value, np.ndarray) and value.dtype.kind in 'biuf':
            return {'array': self.tensor(torch.from_numpy(value.copy()))}
        if isinstance(value, Tensor) and value.layout == torch.strided:
            return self.tensor(value)
        if isinstance(value, HeteroData):
            return self._shared(value, lambda: {'data': [
                [None if key is None else self(key, where), self.mapping(store, where)]
                for key, store in (
                    (None, value._global_store), *zip(value.node_types, value.node_stores),
                    *zip(value.edge_types, value.edge_stores))]})
        if is_recorded(value):
            return self._shared(value, lambda: self._built(value, where))
        if isinstance(value, Mapping):
            return {'dict': self.mapping(value, where)}
        raise ValueError(f"'{where}' is {describe(value)!r}, which cannot be saved; build the "
                         f"recommender from plain values, tensors and objects that derive from "
                         f"'pyg_advcf.record.Recorded'")

    def _shared(self, value: Any, encode: Callable[[], dict]) -> dict[str, Any]:
        if id(value) not in self._places:
            encoded = encode()
            self._places[id(value)] = len(self._kept)
            self._kept.append(value)
            return {**encoded, 'place': self._places[id(value)]}
        return {'again': self._places[id(value)]}

    def _built(self, value: Recorded, where: str) -> dict[str, Any]:
        build = target(value)
        name = qualified_name(build)
        if _find(name) is not build:
            raise ValueError(f"'{where}' was built by {name}, which cannot be found by that name; "
                             f"define it at the top level of a module")
        return {'build': name, 'arguments': self.mapping(arguments(value), where)}


class _Decoder:
    r"""The other way around."""
    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        self._known: dict[int, Any] = {}

    def mapping(self, pairs: list) -> dict:
        return {self(key): self(value) for key, value in pairs}

    def __call__(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if 'again' in value:
            return self._known[value['again']]
        place = value.get('place')
        kind, content = next((k, v) for k, v in value.items() if k not in ('place', 'arguments'))
        if kind == 'build':
            found = self._build(content, self.mapping(value['arguments']))
        elif kind == 'data':
            found = HeteroData()
            for key, store in content:
                into = found._global_store if key is None else found[self(key)]
                into.update(self.mapping(store))
        elif kind == 'tensor':
            found = self._tensors[content]
        elif kind == 'array':
            found = self(content).numpy()
        elif kind == 'index':
            found = pd.Index(self(content).numpy())
        elif kind == 'strings':
            found = pd.Index(content, dtype=object)
        elif kind == 'float':
            found = float(content)
        elif kind == 'dict':
            found = self.mapping(content)
        else:
            found = {'list': list, 'tuple': tuple, 'set': set, 'frozenset': frozenset}[kind](
                map(self, content))
        if place is not None:
            self._known[place] = found
        return found

    @staticmethod
    def _build(name: str, given: dict[str, Any]) -> Any:
        build = _find(name)
        if build is None:
            raise ValueError(f"the recommender was built by '{name}', which is not known here; "
                             f"import the module that defines it before loading")
        try:
            return build(**given)
        except (TypeError, ValueError) as e:
            raise ValueError(f"the recommender cannot be built as it was saved: '{name}' says "
                             f"that {e}; load it with the version of this library that saved "
                             f"it") from e


def _derived(module: nn.Module) -> dict[str, Tensor]:
    r"""Buffers outside of the ``state_dict`` that hold floats.

    They follow from the data, but their last bits might differ on another machine.
    """
    state = module.state_dict(keep_vars=True)
    return {name: value for name, value in module.named_buffers()
            if name not in state and value.is_floating_point()
            and value.layout == torch.strided}


def save(recommender: 'Recommender', folder: PathLike, overwrite: bool = False) -> None:
    r"""See :meth:`pyg_advcf.methods.Recommender.save`."""
    from pyg_advcf import __version__
    check_new_folder(folder, overwrite)  # Before any work.
    backbone = recommender.backbone
    data = arguments(backbone).get('data')
    if isinstance(data, HeteroData) and not torch.equal(
            interaction_graph(data, backbone.edge_type).as_tensor(),
            backbone.graph.as_tensor().to(data[backbone.edge_type].edge_index.device)):
        raise ValueError(f"the interactions that {backbone!r} was built from were changed "
                         f"since, so it could not be built from them again; build a backbone from "
                         f"a copy of the data, or change a copy")
    encode = _Encoder()
    content = {'version': __version__, 'recommender': encode(recommender, 'recommender'),
               'similarity': encode(recommender.similarity, 'similarity'),
               'epoch': recommender.epoch, 'training': recommender.training}
    write_folder(folder, KIND, content, {
        'weights': recommender.state_dict(), 'derived': _derived(recommender),
        'data': encode.tensors}, overwrite)


def load(folder: PathLike) -> 'Recommender':
    r"""Loads a recommender that :meth:`pyg_advcf.Recommender.save` wrote.

    It is built as it was then, on CPU, and has the same weights: it recommends the same, bit for
    bit, and training can go on. Random numbers that building it draws are not missing elsewhere.
    Every file is verified before anything is made of it, and nothing in the folder is run. Classes
    of your own are found if the module that defines them is imported before.

    Args:
        folder: The folder.

    Raises:
        ValueError: If the folder is none of a recommender, lacks a file, is damaged, was written by
            a newer version of this library, or does not fit the classes of this one.

    Example:
        >>> import tempfile
        >>> from pyg_advcf import LightGCN, methods
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> recommender = methods.infonce(LightGCN(data, dim=8), temperature=0.2)
        >>> folder = tempfile.mkdtemp() + '/infonce'
        >>> recommender.save(folder)
        >>> again = load(folder)
        >>> again.similarity, torch.equal(again.recommend([3], k=5).item,
        ...                               recommender.recommend([3], k=5).item)
        (Cosine(temperature=0.2), True)
    """
    from pyg_advcf.methods import Recommender
    content, tensors = read_folder(folder, KIND)
    decode = _Decoder(tensors['data'])
    with torch.random.fork_rng(devices=[]):
        found = decode(content['recommender'])
        similarity = decode(content['similarity'])
    check_instance('folder', found, Recommender, 'the folder of a recommender')
    if describe(found.similarity) != describe(similarity):  # Exchanged after it was built.
        found.similarity = similarity
    _load_weights(found, tensors['weights'], folder)
    derived = _derived(found)
    if {k: v.shape for k, v in derived.items()} != {
            k: v.shape for k, v in tensors['derived'].items()}:
        raise ValueError(f"'folder' is '{folder}', whose derived tensors do not fit "
                         f"{type(found).__name__}; load it with the version of this library that "
                         f"saved it ({content['version']})")
    for name, value in tensors['derived'].items():
        owner, _, last = name.rpartition('.')
        setattr(found.get_submodule(owner), last, value)
    found.epoch = content['epoch']
    return found.train(content['training'])


def _load_weights(module: nn.Module, weights: Mapping[str, Tensor], folder: PathLike) -> None:
    own = module.state_dict()
    wrong = [name for name in sorted(own.keys() | weights.keys())
             if name not in own or name not in weights or own[name].shape != weights[name].shape]
    if wrong:
        found, wanted = (list(state[wrong[0]].shape) if wrong[0] in state else 'missing'
                         for state in (weights, own))
        raise ValueError(f"'folder' is '{folder}', whose weights do not fit: '{wrong[0]}' has the "
                         f"shape {found}, but {type(module).__name__} needs {wanted}; load it with "
                         f"the version of this library that saved it")
    module.load_state_dict(weights, assign=True)  # The types are those of the file.
