r"""Files that are either whole or absent, are verified when they are read, and never run code."""
import errno
import io
import os
import platform
import re
import secrets
import shutil
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Optional, Union

import torch

PathLike = Union[str, 'os.PathLike[str]']

_STARTED = time.time()
_HOST = f'{zlib.crc32(platform.node().encode()):08x}'
_DAY = 24 * 60 * 60
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Sink:
    r"""What :func:`replacing` gives to write to: counts the bytes and sums them up.

    An error of the disk is kept instead of raised, so that the size of the whole is known when it
    is raised at the end, and since an exception in the middle of :func:`torch.save` leaves its
    archive open.

    Attributes:
        size: The number of bytes so far; of the whole, if the writer knows it and sets it.
        crc: Their CRC-32.
        error: The first error.
    """
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size, self.crc = 0, 0
        self.error: Optional[OSError] = None

    def write(self, content: bytes) -> int:
        r"""Appends ``content``."""
        self.crc = zlib.crc32(content, self.crc)
        self.size += len(content)
        if self.error is None:
            try:
                self._file.write(content)
            except OSError as e:
                self.error = e
        return len(content)

    def flush(self) -> None:
        r"""Does nothing: the file is flushed once, at the end."""

    def finish(self) -> None:
        r"""Raises the error that was kept; else everything is on the disk afterwards."""
        if self.error is not None:
            raise self.error
        self._file.flush()
        os.fsync(self._file.fileno())


def _file_path(argument: str, path: Any) -> Path:
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str) or (
            '\0' in os.fspath(path)):
        raise ValueError(f"'{argument}' is {path!r}, but needs to be the name of a file")
    path = Path(path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"'{argument}' is '{path}', which is not a file; name a file, for example "
                         f"'{path / 'file.pt'}'")
    return path


def _process_lives(pid: int) -> bool:
    if os.name != 'posix':  # There, signal 0 would end the process.
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # It lives, but is of somebody else.
        pass
    return True


def _remove_stale(path: Path) -> None:
    # Temporary files for `path` whose process is dead: of this machine, or a day old. One with our
    # own process id that is older than this process is of a dead one that had the same id.
    pattern = re.compile(re.escape(path.name) + r'\.([0-9a-f]{8})\.(\d{1,9})\.[0-9a-f]{16}\.tmp')
    with os.scandir(path.parent) as entries:
        for entry in entries:
            match = pattern.fullmatch(entry.name)
            if match is None or not entry.is_file(follow_symlinks=False):
                continue
            with suppress(OSError):  # Another process may remove it at the same time.
                host, pid = match[1], int(match[2])
                written = entry.stat(follow_symlinks=False).st_mtime
                dead = host == _HOST and (
                    written < _STARTED if pid == os.getpid() else not _process_lives(pid))
                if dead or written < time.time() - _DAY:
                    os.unlink(entry.path)


def _sync_folder(folder: Path) -> None:
    # Makes the new name durable, where a folder can be opened and synchronised.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _temporary(path: Path, keep: bool) -> Iterator[Sink]:
    # A new file next to `path`, which takes its place at the end if it is to be kept.
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(path)
    name = path.with_name(f'{path.name}.{_HOST}.{os.getpid()}.{secrets.token_hex(8)}.tmp')
    size = 0
    try:
        with open(name, 'xb') as f:  # Neither opens what is there nor follows a link.
            sink = Sink(f)
            try:
                yield sink
            finally:
                size = sink.size
            sink.finish()
        if keep:
            os.replace(name, path)
            _sync_folder(path.parent)
    except OSError as e:
        name.unlink(missing_ok=True)
        if e.errno not in _FULL:
            raise
        raise OSError(e.errno, f"no space for '{path}': it needs {size:,} bytes, and "
                      f"{shutil.disk_usage(path.parent).free:,} bytes are free in "
                      f"'{path.parent}' ({os.strerror(e.errno)}); the previous file, if there is "
                      f"one, is intact") from e
    finally:
        name.unlink(missing_ok=True)


@contextmanager
def replacing(path: PathLike) -> Iterator[Sink]:
    r"""Gives a :class:`Sink` whose content takes the place of ``path`` when the block ends well.

    Until then, and if anything goes wrong, ``path`` stays as it was. The folder is made if it is
    not there. The content goes to a new file of an unpredictable name in the same folder, with the
    permissions that the umask gives; it is on the disk before it is renamed. A link at ``path`` is
    replaced, not followed. Temporary files of processes that were killed are removed.

    Raises:
        ValueError: If ``path`` is no name of a file.
        OSError: If the disk is full (with the path, the bytes needed and the bytes free), or if
            the folder cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), 'x.txt')
        >>> with replacing(path) as f:
        ...     _ = f.write(b'hello')
        >>> path.read_bytes()
        b'hello'
    """
    with _temporary(_file_path('path', path), keep=True) as sink:
        yield sink


def check_writable(path: PathLike, argument: str = 'path') -> None:
    r"""Writes and removes a small file next to ``path``, so that a bad path is found at once.

    It makes the folder if it is not there, and removes temporary files of killed processes. What
    it cannot know is whether the space will last: :func:`save_atomically` says so when it does not.

    Args:
        path: The file that is to be written later; it is not touched.
        argument: The name of the argument in the message.

    Raises:
        ValueError: If no file can be written there.

    Example:
        >>> import tempfile
        >>> check_writable(Path(tempfile.mkdtemp(), 'runs', 'bpr.pt'), argument='checkpoint')
    """
    path = _file_path(argument, path)
    try:
        with _temporary(path, keep=False) as sink:
            sink.write(bytes(4096))
    except OSError as e:
        raise ValueError(f"'{argument}' is '{path}', which cannot be written ({e.strerror}); name "
                         f"a file in a folder that you may write to") from e


def _seal(crc: int) -> bytes:
    return b'\npyg_advcf crc32 %08x\n' % crc


def save_atomically(state: Any, path: PathLike) -> None:
    r"""Writes ``state`` to ``path`` in one step, with a checksum, for :func:`load_safely`.

    What is guaranteed: at any moment, also after a crash or a loss of power, ``path`` is either the
    previous file or the new one, whole. See :func:`replacing` for how.

    The file is what :func:`torch.save` writes, followed by a line with the CRC-32 of all of it,
    which :func:`torch.load` ignores.

    Args:
        state: Tensors, numbers, strings, and lists, tuples and dictionaries of these.
        path: The file.

    Raises:
        ValueError: If ``path`` is no name of a file.
        OSError: As :func:`replacing`.
    """
    with replacing(path) as sink:
        torch.save(state, sink)
        sink.write(_seal(sink.crc))


def load_safely(path: PathLike, remedy: str, map_location: Any = 'cpu') -> Any:
    r"""Loads tensors and plain data, never code, from a file of :func:`save_atomically`.

    Every byte is checked before anything is read from it. A CRC-32 finds every change within four
    neighbouring bytes, and any other but for one in four billion. It does not tell who wrote the
    file: see ``SECURITY.md``.

    Args:
        path: The file.
        remedy: What to do about a damaged file, as the end of the message.
        map_location: As in :func:`torch.load`.

    Raises:
        ValueError: If the file is damaged, cannot be read, has no checksum, or holds anything but
            tensors and plain data; the message ends in ``remedy``.
        FileNotFoundError: If there is no such file.
    """
    path = _file_path('path', path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as e:
        raise ValueError(f"the file '{path}' cannot be read ({e.strerror}); {remedy}") from e
    size = len(content) - len(_seal(0))
    if content[max(size, 0):] != _seal(zlib.crc32(memoryview(content)[:max(size, 0)])):
        raise ValueError(f"the file '{path}' is damaged or was not written by this library: its "
                         f"checksum is wrong or missing; {remedy}")
    try:
        return torch.load(io.BytesIO(content), map_location=map_location, weights_only=True)
    except MemoryError:
        raise
    except Exception as e:
        reason = next(iter(str(e).splitlines()), '')
        raise ValueError(f"the file '{path}' was not written by this library, or cannot be loaded "
                         f"here ({type(e).__name__}: {reason}); {remedy}") from e
