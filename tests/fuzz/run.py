r"""Runs campaigns, and counts what came of their calls: deterministic by seed."""
import itertools
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

HERE = Path(__file__).parent
OUTCOMES = ('correct', 'clear', 'silent', 'obscure', 'signal', 'hang')
# These have a function `run`, which starts its own processes.
OWN_PROCESSES = ('ops', 'resume')
CALLS = {'resume': 4, 'ops': 100, 'graphs': 60}  # Of a round; those that end processes take longer.
OTHER_CALLS = 200
_BETWEEN = 600.
EXAMPLES = 30  # Of a campaign in a record.


def commit(folder: Path) -> str:
    r"""The commit that a folder is at, with a mark if files differ from it."""
    return subprocess.run(['git', 'describe', '--always', '--dirty', '--abbrev=40', '--exclude=*'],
                          cwd=folder, capture_output=True, text=True).stdout.strip() or 'unknown'


class Worker:
    r"""The process that forks a child for the calls, and another one where a call ended it.

    Args:
        library: The folder that holds ``pyg_advcf``; the repository of this file by default.
        timeout: Seconds after which a call hangs.
        warm: Whether to compile the kernels before any call, once for all children.
    """
    def __init__(self, library: Optional[Path] = None, timeout: float = 90.,
                 warm: bool = True) -> None:
        self.path = [str(library or HERE.parents[1]), str(HERE.parent)]
        self.timeout, self.warm, self.process = timeout, warm, None

    def _python(self, code: str) -> subprocess.Popen:
        r"""A process that imports the library of that folder, as do those that it starts."""
        return subprocess.Popen(
            [sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
            cwd=HERE.parent,  # Python looks there first, so not in a folder with another library.
            env={**os.environ, 'PYTHONPATH': os.pathsep.join(self.path), 'OMP_NUM_THREADS': '1'})

    def _start(self) -> None:
        self.process = self._python(f'from fuzz.worker import main; main({self.warm})')
        self.buffer = b''

    def apart(self, module: str, calls: int, seed: int) -> dict[str, Any]:
        r"""What ``run(calls, seed)`` of a module returns."""
        process = self._python(f'import json, {module} as m; '
                               f'print(json.dumps(m.run({calls}, {seed})))')
        answer, _ = process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"'{module}' failed; see its message above")
        return json.loads(answer.splitlines()[-1])

    def _message(self, timeout: float) -> list:
        while b'\n' not in self.buffer:
            if not select.select([self.process.stdout], [], [], timeout)[0]:
                raise TimeoutError
            block = os.read(self.process.stdout.fileno(), 2**16)
            if not block:
                raise RuntimeError('the process of the calls ended; see its message above')
            self.buffer += block
        line, self.buffer = self.buffer.split(b'\n', 1)
        return json.loads(line)

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            self.process = None

    def calls(self, module: str, calls: int, seed: int) -> Iterator[tuple]:
        r"""Yields ``(number, function, wrong, outcome, detail)`` of every call."""
        skip = 0
        while True:
            if self.process is None:
                self._start()
            self.process.stdin.write(json.dumps([module, calls, seed, skip]).encode() + b'\n')
            child = begun = None
            while True:
                try:
                    # Between calls, it imports, compiles, or draws those that are skipped.
                    kind, *rest = self._message(self.timeout if begun else _BETWEEN)
                except TimeoutError:
                    if begun is None:
                        raise
                    os.kill(child, signal.SIGKILL)
                    outcome, detail = 'hang', f'no answer in {self.timeout:g} s'
                    self._message(_BETWEEN)  # That it was killed.
                    break
                if kind == 'done':
                    return
                if kind == 'child':
                    child, = rest
                elif kind == 'start':
                    begun = rest
                elif kind == 'end':
                    yield *begun, *rest[1:]
                    begun = None
                elif kind == 'signal':
                    outcome, detail = 'signal', rest[0]
                    break
                else:
                    raise RuntimeError(f"the campaign '{module}' failed; see its message above")
            if begun is None:
                raise RuntimeError(f"the campaign '{module}' ended by {detail} between two calls")
            skip = begun[0] + 1
            yield *begun, outcome, detail


def campaigns() -> list[str]:
    r"""The names of all campaigns: ``criteria`` is the module ``criteria_campaign``."""
    names = (module.name for module in pkgutil.iter_modules([str(HERE)]))
    return sorted(name.removesuffix('_campaign') for name in names
                  if name.endswith('_campaign') and not name.startswith('test_'))


def run(campaign: str, calls: int, seed: int, worker: Optional[Worker] = None) -> dict[str, Any]:
    r"""Makes so many calls of a campaign.

    Returns:
        ``counts`` by outcome; and ``examples`` of what is neither correct nor clear, with the seed
        and the number of the call, by which it is found again.
    """
    module = f'fuzz.{campaign}_campaign'
    worker = worker or Worker()
    if campaign in OWN_PROCESSES:
        return worker.apart(module, calls, seed)
    counts, examples = Counter(dict.fromkeys(OUTCOMES, 0)), []
    for number, function, wrong, outcome, detail in worker.calls(module, calls, seed):
        counts[outcome] += 1
        if outcome not in ('correct', 'clear'):
            examples.append({'function': function, 'corruption': wrong, 'outcome': outcome,
                             'detail': detail, 'seed': seed, 'call': number})
    return {'counts': dict(counts), 'examples': examples}


def run_all(
    names: Sequence[str] = (),
    seed: int = 0,
    minutes: float = 30.,
    rounds: Optional[int] = None,
    library: Optional[Path] = None,
) -> Iterator[dict[str, Any]]:
    r"""Runs campaigns in turn, over and over with other seeds; yields the record so far.

    Args:
        names: Of the campaigns; all by default.
        seed: Of the first round.
        minutes: After which no campaign begins, without ``rounds``.
        rounds: How many rounds to run, however long they take.
        library: The folder that holds ``pyg_advcf``.
    """
    names = list(names) or campaigns()
    worker, begin = Worker(library), time.monotonic()
    found = {name: {'counts': Counter(dict.fromkeys(OUTCOMES, 0)), 'examples': []}
             for name in names}
    try:
        for turn, name in ((turn, name) for turn in itertools.count() for name in names):
            if (turn == rounds if rounds else time.monotonic() - begin > 60 * minutes):
                return
            calls = CALLS.get(name, OTHER_CALLS)
            result = run(name, calls, 1000 * seed + turn, worker)
            found[name]['counts'].update(result['counts'])
            found[name]['examples'] += [{**e, 'of': calls} for e in result['examples']]
            yield {'seconds': round(time.monotonic() - begin), 'rounds': turn + 1,
                   'last': name, 'campaigns': found}
    finally:
        worker.close()


def shortened(examples: list[dict]) -> list[dict]:
    r"""The first example of each function and corruption, the worst first, with how often."""
    order = ('signal', 'hang', 'silent', 'obscure')
    first: dict[tuple, dict] = {}
    for example in examples:
        key = tuple(example[k] for k in ('outcome', 'function', 'corruption'))
        first.setdefault(key, {**example, 'times': 0})['times'] += 1
    return sorted(first.values(), key=lambda e: order.index(e['outcome']))[:EXAMPLES]
