r"""Kills of training and of writing, as :mod:`fuzz.kill_resume` makes them; a call is a kill."""
import tempfile
from pathlib import Path
from typing import Any


def run(calls: int, seed: int) -> dict[str, Any]:
    r"""Kills one method so often, another one with each seed.

    Silent are other weights than those of the run that nobody killed, a bad checkpoint, or a stray
    file.
    """
    from . import kill_resume
    case = kill_resume.cases()[seed % len(kill_resume.cases())]
    campaign = kill_resume.Campaign(seed)
    with tempfile.TemporaryDirectory(prefix='pyg_advcf_fuzz_') as work:
        for _ in campaign.run(case, calls, Path(work)):
            pass
    found = campaign.counts[case]
    counts = {'silent': found['different'] + found['bad_files'] + found['stray_files'],
              'obscure': found['errors'], 'hang': found['hangs'], 'clear': 0, 'signal': 0}
    counts['correct'] = max(found['in_training'] + found['in_writing'] - counts['silent'], 0)
    kinds = {'errors': 'obscure', 'hangs': 'hang'}
    return {'counts': counts, 'examples': [
        {'function': f'fit, {case}', 'corruption': 'killed',
         'outcome': kinds.get(e['outcome'], 'silent'), 'detail': f"{e['outcome']}: {e['detail']}",
         'seed': seed, 'call': 0} for e in campaign.examples]}
