r"""The campaign of wrong and random calls as a program, with a record; see ``tests/fuzz``."""
import json
import platform
import sys
from pathlib import Path
from typing import Any, Optional

import torch
import torch_geometric
from tqdm import tqdm

from benchmarks.arguments import ConfigError
from pyg_advcf._checks import check_count, check_name, check_positive

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'tests'))

from fuzz.run import campaigns, commit, run_all, shortened  # noqa: E402


def fuzz(
    minutes: float = 30.,
    seed: int = 0,
    campaign: Optional[list[str]] = None,
    out: Optional[Path] = None,
    rounds: Optional[int] = None,
    library: Path = ROOT,
) -> None:
    r"""Makes right, wrong and random calls of the library, and counts what came of them.

    Args:
        minutes: How long, if 'rounds' is absent; the round under way is finished.
        seed: The same seed makes the same calls.
        campaign: Which campaigns; all by default.
        out: Where to write the record, as JSON.
        rounds: How often each campaign runs, about 200 calls each time, however long it takes.
        library: The folder that holds 'pyg_advcf', for example a checkout of another commit.
    """
    try:
        names = [check_name('campaign', name, campaigns()) for name in campaign or campaigns()]
        check_positive('minutes', minutes)
        if rounds is not None:
            check_count('rounds', rounds)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    record: dict[str, Any] = {
        'commit': commit(library), 'generators': commit(ROOT), 'seed': seed,
        'python': platform.python_version(), 'torch': torch.__version__,
        'torch_geometric': torch_geometric.__version__}
    total = rounds * len(names) if rounds else round(60 * minutes)
    with tqdm(total=total, unit='campaigns' if rounds else 's', dynamic_ncols=True) as bar:
        for state in run_all(names, seed, minutes, rounds, library.resolve()):
            record |= {'seconds': state['seconds'], 'rounds': state['rounds'], 'campaigns': {
                name: {'counts': dict(found['counts']), 'examples': shortened(found['examples'])}
                for name, found in state['campaigns'].items()}}
            bar.set_description(state['last'])
            bar.update(1 if rounds else min(state['seconds'], total) - bar.n)
            if out is not None:
                out.write_text(json.dumps(record, indent=1) + '\n')
    for name, found in record['campaigns'].items():
        print(f'{name:15}', '  '.join(f'{key} {value}' for key, value in found['counts'].items()))
        for example in found['examples']:
            print('   ', ' | '.join(str(example[key]) for key in (
                'outcome', 'times', 'function', 'corruption', 'detail')))
