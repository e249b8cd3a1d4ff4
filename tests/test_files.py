import os

import pytest
import torch

from pyg_advcf import training
from pyg_advcf.files import load_safely, save_atomically


def test_round_trip(tmp_path):
    path = tmp_path / 'deep' / 'x.pt'
    save_atomically({'a': torch.ones(2), 'b': [1, 'x', None]}, path)
    state = load_safely(path, 'remedy')
    assert state['a'].tolist() == [1, 1] and state['b'] == [1, 'x', None]
    assert os.listdir(path.parent) == ['x.pt']


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
    for content in (b'', b'nonsense', b'PK\x03\x04'):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="x.pt' is damaged.*remedy"):
            load_safely(path, 'remedy')
    torch.save(print, path)
    with pytest.raises(ValueError, match='was not written by this library'):
        load_safely(path, 'remedy')
    with pytest.raises(FileNotFoundError):
        load_safely(tmp_path / 'absent.pt', 'remedy')
