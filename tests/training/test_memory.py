import platform

from pyg_advcf.training import keep_freed_memory


def test_has_an_effect_with_glibc():
    assert keep_freed_memory() == (platform.libc_ver()[0] == 'glibc')
