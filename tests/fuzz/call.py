r"""One call whose arguments are right, or wrong in a known way, and what came of it."""
import random
import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional

import pyg_advcf

OUTCOMES = ('correct', 'clear', 'silent', 'obscure', 'signal', 'hang')
LIBRARY = Path(pyg_advcf.__file__).resolve().parent
# Hypothesis repeats an example with small changes. What is wrong with it is drawn apart, so that it
# is something else each time; the worker seeds it.
CHOICE = random.Random(0)
_CLEAR = (ValueError, FloatingPointError, ConnectionError)
_QUOTED = re.compile(r"'[\w/][^']*'")  # An argument, a value, a path.
_TEMPORARY = re.compile(r'pyg_advcf_fuzz_\w+')  # A folder, which is another one each time.


@dataclass
class Call:
    r"""A call of the library.

    Attributes:
        function: Its name in the record.
        do: Makes the call.
        check: What is wrong with the result, or ``None``.
        wrong: What is wrong with the arguments; empty if they are right.
        refused: ``True``: it has to be an error. ``False``: it has to be right. ``None``: either.
    """
    function: str
    do: Callable[[], Any]
    check: Callable[[Any], Optional[str]]
    wrong: str = ''
    refused: Optional[bool] = False


class Corruption(NamedTuple):
    r"""A way to make the arguments of a call wrong.

    Attributes:
        argument: What it changes; two corruptions of a call change different ones.
        label: What is wrong then.
        apply: Changes a copy of the arguments.
        refused: Whether the call has to be an error; ``None`` if it may also be right.
    """
    argument: str
    label: str
    apply: Callable[[dict], None]
    refused: Optional[bool] = True


def becomes(argument: str, label: str, value: Any, refused: Optional[bool] = True) -> Corruption:
    r"""The argument has another value."""
    return Corruption(argument, label, lambda given: given.__setitem__(argument, value), refused)


def turns(argument: str, label: str, change: Callable,
          refused: Optional[bool] = True) -> Corruption:
    r"""The argument is changed by a function of its value."""
    return Corruption(argument, label,
                      lambda given: given.__setitem__(argument, change(given[argument])), refused)


def fine(result: Any) -> None:
    r"""No check: that it is no error is all that is known."""


def corrupted(
    function: str,
    call: Callable[[dict], Any],
    arguments: dict,
    corruptions: Sequence[Corruption],
    check: Callable[[Any], Optional[str]] = fine,
    refused: Optional[bool] = False,
) -> Call:
    r"""A call with none, one, or (rarely) two of the corruptions, drawn.

    Args:
        function: Name in the record.
        call: Gets the arguments.
        arguments: Right ones.
        corruptions: What may be done to them.
        check: What is wrong with the result of right arguments.
        refused: What is expected without a corruption.
    """
    count = CHOICE.choice((0, 0, 1, 1, 1, 1, 1, 2)) if corruptions else 0
    given, labels, expected = dict(arguments), {}, []
    for _ in range(count):
        left = [c for c in corruptions if c.argument not in labels]
        if not left:
            break
        chosen = CHOICE.choice(left)
        chosen.apply(given)
        labels[chosen.argument] = f'{chosen.argument}: {chosen.label}'
        expected.append(chosen.refused)
    if labels:
        refused = True if True in expected else refused or None
    return Call(function, lambda: call(given), check, '; '.join(labels.values()), refused)


def is_clear(error: BaseException) -> bool:
    r"""Whether an error is of a documented kind, of the library, and names what is wrong.

    It has to be raised by a line of the library itself and to quote an argument, a name or a file.
    """
    frames = traceback.extract_tb(error.__traceback__)
    ours = bool(frames) and Path(frames[-1].filename).resolve().is_relative_to(LIBRARY)
    return ours and isinstance(error, _CLEAR) and _QUOTED.search(str(error)) is not None


def outcome_of(call: Call) -> tuple[str, str]:
    r"""What came of the call, and why if it is not what it should be."""
    try:
        result = call.do()
    except Exception as error:
        text = _TEMPORARY.sub('folder', ' '.join(str(error).split()))
        what = f'{type(error).__name__}: {text[:200]}'
        if call.refused is False:
            return 'obscure', f'right arguments were refused: {what}'
        if is_clear(error):
            return 'clear', ''
        frame = (traceback.extract_tb(error.__traceback__) or [None])[-1]
        return 'obscure', f'{what} ({Path(frame.filename).name}:{frame.lineno})'
    if call.refused:
        return 'silent', 'accepted'
    try:
        problem = call.check(result)
    except Exception as error:
        problem = f'the result cannot be checked: {type(error).__name__}: {str(error)[:200]}'
    return ('correct', '') if problem is None else ('silent', problem)
