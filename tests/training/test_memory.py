import platform
import subprocess
import sys

import pytest

SCRIPT = """
import numpy
from pyg_advcf.training import keep_freed_memory
if {keep}:
    assert keep_freed_memory()

def resident():
    return int(open('/proc/self/statm').read().split()[1])

before = resident()
block = numpy.ones(2**24)  # 128 MiB.
high = resident()
del block
print((resident() - before) / (high - before))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='acts on glibc alone')
@pytest.mark.parametrize('keep', [True, False])
def test_freed_memory_stays_only_if_asked(keep):
    done = subprocess.run([sys.executable, '-c', SCRIPT.format(keep=keep)], text=True,
                          capture_output=True, check=True)
    assert (float(done.stdout) > 0.9) == keep
