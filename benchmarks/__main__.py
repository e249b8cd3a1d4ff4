r"""The program: ``python -m benchmarks run COMPARISON``, ``list``, ``show NAME``, ``fuzz``."""
import json
import os
import sys
from pathlib import Path
from typing import Optional

import pandas as pd
import yaml
from jsonargparse import auto_cli

from benchmarks.arguments import ConfigError
from benchmarks.config import CONFIGS
from benchmarks.fuzz import fuzz
from benchmarks.harness import Harness
from benchmarks.tables import frame, paired, summary

RESULTS = Path(__file__).parent / 'results'
WORK = Path('outputs/benchmarks')
# What made the records of earlier programs: commit and command by file.
PROVENANCE = yaml.safe_load((RESULTS / 'provenance.yaml').read_text())


def run(comparison: str, jobs: int = os.cpu_count() or 1, work: Path = WORK,
        data_dir: str = 'data', out: Path = RESULTS) -> None:
    r"""Runs what is left of a comparison, a file or one of configs, in so many processes."""
    Harness(comparison, work).run(data_dir, jobs, out)


def overview(work: Path = WORK, out: Path = RESULTS) -> None:
    r"""Lists the comparisons and how far each is, and what made the records of old programs."""
    rows = {path.stem: {**Harness(path.stem, work).progress(),
                        'record': 'yes' if (out / f'{path.stem}.json').exists() else 'no'}
            for path in sorted(CONFIGS.glob('*.yaml'))}
    print(pd.DataFrame.from_dict(rows, orient='index').to_string(), '\n')
    for file, made in PROVENANCE.items():
        print(f"{file}: commit {made['commit']}, {made['command']}")


def show(name: str, against: Optional[str] = None, out: Path = RESULTS) -> None:
    r"""Prints means over seeds with 95 % intervals, and differences to one of the methods."""
    path = out / f'{name}.json'
    records = json.loads(path.read_text())
    if path.name in PROVENANCE:
        print('made at commit {commit} by: {command}\n'.format(**PROVENANCE[path.name]))
    if not isinstance(records, list) or 'seed' not in records[0]:
        print(json.dumps(records, indent=1))
        return
    runs = frame(records)
    labels = list(runs['method'].unique())
    if against not in [None, *labels]:
        raise ConfigError(f"'against' is '{against}', but the methods are {', '.join(labels)}")
    pairs = [(label, against or labels[0]) for label in labels if label != (against or labels[0])]
    print(summary(runs).T.to_string(), '\n\nDifferences over the same seeds, paired t-tests\n')
    print(paired(runs, pairs, [c for c in runs if '@' in c]).to_string(index=False))


if __name__ == '__main__':
    try:
        auto_cli({'run': run, 'list': overview, 'show': show, 'fuzz': fuzz},
                 prog='python -m benchmarks')
    except (ConfigError, OSError, yaml.YAMLError) as error:
        sys.exit(f'error: {error}')
