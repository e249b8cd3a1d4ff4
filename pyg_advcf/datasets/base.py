r"""What all datasets share: mirror, checksums, safe files."""
import hashlib
import os
import os.path as osp
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Optional

import pandas as pd
from torch_geometric.data import HeteroData, InMemoryDataset

from pyg_advcf._checks import check_callable
from pyg_advcf.datasets.checksums import (
    CHECKSUMS,
    record_checksums,
    recorded_checksums,
    sha256,
)
from pyg_advcf.datasets.download import download
from pyg_advcf.datasets.user_lists import user_lists_data
from pyg_advcf.files import PathLike, load_safely, replacing, save_atomically

MIRROR = 'PYG_ADVCF_MIRROR'
_INDEX = 'pandas.Index'
_REMEDY = 'pass force_reload=True to process the raw files again'


def _description(transform: Optional[Callable]) -> str:
    return re.sub(r' at 0x[0-9a-fA-F]+', '', repr(transform))  # The same in another process.


def _copy_verified(source: Path, target: str, expected: Optional[str]) -> None:
    digest = hashlib.sha256()
    with open(source, 'rb') as f, replacing(target) as copy:
        for block in iter(lambda: f.read(2**20), b''):
            digest.update(block)
            copy.write(block)
        if expected is not None and digest.hexdigest() != expected:
            raise ValueError(f"'{source}' does not have the SHA-256 {expected} that is known of "
                             f"this file; delete it there to fetch it from its public repository")


def _as_plain(data: dict) -> dict:
    r"""Raw ids as lists: a pandas.Index could only be read again by unpickling it."""
    def plain(key: str, value: Any) -> Any:
        if not isinstance(value, pd.Index):
            return value
        values = value.tolist()
        if not all(isinstance(v, (str, int)) for v in values):
            raise ValueError(f"'{key}' holds ids of the type {value.dtype}, but only integers and "
                             f"strings can be saved; convert them with astype(str)")
        return {_INDEX: values}

    return {name: {key: plain(key, value) for key, value in store.items()}
            for name, store in data.items()}


def _from_plain(data: dict) -> dict:
    return {name: {key: pd.Index(value[_INDEX]) if isinstance(value, dict) and
                   value.keys() == {_INDEX} else value for key, value in store.items()}
            for name, store in data.items()}


class InteractionDataset(InMemoryDataset):
    r"""Base class of datasets that give one :class:`~torch_geometric.data.HeteroData`.

    The raw files are taken from ``root/raw`` if they lie there; else from the folder
    ``<name>/raw`` of the mirror that the environment variable ``PYG_ADVCF_MIRROR`` names, if it
    has them; else from their public repository. Their SHA-256 is checked before anything is
    processed: against the published one where it is known, else against ``raw/SHA256SUMS``, where
    it is recorded when the files are first processed.

    The processed file is verified when it is loaded, and nothing in ``root`` can run code.

    Args:
        root: Folder of this dataset; holds ``raw`` and ``processed``.
        transform: Applied at every access.
        pre_transform: Applied once, before the data are saved.
        force_reload: Whether to process the raw files again.

    Raises:
        ValueError: If an argument is of a wrong type, if a raw file is damaged (wrong SHA-256, or
            not in its format), if the processed file is, or if that was made with another
            ``pre_transform``, as far as its ``repr`` tells.
        ConnectionError: If a raw file cannot be fetched.
    """
    name: ClassVar[str]
    #: Split name to raw file; ``'train'`` is the training graph.
    files: ClassVar[dict[str, str]]
    url: ClassVar[str]
    checksums: ClassVar[dict[str, str]] = {}

    def __init__(
        self,
        root: PathLike,
        transform: Optional[Callable] = None,
        pre_transform: Optional[Callable] = None,
        force_reload: bool = False,
    ) -> None:
        if not isinstance(root, (str, os.PathLike)) or not isinstance(os.fspath(root), str) or (
                not os.fspath(root) or '\0' in os.fspath(root)):
            raise ValueError(f"'root' is {root!r}, but needs to be the name of a folder")
        root = osp.expanduser(os.fspath(root))
        if osp.exists(root) and not osp.isdir(root):
            raise ValueError(f"'root' is '{root}', which is not a folder; name another")
        check_callable('transform', transform)
        check_callable('pre_transform', pre_transform)
        if not isinstance(force_reload, bool):
            raise ValueError(f"'force_reload' is {force_reload!r}, but needs to be True or False")
        super().__init__(root, transform, pre_transform, force_reload=force_reload)
        path = self.processed_paths[0]
        state = load_safely(path, _REMEDY)
        if not isinstance(state, dict) or state.get('dataset') != self.name:
            found = repr(state.get('dataset')) if isinstance(state, dict) else 'something else'
            raise ValueError(f"'{path}' holds {found}, but not the dataset '{self.name}'; "
                             f"{_REMEDY}")
        made_with = state.get('pre_transform')
        if made_with != _description(pre_transform):
            raise ValueError(f"'{path}' was processed with the pre_transform {made_with}, but "
                             f"'pre_transform' is {_description(pre_transform)}; pass the same, or "
                             f"force_reload=True to process the raw files again")
        try:
            self.data = HeteroData.from_dict(_from_plain(state['data']))
            self.slices = state['slices']
        except (AttributeError, KeyError, TypeError, ValueError) as e:
            raise ValueError(f"'{path}' holds no data ({type(e).__name__}: {e}); {_REMEDY}") from e

    @property
    def raw_file_names(self) -> list[str]:
        return list(self.files.values())

    @property
    def processed_file_names(self) -> str:
        return 'data.pt'

    def download(self) -> None:
        mirror = os.environ.get(MIRROR)
        recorded = recorded_checksums(self.raw_dir)
        for file, target in zip(self.raw_file_names, self.raw_paths):
            if osp.exists(target):
                continue
            expected = self.checksums.get(file, recorded.get(file))
            source = Path(mirror) / self.name / 'raw' / file if mirror else None
            if source is not None and source.is_file():
                if expected is None:
                    expected = recorded_checksums(source.parent).get(file)
                _copy_verified(source, target, expected)
                continue
            try:
                download(f'{self.url}/{file}', target, expected)
            except ConnectionError as e:
                changed = (f"; if the file was changed there, delete its line in "
                           f"'{osp.join(self.raw_dir, CHECKSUMS)}'" if file in recorded else '')
                raise ConnectionError(
                    f"could not fetch {e}; put the file into '{self.raw_dir}' by hand, or set "
                    f"{MIRROR} to a folder that holds '{self.name}/raw/{file}'{changed}") from e

    def _verify(self) -> dict[str, str]:
        # Returns the SHA-256 of those files of which it is not known yet.
        recorded, new = recorded_checksums(self.raw_dir), {}
        for file, path in zip(self.raw_file_names, self.raw_paths):
            found = sha256(path)
            if file in self.checksums:
                if found != self.checksums[file]:
                    raise ValueError(f"'{path}' does not have the SHA-256 {self.checksums[file]} "
                                     f"of the published file; delete it to fetch it again")
            elif file not in recorded:
                new[file] = found
            elif found != recorded[file]:
                raise ValueError(f"'{path}' does not have the SHA-256 {recorded[file]} that it had "
                                 f"when it was first processed; delete it to fetch it again, or "
                                 f"its line in '{osp.join(self.raw_dir, CHECKSUMS)}' if you "
                                 f"changed it")
        return new

    def _record(self, checksums: dict[str, str]) -> None:
        try:
            if checksums:
                record_checksums(self.raw_dir, checksums)
        except OSError as e:
            warnings.warn(f"the SHA-256 of the raw files cannot be recorded in '{self.raw_dir}' "
                          f"({e.strerror}), so later changes of them will not be noticed",
                          stacklevel=2)

    def read(self) -> HeteroData:
        r"""Reads the raw files."""
        paths = dict(zip(self.files, self.raw_paths))
        return user_lists_data({s: paths[s] for s in self.files if s != 'candidates'})

    def _process(self) -> None:
        # The method of the base class unpickles `pre_transform.pt` and `pre_filter.pt`.
        if self.force_reload or not osp.exists(self.processed_paths[0]):
            self.process()

    def process(self) -> None:
        checksums = self._verify()
        data = self.read()
        self._record(checksums)  # What could be read.
        if self.pre_transform is not None:
            data = self.pre_transform(data)
            if not isinstance(data, HeteroData):
                raise ValueError(f"'pre_transform' returned a {type(data).__name__}, but needs to "
                                 f"return HeteroData")
        collated, slices = self.collate([data])
        state: dict[str, Any] = {'dataset': self.name, 'data': _as_plain(collated.to_dict()),
                                 'slices': slices,
                                 'pre_transform': _description(self.pre_transform)}
        save_atomically(state, self.processed_paths[0])
