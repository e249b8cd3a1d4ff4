r"""What all datasets share: mirror, checksums, safe files."""
import hashlib
import os
import os.path as osp
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Optional

import torch
from torch import Tensor
from torch_geometric.data import HeteroData, InMemoryDataset, download_url

from pyg_advcf.files import load_safely, save_atomically
from pyg_advcf.interactions import interaction_data

MIRROR = 'PYG_ADVCF_MIRROR'


def read_user_lists(path: str) -> Tensor:
    r"""Pairs ``[2, E]`` of a file with a line per user: ``user item item ...``.

    Raises:
        ValueError: If the file is empty or a line holds anything but non-negative integers; the
            message names the line.
    """
    user: list[int] = []
    item: list[int] = []
    with open(path, encoding='utf-8', errors='replace') as f:
        for number, line in enumerate(f, start=1):
            try:
                ids = [int(token) for token in line.split()]
            except ValueError:
                ids = [-1]
            if any(i < 0 for i in ids):
                raise ValueError(f"line {number} of '{path}' is not a list of ids "
                                 f"({line[:40]!r}); delete the file to fetch it again")
            user += ids[:1] * (len(ids) - 1)
            item += ids[1:]
    if not user:
        raise ValueError(f"'{path}' holds no interaction; delete the file to fetch it again")
    return torch.tensor([user, item])


def sha256(path: str) -> str:
    r"""SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, 'rb') as f:
        for block in iter(lambda: f.read(2**20), b''):
            digest.update(block)
    return digest.hexdigest()


class InteractionDataset(InMemoryDataset):
    r"""Base class of datasets that give one :class:`~torch_geometric.data.HeteroData`.

    The raw files are taken from ``root/raw`` if they lie there; else from the folder
    ``<name>/raw`` of the mirror that the environment variable ``PYG_ADVCF_MIRROR`` names, if it
    has them; else from their public repository. Where the SHA-256 is known it is checked before
    anything is processed.

    Args:
        root: Folder of this dataset; holds ``raw`` and ``processed``.
        transform: Applied at every access.
        pre_transform: Applied once, before the data are saved.
        force_reload: Whether to process the raw files again.

    Raises:
        ValueError: If a raw file is damaged (wrong SHA-256, or not in its format), or if the
            processed file is.
    """
    name: ClassVar[str]
    #: Split name to raw file; ``'train'`` is the training graph.
    files: ClassVar[dict[str, str]]
    url: ClassVar[str]
    checksums: ClassVar[dict[str, str]] = {}

    def __init__(
        self,
        root: str,
        transform: Optional[Callable] = None,
        pre_transform: Optional[Callable] = None,
        force_reload: bool = False,
    ) -> None:
        super().__init__(root, transform, pre_transform, force_reload=force_reload)
        state = load_safely(self.processed_paths[0],
                            'pass force_reload=True to process the raw files again')
        self.data, self.slices = HeteroData.from_dict(state['data']), state['slices']

    @property
    def raw_file_names(self) -> list[str]:
        return list(self.files.values())

    @property
    def processed_file_names(self) -> str:
        return 'data.pt'

    def download(self) -> None:
        mirror = os.environ.get(MIRROR)
        for file in self.raw_file_names:
            target = osp.join(self.raw_dir, file)
            if osp.exists(target):
                continue
            source = Path(mirror) / self.name / 'raw' / file if mirror else None
            # Under another name first, so that a half-written file is never taken for the whole.
            if source is not None and source.exists():
                partial = target + '.part'
                shutil.copyfile(source, partial)
            else:
                try:
                    partial = download_url(f'{self.url}/{file}', self.raw_dir,
                                           filename=file + '.part')
                except OSError as e:
                    raise ConnectionError(
                        f"could not fetch '{self.url}/{file}' ({e}); put the file into "
                        f"'{self.raw_dir}' by hand, or set {MIRROR} to a folder that holds "
                        f"'{self.name}/raw/{file}'") from e
            os.replace(partial, target)

    def _verify(self) -> None:
        for file, path in zip(self.raw_file_names, self.raw_paths):
            expected = self.checksums.get(file)
            if expected is not None and sha256(path) != expected:
                raise ValueError(f"'{path}' does not have the SHA-256 {expected} of the published "
                                 f"file; delete it to fetch it again")

    def read(self) -> HeteroData:
        r"""Reads the raw files."""
        paths = dict(zip(self.files, self.raw_paths))
        return user_lists_data({s: paths[s] for s in self.files if s != 'candidates'})

    def process(self) -> None:
        self._verify()
        data = self.read()
        if self.pre_transform is not None:
            data = self.pre_transform(data)
        collated, slices = self.collate([data])
        state: dict[str, Any] = {'data': collated.to_dict(), 'slices': slices}
        save_atomically(state, self.processed_paths[0])


def user_lists_data(paths: dict[str, str]) -> HeteroData:
    r"""Builds the data of files in the format of :func:`read_user_lists`, by split name."""
    pairs = {split: read_user_lists(path) for split, path in paths.items()}
    num_users, num_items = (int(max(p[row].max() for p in pairs.values())) + 1 for row in (0, 1))
    train = pairs.pop('train')
    return interaction_data(train, num_users, num_items, **pairs)
