import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fuzz import kill_resume as kills

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not hasattr(os, 'fork'), reason='there are no forks')


def test_a_small_campaign(tmp_path):
    path = tmp_path / 'kills.json'
    done = subprocess.run([sys.executable, '-m', 'tests.fuzz.kill_resume', '--kills', '8', '--case',
                           'advinfonce', 'accf', '--json', str(path)], cwd=ROOT, text=True,
                          capture_output=True, timeout=300,
                          env={**os.environ, 'PYTHONPATH': str(ROOT)})
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(path.read_text())
    assert record['kills'] == 8 == record['in_training'] + record['in_writing']
    assert record['compared'] >= 2 and set(record['cases']) == {'advinfonce', 'accf'}
    assert not any(record[name] for name in ('different', 'bad_files', 'stray_files', 'errors',
                                             'hangs'))


def test_it_notices_what_it_looks_for(tmp_path, monkeypatch):
    found = kills.Campaign(seed=0)
    end = kills.train('bpr', found.data)
    for change in ('weight', 'generator', 'history', None):
        out, folder = tmp_path / 'end.pt', tmp_path / f'run-{change}'
        folder.mkdir()
        other = kills.train('bpr', found.data)
        if change == 'weight':
            weight = other['step']['recommender']['backbone.user_embedding.weight']
            weight[3, 1] = torch.nextafter(weight[3, 1], torch.tensor(math.inf))
        elif change == 'generator':
            other['generator'][100] += 1
        elif change == 'history':
            other['history']['epochs'][2]['loss'] += 1e-12
        torch.save(other, out)
        counts = dict.fromkeys(kills.COUNTS, 0)
        (folder / 'run.pt').write_bytes(b'half of it')
        (folder / 'left.tmp').touch()
        found._check('bpr', counts, folder, out, 'compared', end)
        assert (counts['different'], counts['bad_files'], counts['stray_files']) == (
            int(change is not None), 1, 1)


def test_every_method_and_step_is_a_case():
    assert set(kills.METHODS) < set(kills.cases())
    kinds = {type(kills.build(case, kills.interactions())[0]).__name__ for case in kills.cases()}
    assert kinds == {'Step', 'SAMStep', 'MinMaxStep', 'BilevelStep'}
