r"""Text files with a line per user: ``user item item ...``."""
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_advcf.interactions import interaction_data

_LIMIT = 2**31 - 1  # Graphs have 32-bit ids, and no key of a pair can overflow.
_DIGITS = len(str(_LIMIT))
_AGAIN = 'delete the file to fetch it again'


def read_ids(path: str) -> tuple[np.ndarray, np.ndarray]:
    r"""The ids in a file and the line of each, counted from 1.

    An id is written in decimal ASCII digits only; ids are separated by spaces, tabs and line ends.

    Raises:
        ValueError: If the file holds anything else, or an id of ``2**31 - 1`` or more; the message
            names the line.
    """
    content = np.frombuffer(Path(path).read_bytes(), dtype=np.uint8)
    digit = content - np.uint8(ord('0')) <= 9  # Smaller characters wrap around.
    line_end = content == ord('\n')
    other = ~(digit | line_end | (content == ord(' ')) | (content == ord('\t')))
    # A carriage return counts as space in '\r\n' only: alone, it may be meant as the end of a line.
    other[:-1] &= (content[:-1] != ord('\r')) | ~line_end[1:]
    line_ends = np.flatnonzero(line_end)

    def line(place: int) -> str:
        number = int(np.searchsorted(line_ends, place))
        start = line_ends[number - 1] + 1 if number > 0 else 0
        end = line_ends[number] if number < len(line_ends) else len(content)
        text = content[start:min(end, start + 40)].tobytes().decode('utf-8', 'replace')
        return f"line {number + 1} of '{path}' is not a list of ids ({text!r}"

    if other.any():
        raise ValueError(f'{line(int(other.argmax()))}); {_AGAIN}')
    edges = np.flatnonzero(np.diff(digit, prepend=False, append=False))
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    ids = np.zeros(len(starts), dtype=np.int64)
    for place in range(min(lengths.max(initial=0), _DIGITS)):
        held = slice(None) if place == 0 else lengths > place
        ids[held] = 10 * ids[held] + (content[starts[held] + place] - ord('0'))
    large = (lengths > _DIGITS) | (ids >= _LIMIT)
    if large.any():
        raise ValueError(f'{line(starts[large.argmax()])}, of which one is {_LIMIT:,} or more); '
                         f'{_AGAIN}')
    return ids, np.searchsorted(line_ends, starts) + 1


def read_user_lists(path: str) -> Tensor:
    r"""Pairs ``[2, E]`` of a file with a line per user: ``user item item ...``.

    Raises:
        ValueError: As :func:`read_ids`, or if there is no pair.
    """
    ids, line = read_ids(path)
    first = np.diff(line, prepend=0) > 0
    items = np.diff(np.flatnonzero(first), append=len(ids)) - 1
    if items.sum() == 0:
        raise ValueError(f"'{path}' holds no interaction; {_AGAIN}")
    return torch.from_numpy(np.stack([np.repeat(ids[first], items), ids[~first]]))


def user_lists_data(paths: dict[str, str]) -> HeteroData:
    r"""Builds the data of files in the format of :func:`read_user_lists`, by split name.

    Raises:
        ValueError: As :func:`read_user_lists`, or if an id is out of all proportion to the number
            of interactions, so that almost all nodes would have none.
    """
    pairs = {split: read_user_lists(path) for split, path in paths.items()}
    limit = 100 * sum(p.size(1) for p in pairs.values()) + 10_000
    sizes = []
    for row, what in enumerate(('user', 'item')):
        split = max(pairs, key=lambda s: int(pairs[s][row].max()))
        sizes.append(int(pairs[split][row].max()) + 1)
        if sizes[-1] > limit:
            raise ValueError(f"'{paths[split]}' holds the {what} {sizes[-1] - 1}, but there are "
                             f"only {sum(p.size(1) for p in pairs.values())} interactions, so "
                             f"almost all {what}s would have none; {_AGAIN}")
    train = pairs.pop('train')
    return interaction_data(train, *sizes, **pairs)
