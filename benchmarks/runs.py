r"""Runs of the examples in processes of one thread each; what is done is not run again."""
import hashlib
import importlib
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path

from tqdm import tqdm

EXAMPLES = Path(__file__).parents[1] / 'examples'
sys.path.insert(0, str(EXAMPLES))

from common import write_json  # noqa: E402

__all__ = ['Runs', 'run', 'write_json']


def run(example: str, command: list, work: Path, data_dir: str) -> list[dict]:
    r"""The records of one call of an example.

    They are kept in ``work``, under a name that stands for the example's text and the command:
    what the example sets by default is part of a run too.
    """
    command = ['--threads', '1', *map(str, command)]
    digest = hashlib.sha256(b'\0'.join([*((EXAMPLES / f'{name}.py').read_bytes()
                                          for name in (example, 'common')),
                                        ' '.join(command).encode()])).hexdigest()[:16]
    path = work / f'{example}_{digest}.json'
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix('.running')
        with path.with_suffix('.log').open('w') as log, redirect_stdout(log):
            try:
                importlib.import_module(example).main(
                    [*command, '--data-dir', data_dir, '--json', str(partial)])
            except (Exception, SystemExit) as error:
                raise RuntimeError(f'{example}.py {" ".join(command)}: {error!r}') from error
        os.replace(partial, path)
    return json.loads(path.read_text())


class Runs:
    r"""Calls of examples, several at once.

    Args:
        work: Folder of what is done.
        data_dir: Folder of the data.
        jobs: How many at once.
    """
    def __init__(self, work: Path, data_dir: str, jobs: int) -> None:
        self.work, self.data_dir = work, data_dir
        os.environ['OMP_NUM_THREADS'] = '1'  # Of the processes; PyTorch reads it when imported.
        # Never forked: a copy of a process with threads may hang.
        self.pool = ProcessPoolExecutor(jobs, multiprocessing.get_context('spawn'))

    def __enter__(self) -> 'Runs':
        return self

    def __exit__(self, *error: object) -> None:
        self.pool.shutdown(cancel_futures=True)

    def __call__(self, label: str, example: str, commands: list[list]) -> list[dict]:
        r"""The records of the calls, in their order."""
        futures = [self.pool.submit(run, example, command, self.work, self.data_dir)
                   for command in commands]
        return [record for future in tqdm(futures, desc=label) for record in future.result()]
