r"""The SHA-256 of raw files, in the format of the program ``sha256sum``."""
import hashlib
import re
from pathlib import Path

from pyg_advcf.files import PathLike, replacing

CHECKSUMS = 'SHA256SUMS'
_LINE = re.compile(r'([0-9a-f]{64}) [ *](.+)')


def sha256(path: PathLike) -> str:
    r"""SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, 'rb') as f:
        for block in iter(lambda: f.read(2**20), b''):
            digest.update(block)
    return digest.hexdigest()


def recorded_checksums(folder: PathLike) -> dict[str, str]:
    r"""SHA-256 by name of file, of ``SHA256SUMS`` in ``folder``; empty if there is no such file.

    Raises:
        ValueError: If a line is something else.
    """
    path = Path(folder, CHECKSUMS)
    if not path.exists():
        return {}
    checksums = {}
    for number, line in enumerate(path.read_bytes().decode('utf-8', 'replace').splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number} of '{path}' is not a SHA-256 and the name of a file "
                             f"({line[:40]!r}); delete '{path}' to record the raw files again")
        checksums[match[2]] = match[1]
    return checksums


def record_checksums(folder: PathLike, checksums: dict[str, str]) -> None:
    r"""Adds to ``SHA256SUMS`` in ``folder``, which ``sha256sum -c`` reads."""
    checksums = {**recorded_checksums(folder), **checksums}
    with replacing(Path(folder, CHECKSUMS)) as f:
        f.write(''.join(f'{value}  {name}\n' for name, value in checksums.items()).encode())
