r"""The process that makes the calls; it may crash or hang, and :mod:`fuzz.run` sees it."""
import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import traceback
import warnings
from typing import TextIO

_MEMORY = 10 * 2**30  # So that a wrong size is an error, and not the end of the machine.


def tell(out: TextIO, *message) -> None:
    out.write(json.dumps(message) + '\n')
    out.flush()


def make_calls(strategy, calls: int, seed: int, skip: int, out: TextIO) -> None:
    r"""Draws calls by the seed and makes those after the first ``skip`` ones, telling of each."""
    import torch
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as with_seed

    from .call import CHOICE, outcome_of
    CHOICE.seed(seed)
    number = -1

    @with_seed(seed)
    @settings(max_examples=calls, phases=[Phase.generate], database=None, deadline=None,
              suppress_health_check=list(HealthCheck))
    @given(strategy)
    def each(call) -> None:
        nonlocal number
        number += 1
        if number < skip or number >= calls:
            return
        tell(out, 'start', number, call.function, call.wrong)
        torch.manual_seed(number)
        tell(out, 'end', number, *outcome_of(call))

    each()
    tell(out, 'done', number)


def warm_up() -> None:
    r"""Compiles the kernels once, so that a process that follows a crash has them."""
    from pyg_advcf import InteractionLoader, LightGCN, Step, methods

    from .methods_campaign import _data
    step = Step(methods.infonce(LightGCN(_data(), 4, 2)))
    for batch in InteractionLoader(_data(), batch_size=8, num_neg=2):
        step(batch)


def main(warm: bool) -> None:
    r"""Reads a request a line: module, calls, seed, how many calls to skip; forks for each.

    The child may crash. Its parent has started no thread, and lives on with all that is imported
    and compiled.
    """
    out = os.fdopen(os.dup(1), 'w')
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    import torch
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    if warm:
        warm_up()
    for line in sys.stdin:
        module, *request = json.loads(line)
        strategy = importlib.import_module(module).CALLS
        child = os.fork()
        if child == 0:
            try:
                with open(os.devnull, 'w') as silence, contextlib.redirect_stdout(silence), \
                        contextlib.redirect_stderr(silence):
                    make_calls(strategy, *request, out)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        tell(out, 'child', child)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            tell(out, 'signal', signal.Signals(os.WTERMSIG(status)).name)
        elif status != 0:
            tell(out, 'failed', status)
