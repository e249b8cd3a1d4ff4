r"""Runs of the examples as processes of one thread each; what is done is not run again."""
import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import Executor, Future
from pathlib import Path

from tqdm import tqdm

EXAMPLES = Path(__file__).parents[1] / 'examples'


def run(example: str, command: list[str], work: Path, data_dir: str) -> list[dict]:
    r"""The records of one call of an example.

    They are kept in ``work``, under a name that stands for the example's text and the command:
    what the example sets by default is part of a run too.
    """
    script, common = EXAMPLES / example, EXAMPLES / 'common.py'
    command = ['--threads', '1', *map(str, command)]
    digest = hashlib.sha256(b'\0'.join([script.read_bytes(), common.read_bytes(),
                                        ' '.join(command).encode()])).hexdigest()[:16]
    path = work / f'{script.stem}_{digest}.json'
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix('.running')
        try:
            subprocess.run([sys.executable, '-W', 'ignore', str(script), *command, '--data-dir',
                            data_dir, '--json', str(partial)], check=True, capture_output=True,
                           text=True, env={**os.environ, 'OMP_NUM_THREADS': '1'})
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f'{example} {" ".join(command)}\n{error.stderr[-2000:]}') from None
        os.replace(partial, path)
    return json.loads(path.read_text())


def gather(label: str, futures: list[Future]) -> list:
    r"""The results in order, behind a progress bar."""
    return [future.result() for future in tqdm(futures, desc=label)]


def run_all(label: str, pool: Executor, example: str, commands: list[list[str]], work: Path,
            data_dir: str) -> list[dict]:
    r"""The records of several calls, in the order of the calls."""
    found = gather(label, [pool.submit(run, example, c, work, data_dir) for c in commands])
    return [record for records in found for record in records]


def write(path: Path, records: list[dict]) -> None:
    r"""One record a line, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + '.part')
    partial.write_text('[\n' + ',\n'.join(map(json.dumps, records)) + '\n]\n')
    os.replace(partial, path)
