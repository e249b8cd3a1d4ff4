r"""Adversarial calls of every operation, in a process that may die: ``run(calls, seed)``.

    python -m tests.fuzz.ops_campaign --calls 2000 --seed 0 --json FILE

A call has right arguments, or one or two of them are corrupted. It is made through the public
function, through ``torch.ops`` (where nothing but the operation itself can check) or through
:func:`torch.compile`. What comes back is compared with plain PyTorch, gradients included; what this
refuses has to be a clear error. Each call is drawn from ``(seed, number)`` alone.
"""
import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from .call import OUTCOMES
from .ops.process import Worker


def run(calls: int, seed: int) -> dict[str, Any]:
    r"""Makes so many calls.

    Returns:
        ``tried``; ``counts`` by outcome; and ``examples`` of what is neither correct nor clear,
        with the seed and the number of the call, by which it is found again.
    """
    counts, examples, worker = Counter(dict.fromkeys(OUTCOMES, 0)), [], Worker(seed)
    try:
        for number in range(calls):
            function, corruption, outcome, detail = worker(number)
            counts[outcome] += 1
            if outcome not in ('correct', 'clear'):
                examples.append({'function': function, 'corruption': corruption, 'detail': detail,
                                 'outcome': outcome, 'seed': seed, 'call': number})
    finally:
        worker.close()
    return {'tried': calls, 'counts': dict(counts), 'examples': examples}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--calls', type=int, default=2000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=Path)
    args = parser.parse_args()
    report = run(args.calls, args.seed)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + '\n')
    print(json.dumps({'tried': report['tried'], **report['counts']}))


if __name__ == '__main__':
    main()
