r"""Keeping freed memory in the process, since every step allocates the same tables again."""
import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # The names of the parameters in <malloc.h>.


def keep_freed_memory() -> bool:
    r"""Asks glibc to reuse freed blocks of any size instead of returning them to the system.

    By default large blocks go back at every ``free`` and are faulted in, page by page, at the next
    allocation, which can take longer than the arithmetic of a training step. The setting holds for
    the whole process, whose memory then may stay at its highest point; nothing else changes.
    :func:`~pyg_advcf.training.fit` calls it; call it in a custom training loop on CPU.

    Returns:
        Whether it had an effect: ``False`` with other C libraries.
    """
    if platform.libc_ver()[0] != 'glibc':
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
                and libc.mallopt(_MMAP_MAX, 0))
