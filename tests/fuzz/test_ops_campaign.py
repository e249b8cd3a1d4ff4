r"""A small budget of the campaign; at length: ``python -m tests.fuzz.ops_campaign``."""
from fuzz import ops_campaign
from fuzz.ops import process

CALLS = 40
PROCESS = """
import json, os, signal, sys, time
print('ready', flush=True)
number = int(sys.stdin.readline())
print(json.dumps(['dies', 'by a signal'] if number == 0 else ['waits', 'for ever']), flush=True)
if number == 0:
    os.kill(os.getpid(), signal.SIGSEGV)
time.sleep(60)
"""


def test_no_call_crashes_or_lies():
    report = ops_campaign.run(CALLS, seed=11)
    assert report['tried'] == sum(report['counts'].values()) == CALLS
    bad = [e for e in report['examples'] if e['outcome'] != 'obscure']
    assert not bad, bad
    assert report['counts']['obscure'] <= 1, report['examples']
    assert min(report['counts']['correct'], report['counts']['clear']) > 8


def test_a_process_that_dies_or_hangs_is_told_of(monkeypatch):
    monkeypatch.setattr(process, 'SERVE', PROCESS)
    worker = process.Worker(seed=0)
    assert worker(0) == ['dies', 'by a signal', 'signal', 'SIGSEGV']
    assert worker.process is None
    monkeypatch.setattr(process, 'TIMEOUT', 2.)
    assert worker(1)[:3] == ['waits', 'for ever', 'hang']
    worker.close()
