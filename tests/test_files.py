import errno
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from pyg_advcf import files, training
from pyg_advcf.files import check_writable, load_safely, replacing, save_atomically


def test_round_trip(tmp_path):
    path = tmp_path / 'deep' / 'x.pt'
    save_atomically({'a': torch.ones(2), 'b': [1, 'x', None]}, path)
    state = load_safely(path, 'remedy')
    assert state['a'].tolist() == [1, 1] and state['b'] == [1, 'x', None]
    assert os.listdir(path.parent) == ['x.pt']
    assert torch.load(path, weights_only=True)['b'] == [1, 'x', None]


def test_training_exports_the_same():
    assert training.save_atomically is save_atomically and training.load_safely is load_safely


def test_a_crash_keeps_the_previous_file(tmp_path, monkeypatch):
    path = tmp_path / 'x.pt'
    save_atomically(1, path)

    def crash(state, f):
        f.write(b'half')
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, 'save', crash)
    with pytest.raises(KeyboardInterrupt):
        save_atomically(2, path)
    assert load_safely(path, '') == 1 and os.listdir(tmp_path) == ['x.pt']


def test_damaged_files_and_code_are_refused(tmp_path):
    path = tmp_path / 'x.pt'
    for content in (b'', b'nonsense', b'PK\x03\x04', files._seal(1)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="x.pt' is damaged.*checksum.*remedy"):
            load_safely(path, 'remedy')
    torch.save(1, path)  # No checksum.
    with pytest.raises(ValueError, match='was not written by this library: its checksum is'):
        load_safely(path, 'remedy')
    save_atomically(print, path)
    with pytest.raises(ValueError, match='was not written by this library.*UnpicklingError.*rem'):
        load_safely(path, 'remedy')
    path.write_bytes(b'no archive' + files._seal(files.zlib.crc32(b'no archive')))
    with pytest.raises(ValueError, match='was not written by this library.*remedy'):
        load_safely(path, 'remedy')
    with pytest.raises(FileNotFoundError):
        load_safely(tmp_path / 'absent.pt', 'remedy')
    with pytest.raises(ValueError, match="'path' is '.*', which is not a file"):
        load_safely(tmp_path, 'remedy')


def test_flipped_bytes_are_found(tmp_path):
    path, rng = tmp_path / 'x.pt', random.Random(0)
    save_atomically({'ids': torch.arange(9), 'rate': 0.1, 'name': 'x'}, path)
    whole = path.read_bytes()
    seal = len(whole) - len(files._seal(0))
    for place in [*rng.sample(range(seal), 300), *range(seal, len(whole))]:
        damaged = bytearray(whole)
        damaged[place] ^= rng.randrange(1, 256)
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match='x.pt. is damaged'):
            load_safely(path, '')
    for content in (whole[:-1], whole + b'\n', whole[:len(whole) // 2], whole[1:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match='x.pt. is damaged'):
            load_safely(path, '')


def test_file_is_read_once(tmp_path, monkeypatch):
    save_atomically(torch.ones(3), tmp_path / 'x.pt')
    opened = []
    monkeypatch.setattr(torch, 'load', lambda f, **_: opened.append(f))
    load_safely(tmp_path / 'x.pt', '')
    assert isinstance(opened[0], files.io.BytesIO)


@pytest.mark.parametrize('path', [3, None, b'x.pt', ['x.pt'], 'x\0.pt'])
def test_wrong_paths(path):
    for call in (lambda: save_atomically(1, path), lambda: load_safely(path, ''),
                 lambda: check_writable(path)):
        with pytest.raises(ValueError, match="'path' is .*, but needs to be the name of a file"):
            call()


def test_permissions_are_those_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        save_atomically(1, tmp_path / 'x.pt')
    finally:
        os.umask(before)
    assert (tmp_path / 'x.pt').stat().st_mode & 0o777 == 0o640


def test_temporary_names_are_unpredictable_and_links_are_not_followed(tmp_path, monkeypatch):
    names, victim, path = set(), tmp_path / 'victim', tmp_path / 'x.pt'
    victim.write_text('precious')
    for _ in range(3):
        with replacing(path) as f:
            names |= set(os.listdir(tmp_path)) - {'x.pt', 'victim'}
            f.write(b'1')
    assert len(names) == 3
    # Even if the name is guessed.
    monkeypatch.setattr(files.secrets, 'token_hex', lambda size: '0' * 2 * size)
    guessed = f'x.pt.{files._HOST}.{os.getpid()}.{"0" * 16}.tmp'
    (tmp_path / guessed).symlink_to(victim)
    with pytest.raises(FileExistsError):
        save_atomically(1, path)
    assert victim.read_text() == 'precious'
    # A link at the path itself is replaced.
    monkeypatch.undo()
    linked = tmp_path / 'linked.pt'
    linked.symlink_to(victim)
    save_atomically(1, linked)
    assert victim.read_text() == 'precious' and load_safely(linked, '') == 1


def dead_process():
    process = subprocess.Popen([sys.executable, '-c', ''])
    process.wait()
    return process.pid


def test_stale_temporaries_are_removed(tmp_path):
    def plant(host, pid, age=0., name='x.pt'):
        path = tmp_path / f'{name}.{host}.{pid}.{"0" * 16}.tmp'
        path.write_text('half')
        os.utime(path, (time.time() - age,) * 2)
        return path

    dead, other_host = dead_process(), '0' * 8
    day, process = 25 * 3600, os.getpid()
    # One of our own process id that is older than this process is of a dead one of the same id.
    stale = [plant(files._HOST, dead), plant(other_host, 1, day), plant(files._HOST, process, day)]
    kept = [plant(files._HOST, os.getppid()), plant(other_host, dead),
            plant(files._HOST, dead, day, name='y.pt'), tmp_path / 'x.pt.tmp']
    kept[-1].write_text('of somebody else')
    os.utime(kept[-1], (0, 0))
    check_writable(tmp_path / 'x.pt')
    assert not any(path.exists() for path in stale)
    assert all(path.exists() for path in kept)
    assert not (tmp_path / 'x.pt').exists()


def in_child(function):
    pid = os.fork()
    if pid == 0:
        try:
            function()
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1]


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
def test_killed_in_the_middle_leaves_no_stray_file_for_long(tmp_path):
    path = tmp_path / 'x.pt'
    save_atomically(1, path)

    def killed():
        with replacing(path) as f:
            f.write(b'half')
            os.kill(os.getpid(), signal.SIGKILL)

    assert os.WTERMSIG(in_child(killed)) == signal.SIGKILL
    assert load_safely(path, '') == 1 and len(os.listdir(tmp_path)) == 2
    save_atomically(2, path)
    assert load_safely(path, '') == 2 and os.listdir(tmp_path) == ['x.pt']


def test_full_disk(tmp_path, monkeypatch):
    path = tmp_path / 'x.pt'
    save_atomically(1, path)

    def full(self, content):
        self.size += len(content)
        self.error = OSError(errno.ENOSPC, 'No space left on device')
        return len(content)

    monkeypatch.setattr(files.Sink, 'write', full)
    with pytest.raises(OSError, match=r"no space for '.*x.pt': it needs [\d,]+ bytes, and [\d,]+ "
                                      r"bytes are free in '.*previous file.*intact") as caught:
        save_atomically(2, path)
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(ValueError, match="'checkpoint' is .*x.pt', which cannot be written.*no sp"):
        check_writable(path, 'checkpoint')
    monkeypatch.undo()
    assert load_safely(path, '') == 1 and os.listdir(tmp_path) == ['x.pt']


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
def test_error_of_the_system_in_the_middle_of_a_file(tmp_path):
    # The limit on the size of a file gives a true error in `write`, of which the archive of
    # `torch.save` must not die.
    import resource
    state = torch.zeros(1_000_000)

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            save_atomically(state, tmp_path / 'x.pt')
        except OSError as e:
            assert 'it needs 4,00' in str(e)
            os._exit(0)

    assert in_child(limited) == 0
    assert os.listdir(tmp_path) == []


def test_check_writable(tmp_path):
    path = tmp_path / 'runs' / 'x.pt'
    check_writable(path)
    assert os.listdir(path.parent) == []
    save_atomically(1, path)
    check_writable(path)
    assert load_safely(path, '') == 1 and os.listdir(path.parent) == ['x.pt']
    for bad, message in ((path.parent, 'is not a file'), (path / 'y.pt', 'cannot be written'),
                         (tmp_path / ('x' * 300), 'cannot be written'),
                         ('/proc/none/x.pt', 'cannot be written')):
        with pytest.raises(ValueError, match=f"'checkpoint' is '.*{message}"):
            check_writable(bad, 'checkpoint')
    with pytest.raises(ValueError, match='is not a file'):
        save_atomically(1, path.parent)
