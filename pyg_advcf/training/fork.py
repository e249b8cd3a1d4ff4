r"""Threads do not survive a fork: whether those of PyTorch would be waited for in vain."""
import os
import time
import warnings

import torch

_SECONDS = 10.  # A region of a millisecond; a loaded machine may take long to start a process.
_forked = False


def _remember() -> None:
    global _forked
    _forked = True


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_remember)


def _works_in_parallel() -> bool:
    r"""Whether PyTorch's threads answer, found out in a process that can be given up."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)  # Of forks beside threads.
        child = os.fork()
    if child == 0:
        try:
            torch.ones(2**20).add_(1)  # Large enough to be shared among the threads.
        finally:
            os._exit(0)
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0] == child:
            return True
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False


def check_threads() -> None:
    r"""Raises if this process was forked from one that had started the threads of PyTorch.

    The fork has none of them, and the first operation that is shared among threads would wait for
    them for ever.

    Raises:
        RuntimeError: If such an operation hangs here.
    """
    global _forked
    if not _forked or torch.get_num_threads() == 1:
        return
    if not _works_in_parallel():
        raise RuntimeError(
            f"this process was forked from one that had already used PyTorch's "
            f"{torch.get_num_threads()} threads, which do not exist here, so training would hang; "
            f"start the process with multiprocessing's 'spawn' in place of 'fork', or call "
            f"torch.set_num_threads(1) in it before 'fit'")
    _forked = False  # Found to work; a fork of this process asks again.
