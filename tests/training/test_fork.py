import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, 'fork'), reason='there are no forks')

PARENT = '''
import os, torch
from conftest import make_toy
torch.set_num_threads({threads})  # After `conftest`, which may lower it.
from pyg_advcf import MF, InteractionLoader, fit, methods
from pyg_advcf.training import fork
fork._SECONDS = 3.
toy = make_toy()
def train():
    fit(methods.bpr(MF(toy, dim=4)), InteractionLoader(toy, 64), epochs=2, progress=False)
{before}
child = os.fork()
if child == 0:
    try:
        {inside}
        train()
        torch.ones(2**20).add_(1)
        print('trained', flush=True)
    except RuntimeError as e:
        print(e, flush=True)
    os._exit(0)
os.waitpid(child, 0)
'''


def outcome(threads, before='', inside='pass'):
    code = PARENT.format(threads=threads, before=before, inside=inside)
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, '-c', textwrap.dedent(code)], text=True, timeout=120,
                          capture_output=True, cwd=root, env={
                              **os.environ, 'OMP_NUM_THREADS': '2',
                              'PYTHONPATH': f'{root}:{root / "tests"}'})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


USED = 'torch.ones(2**20).add_(1)'


def test_threads_that_a_fork_has_lost_are_an_error():
    text = outcome(2, USED)
    assert text.startswith('this process was forked from one that had already used')
    assert "'spawn' in place of 'fork', or call torch.set_num_threads(1)" in text


@pytest.mark.parametrize('threads, before, inside', [
    (2, '', 'pass'),  # The parent has not used them.
    (2, USED, 'torch.set_num_threads(1)'),  # The remedy.
    (1, USED + '; train()', 'pass'),
])
def test_other_forks_train(threads, before, inside):
    assert outcome(threads, before, inside) == 'trained'
