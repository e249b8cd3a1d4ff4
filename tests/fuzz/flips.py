r"""Flips one byte of a file at a time and loads it: the same comes back, or a clear error.

    python -m tests.fuzz.flips --flips 1000 --json benchmarks/results/fuzz_flips.json

The files are a checkpoint, which ``fit(resume=True)`` reads, and the processed file of a dataset.
An error is clear if the library raises it and it names the file.
"""
import argparse
import json
import platform
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from .call import is_clear
from .files_campaign import Tiny, checkpoint, dataset, equal, train
from .run import commit

OUTCOMES = ('harmless', 'clear', 'silent', 'obscure')


def cases() -> dict[str, tuple]:
    r"""By name: a folder, the file in it, what that holds, and how a copy is loaded."""
    path, state = checkpoint()
    root, data = dataset()
    return {'checkpoint': (path.parent, path.name, state, train),
            'processed data': (root, 'processed/data.pt', data,
                               lambda path: Tiny(str(path.parents[1]))[0].to_dict())}


def outcome_of(load: Any, path: Path, expected: Any) -> tuple[str, str]:
    r"""What came of loading a file that was changed."""
    try:
        found = load(path)
    except Exception as error:
        clear = is_clear(error) and f"'{path}'" in str(error)
        return ('clear', '') if clear else ('obscure', f'{type(error).__name__}: {error}')
    return ('harmless', '') if equal(expected, found) else ('silent', 'other content')


def run(flips: int, seed: int) -> dict[str, Any]:
    r"""So many flips of each file: ``counts`` by file and outcome, and ``examples``."""
    draws, counts, examples = random.Random(seed), {}, []
    for name, (source, file, expected, load) in cases().items():
        with tempfile.TemporaryDirectory(prefix='pyg_advcf_fuzz_') as folder:
            path = Path(shutil.copytree(source, folder, dirs_exist_ok=True), file)
            content = path.read_bytes()
            counts[name] = {'bytes': len(content), **dict.fromkeys(OUTCOMES, 0)}
            for _ in tqdm(range(flips), desc=name):
                place, value = draws.randrange(len(content)), draws.randrange(1, 256)
                changed = bytearray(content)
                changed[place] ^= value
                path.write_bytes(changed)
                outcome, detail = outcome_of(load, path, expected)
                counts[name][outcome] += 1
                if outcome in ('silent', 'obscure'):
                    examples.append({'file': name, 'byte': place, 'flip': value,
                                     'outcome': outcome, 'detail': detail})
    return {'counts': counts, 'examples': examples}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--flips', type=int, default=1000, help='of each file')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=Path)
    args = parser.parse_args()
    begin, found = time.monotonic(), run(args.flips, args.seed)
    record = {'command': f'python -m tests.fuzz.flips --flips {args.flips} --seed {args.seed}',
              'commit': commit(Path.cwd()), 'python': platform.python_version(),
              'torch': torch.__version__, 'seconds': round(time.monotonic() - begin, 1),
              'flips': args.flips, **found}
    print(json.dumps(found['counts'] | {'examples': found['examples'][:20]}, indent=1))
    if args.json is not None:
        args.json.write_text(json.dumps(record, indent=1) + '\n')
    sys.exit(1 if found['examples'] else 0)


if __name__ == '__main__':
    main()
