r"""Checkpoints that are either whole or absent, and load without running code."""
import os
import pickle
from pathlib import Path
from typing import Any, Union

import torch


def save_atomically(state: Any, path: Union[str, Path]) -> None:
    r"""Writes ``state`` to ``path`` in one step: a crash leaves the previous file intact."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'{path.name}.{os.getpid()}.tmp')
    try:
        with open(temporary, 'wb') as f:
            torch.save(state, f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_safely(path: Union[str, Path], remedy: str, map_location: Any = 'cpu') -> Any:
    r"""Loads tensors and plain data, never code.

    Raises:
        ValueError: If the file is damaged or holds anything else; the message ends in ``remedy``.
    """
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except FileNotFoundError:
        raise
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, ValueError, KeyError) as e:
        raise ValueError(f"the file '{path}' is damaged or was not written by this library "
                         f"({type(e).__name__}); {remedy}") from e
