r"""Mutation check, run by hand: ``python -m tests.mutants [--only STEM ...] [--list] [--jobs N]``.

Changes one small thing at a time in a copy of the package and runs the test file of the same stem
against the copy. A mutant that no test notices has survived: a test is missing, or the mutant is
equivalent and belongs in ``mutants_accepted.txt``, a line ``file | line text | mutation | reason``.
"""
import argparse
import ast
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Optional

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ('criteria', 'methods', 'training', 'transforms', 'metrics')
ACCEPTED = Path(__file__).with_name('mutants_accepted.txt')
PASSED, FAILED = 0, 1  # Exit statuses of pytest.

SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mod, ast.Mod: ast.FloorDiv,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.And: ast.Or, ast.Or: ast.And,
}
# What is written for people.
SKIPPED_FUNCTIONS = ('__repr__', 'extra_repr')


class Mutant(NamedTuple):
    r"""A changed source.

    Attributes:
        line: Number of the changed line, from 1.
        text: That line before, stripped.
        kind: What sort of change it is.
        change: ``'before -> after'``.
        source: The whole changed source.
    """
    line: int
    text: str
    kind: str
    change: str
    source: str


def replacements(node: ast.AST) -> Iterator[tuple[str, ast.AST, str]]:
    r"""Yields the kind, the node to replace and what to put in its place."""
    if isinstance(node, (ast.BinOp, ast.BoolOp)) and type(node.op) in SWAPS:
        other = type(node)(**{**vars(node), 'op': SWAPS[type(node.op)]()})
        yield 'operator', node, f'({ast.unparse(other)})'
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        operators = [SWAPS[type(node.ops[0])](), *node.ops[1:]]
        other = ast.Compare(node.left, operators, node.comparators)
        yield 'comparison', node, f'({ast.unparse(other)})'
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield 'constant', node, repr(not node.value)
        elif isinstance(node.value, int):
            yield 'constant', node, repr(node.value + 1)
        elif isinstance(node.value, float):
            yield 'constant', node, repr(2 * node.value if node.value else 1.)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not, ast.Invert)):
        yield 'sign', node, f'({ast.unparse(node.operand)})'
    elif isinstance(node, (ast.If, ast.IfExp, ast.While)):
        yield 'condition', node.test, f'(not ({ast.unparse(node.test)}))'
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and not node.args and not node.keywords:
            yield 'call', node, f'({ast.unparse(node.func.value)})'
        for k, keyword in enumerate(node.keywords):
            if keyword.arg is not None:
                rest = [*node.keywords[:k], *node.keywords[k + 1:]]
                yield 'argument', node, ast.unparse(ast.Call(node.func, node.args, rest))
        if len(node.args) > 1 and not any(isinstance(a, ast.Starred) for a in node.args):
            yield 'argument', node, ast.unparse(ast.Call(node.func, node.args[:-1], node.keywords))
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.Call) and node.value.args:
        first = node.value.args[0]
        if not isinstance(first, (ast.Starred, ast.GeneratorExp)):
            yield 'return', node.value, f'({ast.unparse(first)})'
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        called = node.value.func
        if not (isinstance(called, ast.Attribute) and called.attr == '__init__'):
            yield 'statement', node, 'pass'
    elif isinstance(node, ast.AugAssign):
        yield 'statement', node, 'pass'


def code(tree: ast.AST) -> Iterator[ast.AST]:
    r"""Walks over what runs, without messages, annotations, decorators and representations."""
    if isinstance(tree, (ast.Raise, ast.Import, ast.ImportFrom, ast.JoinedStr)):
        return
    if isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef)):
        if tree.name in SKIPPED_FUNCTIONS:
            return
        children = [*tree.args.defaults, *(d for d in tree.args.kw_defaults if d), *tree.body]
    elif isinstance(tree, ast.AnnAssign):
        children = [tree.value] if tree.value else []
    else:
        yield tree
        children = list(ast.iter_child_nodes(tree))
        if isinstance(tree, ast.ClassDef):
            children = tree.body
    for child in children:
        yield from code(child)


def mutants(source: str) -> list[Mutant]:
    r"""All mutants of a source, in the order of its code; each compiles."""
    lines = source.encode().splitlines(keepends=True)
    start = [0]
    for line in lines:
        start.append(start[-1] + len(line))
    whole, found, seen = source.encode(), [], set()
    for node in code(ast.parse(source)):
        for kind, old, new in replacements(node):
            begin = start[old.lineno - 1] + old.col_offset
            end = start[old.end_lineno - 1] + old.end_col_offset
            changed = (whole[:begin] + new.encode() + whole[end:]).decode()
            before = ' '.join(whole[begin:end].decode().split())
            if changed in seen:
                continue
            seen.add(changed)
            try:
                compile(changed, 'mutant', 'exec')
            except SyntaxError:
                continue
            found.append(Mutant(old.lineno, lines[old.lineno - 1].decode().strip(), kind,
                                f"{before} -> {' '.join(new.split())}", changed))
    return found


def sample(found: list[Mutant], number: Optional[int], seed: str) -> list[Mutant]:
    r"""So many of them, the same every time, and of every kind in turn."""
    if number is None or len(found) <= number:
        return found
    rng = random.Random(seed)
    kinds: dict[str, list[Mutant]] = {}
    for mutant in found:
        kinds.setdefault(mutant.kind, []).append(mutant)
    for group in kinds.values():
        rng.shuffle(group)
    chosen: list[Mutant] = []
    while len(chosen) < number:
        chosen += [group.pop() for group in kinds.values() if group]
    return sorted(chosen[:number], key=lambda mutant: mutant.line)


def read_accepted(text: str) -> dict[tuple[str, str, str], str]:
    r"""The reason of each accepted mutant, by file, line text and mutation."""
    accepted = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith('#'):
            continue
        parts = [part.strip() for part in line.split(' | ')]
        if len(parts) != 4 or not all(parts):
            raise ValueError(f"line {number} of the accepted mutants is {line!r}, but needs "
                             f"'file | line text | mutation | reason'")
        accepted[tuple(parts[:3])] = parts[3]
    return accepted


def targets(only: Optional[list[str]], root: Path = ROOT) -> dict[str, str]:
    r"""The test file of every module to mutate; those without one of their stem are left out."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((root / 'pyg_advcf' / folder).glob('[!_]*.py')):
            test = root / 'tests' / folder / f'test_{path.stem}.py'
            name = f'{folder}/{path.stem}'
            if test.exists() and (not only or path.stem in only or name in only):
                found[path.relative_to(root).as_posix()] = test.relative_to(root).as_posix()
    return found


def make_copy(folder: Path) -> Path:
    for name in ('pyg_advcf', 'tests'):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns('__pycache__'))
    shutil.copy(ROOT / 'pyproject.toml', folder)
    return folder


def start(folder: Path, test: str) -> int:
    r"""Starts the tests in a forked process, which spares the imports; returns its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 99
    try:
        os.setsid()
        os.chdir(folder)
        os.environ['PYTHONPATH'] = str(folder)
        sys.path[:0] = [str(folder)]
        with open(folder / 'output.txt', 'w') as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
            import pytest

            import pyg_advcf
            assert Path(pyg_advcf.__file__).is_relative_to(folder)
            status = int(pytest.main(['-x', '-q', '-p', 'no:cacheprovider', '-n', '0', test]))
            sys.stdout.flush()
    except BaseException as error:  # A package that cannot even be imported.
        print(repr(error), flush=True)
    finally:
        os._exit(status)


class Job(NamedTuple):
    folder: Path
    module: str
    mutant: Optional[Mutant]
    began: float
    limit: float


def run_all(tasks: list[tuple[str, Optional[Mutant]]], tests: dict[str, str], jobs: int,
            limits: dict[str, float]) -> Iterator[tuple[str, Optional[Mutant], str, float]]:
    r"""Yields the outcome of every task: ``'survived'``, ``'killed'`` or ``'timed out'``."""
    originals = {module: (ROOT / module).read_text() for module in tests}
    with tempfile.TemporaryDirectory(prefix='mutants-') as top:
        free = [make_copy(Path(top).resolve() / str(k)) for k in range(jobs)]
        running: dict[int, Job] = {}
        waiting = list(reversed(tasks))
        try:
            while waiting or running:
                while free and waiting:
                    (module, mutant), folder = waiting.pop(), free.pop()
                    (folder / module).write_text(mutant.source if mutant else originals[module])
                    pid = start(folder, tests[module])
                    running[pid] = Job(folder, module, mutant, time.monotonic(),
                                       limits.get(module, 600.))
                time.sleep(0.05)
                for pid, job in list(running.items()):
                    done, status = os.waitpid(pid, os.WNOHANG)
                    seconds = time.monotonic() - job.began
                    if not done and seconds < job.limit:
                        continue
                    if done:
                        code = os.waitstatus_to_exitcode(status)
                        outcome = 'survived' if code == PASSED else 'killed'
                    else:
                        os.killpg(pid, signal.SIGKILL)
                        os.waitpid(pid, 0)
                        outcome = 'timed out'
                    del running[pid]
                    (job.folder / job.module).write_text(originals[job.module])
                    free.append(job.folder)
                    yield job.module, job.mutant, outcome, seconds
        finally:
            for pid in running:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def main(argv: Optional[list[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog='python -m tests.mutants', description=__doc__)
    parser.add_argument('--only', nargs='+', metavar='STEM',
                        help='modules, as accf or methods/accf; all by default')
    parser.add_argument('--list', action='store_true', help='list the mutants and run nothing')
    parser.add_argument('--jobs', type=int, default=1, metavar='N')
    parser.add_argument('--per-file', type=int, default=12, metavar='N',
                        help='most mutants of a file; 0 for all')
    args = parser.parse_args(argv)
    tests = targets(args.only)
    if not tests:
        parser.error(f'no module with a test file of its stem is named {args.only}')
    accepted = read_accepted(ACCEPTED.read_text())
    tasks, counts = [], {module: Counter() for module in tests}
    for module in tests:
        chosen = sample(mutants((ROOT / module).read_text()), args.per_file or None, module)
        for mutant in chosen:
            if (module, mutant.text, mutant.change) in accepted:
                counts[module]['accepted'] += 1
            else:
                tasks.append((module, mutant))
    if args.list:
        for module, mutant in tasks:
            print(f'{module}:{mutant.line}: {mutant.kind}: {mutant.change}')
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # So that no test outlives this.
    os.environ.update(OMP_NUM_THREADS='1', PYTHONDONTWRITEBYTECODE='1', MPLBACKEND='Agg')
    sys.dont_write_bytecode = True
    import pandas  # noqa: F401
    import torch
    import torch_geometric  # noqa: F401
    torch.set_num_threads(1)
    limits = {}
    for module, _, outcome, seconds in run_all([(m, None) for m in tests], tests, args.jobs, {}):
        if outcome != 'survived':
            print(f'{tests[module]} fails without any mutation', file=sys.stderr)
            return 2
        limits[module] = max(30., 4 * seconds)
    survivors = []
    for module, mutant, outcome, _ in run_all(tasks, tests, args.jobs, limits):
        counts[module][outcome] += 1
        if outcome == 'survived':
            survivors.append((module, mutant))
            print(f'survived: {module} | {mutant.text} | {mutant.change} (line {mutant.line})',
                  flush=True)
    print(f"{'module':40} {'killed':>9} {'survived':>9} {'timed out':>9} {'accepted':>9}")
    for module, count in counts.items():
        print(f"{module:40} {count['killed']:9} {count['survived']:9} {count['timed out']:9} "
              f"{count['accepted']:9}")
    total = sum(counts.values(), Counter())
    noticed = total['killed'] + total['timed out']
    print(f"score: {noticed} of {noticed + total['survived']}")
    return int(bool(survivors))


if __name__ == '__main__':
    sys.exit(main())
