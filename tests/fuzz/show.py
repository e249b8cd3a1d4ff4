r"""Makes one call again, in ``tests``: ``python -m fuzz.show CAMPAIGN CALLS SEED NUMBER``.

``CALLS`` are those of the whole run, which the draws depend on.
"""
import importlib
import sys

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings

from .call import CHOICE


def main(campaign: str, calls: str, number: str, call: str) -> None:
    made = []
    CHOICE.seed(int(number))

    @seed(int(number))
    @settings(max_examples=int(calls), phases=[Phase.generate], database=None, deadline=None,
              suppress_health_check=list(HealthCheck))
    @given(importlib.import_module(f'fuzz.{campaign}_campaign').CALLS)
    def each(call) -> None:
        made.append(call)

    each()
    found = made[int(call)]
    print(found.function, '|', found.wrong, '| refused:', found.refused)
    for name, cell in zip(found.do.__code__.co_freevars, found.do.__closure__):
        print(f'{name}: {cell.cell_contents}')
    torch.manual_seed(int(call))
    result = found.do()
    print(f'result: {result}\nproblem: {found.check(result)}')


if __name__ == '__main__':
    main(*sys.argv[1:])
