r"""What a piece of work needs of memory, as the operating system sees it."""
import ctypes
from collections.abc import Callable
from pathlib import Path


def resident(field: str) -> int:
    r"""Bytes of a field of this process: ``VmRSS`` now, ``VmHWM`` at the peak."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f'no {field} in /proc/self/status')


def peak_of(work: Callable[[], object]) -> int:
    r"""Peak bytes of ``work()`` beyond what is held before; call it in a process of its own."""
    ctypes.CDLL(None).malloc_trim(0)  # What was freed does not count as held.
    before = resident('VmRSS')
    Path('/proc/self/clear_refs').write_text('5')  # Starts the peak anew.
    work()
    return resident('VmHWM') - before
