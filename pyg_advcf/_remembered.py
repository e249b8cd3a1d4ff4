r"""What was found out about tensors, as long as they live and are not changed."""
import weakref
from collections.abc import Callable, Hashable
from typing import Any, Optional

import torch
from torch import Tensor


def version(t: Tensor) -> Optional[tuple]:
    r"""Differs after a change of ``t``; ``None`` if changes can't be noticed.

    Changes through ``.data`` or NumPy leave no version.
    """
    if t.is_inference() or t.layout != torch.strided:  # What is sparse has no address.
        return None
    return t._version, t.data_ptr(), t.shape


class Remembered:
    r"""A function of a tensor that is computed again only after the tensor was changed.

    Nothing is kept in the tensor itself, where it would be copied and saved along with it.

    Args:
        find: The function, which never returns ``None``; without one, only what is put is known.
        stamp: Differs after a change of a tensor; ``None`` if it can't be told, and nothing is
            kept.

    Example:
        >>> import torch
        >>> total = Remembered(lambda t: float(t.sum()))
        >>> t = torch.ones(3)
        >>> total(t), total.known(t)
        (3.0, 3.0)
        >>> total.known(t.add_(1)), total(t)
        (None, 6.0)
    """
    def __init__(self, find: Optional[Callable[[Tensor], Any]] = None,
                 stamp: Callable[[Tensor], Optional[Hashable]] = version) -> None:
        self.find, self.stamp = find, stamp
        self._entries: dict[int, tuple[weakref.ref, Hashable, Any]] = {}

    def __call__(self, t: Tensor) -> Any:
        fact = self.known(t)
        return self.put(t, self.find(t)) if fact is None else fact

    def known(self, t: Tensor) -> Any:
        r"""What is known of ``t``; ``None`` if nothing is."""
        stamp, entry = self.stamp(t), self._entries.get(id(t))
        same = entry is not None and entry[0]() is t and stamp is not None and entry[1] == stamp
        return entry[2] if same else None

    def put(self, t: Tensor, fact: Any) -> Any:
        r"""Keeps what is known of ``t`` already."""
        stamp = self.stamp(t)
        if stamp is not None:
            key, entries = id(t), self._entries
            entries[key] = weakref.ref(t, lambda _: entries.pop(key, None)), stamp, fact
        return fact
