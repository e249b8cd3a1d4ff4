r"""Folders of plain data and tensors that are either whole or absent, and verified when read."""
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from pyg_advcf._checks import check_bool, shown
from pyg_advcf.files import PathLike, replacing

CONTENT = 'content.json'
FORMAT = 1  # Raised when older versions of this library could not read a folder rightly.
_SUFFIX = '.safetensors'


def _folder_path(folder: Any) -> Path:
    if not isinstance(folder, (str, os.PathLike)) or not isinstance(os.fspath(folder), str) or (
            not os.fspath(folder) or '\0' in os.fspath(folder)):
        raise ValueError(f"'folder' is {shown(folder)}, but needs to be the name of a folder")
    return Path(folder)


def _dumped(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, sort_keys=True, allow_nan=False, indent=1) + '\n').encode()


def check_new_folder(folder: PathLike, overwrite: bool = False) -> Path:
    r"""Returns the path of a folder that may be written.

    Raises:
        ValueError: If something is there that must not be replaced.
    """
    path = _folder_path(folder)
    check_bool('overwrite', overwrite)
    if not os.path.lexists(path):
        return path
    if path.is_symlink() or not path.is_dir():
        raise ValueError(f"'folder' is '{path}', which is there and is no folder; name another one")
    if not overwrite:
        raise ValueError(f"'folder' is '{path}', which is there already; name a new folder, or "
                         f"pass overwrite=True to replace what was saved in it")
    names = {entry.name for entry in path.iterdir()}
    own = {CONTENT} | {name for name in names if name.endswith(_SUFFIX)}
    if CONTENT not in names or names - own:
        raise ValueError(f"'folder' is '{path}', which holds other things than a folder of this "
                         f"library, so that overwrite=True would lose them; name a new folder")
    return path


def write_folder(folder: PathLike, kind: str, content: Mapping[str, Any],
                 tensors: Mapping[str, Mapping[str, Tensor]], overwrite: bool = False) -> None:
    r"""Writes plain data as JSON and tensors as safetensors files, with a digest of every file.

    All is written to another folder beside it, which is renamed at the end: ``folder`` is whole or
    absent.

    Args:
        folder: The folder; made if it is not there.
        kind: What it holds, which :func:`read_folder` is asked for.
        content: Plain data.
        tensors: The tensors of every file, by the file's name without its ending.
        overwrite: Whether to replace a folder that this function wrote.

    Raises:
        ValueError: If ``folder`` is there already (with ``overwrite``: and holds something else).
        OSError: If it cannot be written.
    """
    path = check_new_folder(folder, overwrite)
    beside = path.with_name(f'{path.name}.{secrets.token_hex(8)}.tmp')
    try:
        files = {}
        for name, entries in tensors.items():
            # Copies share no memory with each other, which the format cannot express.
            raw = safetensors.torch.save({key: value.detach().cpu().contiguous().clone()
                                          for key, value in entries.items()})
            with replacing(beside / (name + _SUFFIX)) as file:
                file.write(raw)
            files[name + _SUFFIX] = hashlib.sha256(raw).hexdigest()
        whole = {'format': FORMAT, 'kind': kind, 'files': files, 'content': content}
        whole['digest'] = hashlib.sha256(_dumped(whole)).hexdigest()
        with replacing(beside / CONTENT) as file:
            file.write(_dumped(whole))
        if path.exists():
            check_new_folder(path, overwrite)  # It might have been made since.
            old = path.with_name(f'{path.name}.{secrets.token_hex(8)}.old')
            os.rename(path, old)
            os.rename(beside, path)
            shutil.rmtree(old)
        else:
            os.rename(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _read(path: Path, remedy: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"the file '{path}' is missing; {remedy}") from None
    except OSError as e:
        raise ValueError(f"the file '{path}' cannot be read ({e.strerror}); {remedy}") from e


def read_folder(folder: PathLike, kind: str) -> tuple[dict, dict[str, dict[str, Tensor]]]:
    r"""Reads a folder of :func:`write_folder` after every byte of it was checked.

    Digests find damage; they do not tell who wrote the folder. Nothing in it is run.

    Returns:
        ``content`` and ``tensors``.

    Raises:
        ValueError: If the folder or a file is missing, damaged, of another kind, or was written by
            a newer version of this library.
    """
    path = _folder_path(folder)
    remedy = 'save it again'
    if not path.is_dir():
        raise ValueError(f"'folder' is '{path}', which is no folder; pass one that was written by "
                         f"this library")
    if not (path / CONTENT).exists():
        raise ValueError(f"'folder' is '{path}', which holds no '{CONTENT}'; pass a folder that "
                         f"was written by this library")
    raw = _read(path / CONTENT, remedy)
    try:
        whole = json.loads(raw)
        digest = whole.pop('digest')
        right = digest == hashlib.sha256(_dumped(whole)).hexdigest() and (
            raw == _dumped({**whole, 'digest': digest}))
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        right = False
    if not right:
        raise ValueError(f"the file '{path / CONTENT}' is damaged or was not written by this "
                         f"library: its digest is wrong; {remedy}")
    if whole['format'] > FORMAT:
        raise ValueError(f"'folder' is '{path}', which was written by a newer version of this "
                         f"library (format {whole['format']}, known is {FORMAT}); update pyg_advcf")
    if whole['kind'] != kind:
        raise ValueError(f"'folder' is '{path}', which holds a {whole['kind']}, but a {kind} is "
                         f"needed; pass a folder that was written for it")
    found = {}
    for name, expected in whole['files'].items():
        if not re.fullmatch(r'\w+' + re.escape(_SUFFIX), name):
            raise ValueError(f"'{path / CONTENT}' names the file {name!r}, which is none of this "
                             f"library; {remedy}")
        raw = _read(path / name, remedy)
        if hashlib.sha256(raw).hexdigest() != expected:
            raise ValueError(f"the file '{path / name}' is damaged: its digest is wrong; {remedy}")
        found[name.removesuffix(_SUFFIX)] = safetensors.torch.load(raw)
    return whole['content'], found
