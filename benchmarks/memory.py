r"""The machine: what it is, what a piece of work needs of its memory, processes of their own."""
import ctypes
import multiprocessing
import os
import platform
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch


def facts() -> dict[str, Any]:
    r"""What the figures depend on."""
    return {'processor': platform.machine(), 'cores': os.cpu_count(),
            'threads': torch.get_num_threads(), 'torch': torch.__version__}


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


def apart(function: Callable, *args: Any) -> Any:
    r"""The result of a call in a process of its own, with the allocator of the system."""
    with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as pool:
        return pool.submit(function, *args).result()
