r"""The process that makes the calls of the operations, and may die of one."""
import json
import os
import resource
import select
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Optional

import torch

import pyg_advcf

TESTS = Path(__file__).parents[2]
SERVE = 'import sys; from fuzz.ops.process import serve; serve(int(sys.argv[1]))'
TIMEOUT = 120.  # Seconds; the first calls compile kernels.
_START = 600.


class Worker:
    r"""The process that makes the calls, started anew where one of them ended it."""
    def __init__(self, seed: int) -> None:
        self.seed, self.process = seed, None

    def _start(self) -> None:
        environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'TRITON_INTERPRET': '1',
                       'PYTHONPATH': os.pathsep.join(
                           [str(Path(pyg_advcf.__file__).parents[1]), str(TESTS)])}
        environment.pop('PYG_ADVCF_BACKEND', None)
        self.process = subprocess.Popen(
            [sys.executable, '-c', SERVE, str(self.seed)], bufsize=0, cwd=TESTS,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=environment)
        if self._read(1, _START)[0] != b'ready\n':
            raise RuntimeError('the process of the campaign does not start')

    def _read(self, count: int, timeout: float) -> tuple[bytes, bool]:
        r"""So many lines, or those that came before the process ended or (then ``True``) hung."""
        lines = b''
        while lines.count(b'\n') < count:
            if not select.select([self.process.stdout], [], [], timeout)[0]:
                return lines, True
            block = os.read(self.process.stdout.fileno(), 2**16)
            if not block:
                break
            lines += block
        return lines, False

    def __call__(self, number: int) -> list[str]:
        r"""``[function, corruption, outcome, detail]`` of a call."""
        if self.process is None:
            self._start()
        self.process.stdin.write(f'{number}\n'.encode())
        lines, hangs = self._read(2, TIMEOUT)  # What is called, and what came of it.
        if lines.count(b'\n') < 2:
            code, begun = self.close(), json.loads(lines.splitlines()[0]) if lines else ['?', '?']
            if hangs:
                return [*begun, 'hang', f'no answer in {TIMEOUT:g} s']
            if code is None or code >= 0:
                raise RuntimeError(f'the process of the campaign ended by itself ({code}) in call '
                                   f'{number}')
            return [*begun, 'signal', signal.Signals(-code).name]
        first, second = lines.splitlines()
        return json.loads(first) + json.loads(second)

    def close(self) -> Optional[int]:
        r"""Ends the process; returns how it ended if it had ended by itself."""
        if self.process is None:
            return None
        self.process.stdin.close()  # One that waits for a call ends then.
        try:
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            code = None
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process = None
        return code


def serve(seed: int) -> None:
    r"""Makes the calls whose numbers come in, and tells of each what it is and what came of it."""
    from .cases import case_of
    from .outcome import outcome_of
    out = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    print('ready', file=out, flush=True)
    for line in sys.stdin:
        case, wrong = case_of(seed, int(line))
        print(json.dumps([case.function, wrong]), file=out, flush=True)
        print(json.dumps(outcome_of(case, wrong)), file=out, flush=True)
