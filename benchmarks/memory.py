r"""What the benchmarks of speed share: memory, processes of their own, reports."""
import ctypes
import json
import multiprocessing
import os
import platform
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Optional

import torch


def write_report(path: Optional[Path], content: dict[str, Any]) -> None:
    r"""Writes what was measured, with what the figures depend on."""
    machine = {'processor': platform.machine(), 'cores': os.cpu_count(),
               'threads': torch.get_num_threads(), 'torch': torch.__version__,
               **content.pop('machine', {})}
    if path:
        path.write_text(json.dumps({'machine': machine, **content}, indent=1) + '\n')


def resident(field: str) -> int:
    r"""Bytes of a field of this process: ``VmRSS`` now, ``VmHWM`` at the peak."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


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
