import hashlib
import os
import shutil
from pathlib import Path

import pytest
import torch

from pyg_advcf import EDGE_TYPE, datasets, split_names
from pyg_advcf.datasets.base import InteractionDataset, read_user_lists

RAW = {'train.txt': '0 1 2\n1 0\n2\n', 'valid.txt': '0 3\n', 'test_ood.txt': '1 4\n2 0\n'}


class Tiny(InteractionDataset):
    name = 'tiny'
    files = {'train': 'train.txt', 'val': 'valid.txt', 'test_ood': 'test_ood.txt'}
    url = 'http://localhost:1/nothing-is-served-here'
    checksums = {file: hashlib.sha256(text.encode()).hexdigest() for file, text in RAW.items()}


def write(folder, files=None):
    os.makedirs(folder, exist_ok=True)
    for file, text in (files or RAW).items():
        Path(folder, file).write_text(text)


@pytest.fixture
def mirrored(tmp_path, monkeypatch):
    write(tmp_path / 'mirror' / 'tiny' / 'raw')
    monkeypatch.setenv('PYG_ADVCF_MIRROR', str(tmp_path / 'mirror'))
    return tmp_path


def test_from_the_mirror(mirrored):
    data = Tiny(str(mirrored / 'root'))[0]
    assert (data['user'].num_nodes, data['item'].num_nodes) == (3, 5)
    assert data[EDGE_TYPE].edge_index.tolist() == [[0, 0, 1], [1, 2, 0]]
    assert split_names(data) == ['val', 'test_ood']
    assert sorted(os.listdir(mirrored / 'root' / 'raw')) == sorted(RAW)
    # A second instance reads the processed file.
    shutil.rmtree(mirrored / 'root' / 'raw')
    write(mirrored / 'root' / 'raw')
    again = Tiny(str(mirrored / 'root'))[0]
    assert torch.equal(again[EDGE_TYPE].edge_index, data[EDGE_TYPE].edge_index)


def test_from_raw_files_without_network(tmp_path, monkeypatch):
    monkeypatch.delenv('PYG_ADVCF_MIRROR', raising=False)
    write(tmp_path / 'raw')
    assert Tiny(str(tmp_path))[0][EDGE_TYPE].edge_index.size(1) == 3


def test_no_source(tmp_path, monkeypatch):
    monkeypatch.delenv('PYG_ADVCF_MIRROR', raising=False)
    with pytest.raises(ConnectionError, match='could not fetch .*PYG_ADVCF_MIRROR.*tiny/raw/train'):
        Tiny(str(tmp_path))
    assert os.listdir(tmp_path / 'raw') == []


def test_wrong_sha256(mirrored):
    write(mirrored / 'mirror' / 'tiny' / 'raw', {'valid.txt': '0 4\n'})
    with pytest.raises(ValueError, match=r"valid.txt' does not have the SHA-256 \w{64}.*delete it"):
        Tiny(str(mirrored / 'root'))
    assert not (mirrored / 'root' / 'processed' / 'data.pt').exists()


@pytest.mark.parametrize('text, message', [
    ('0 1\n1 x\n', r"line 2 of .* is not a list of ids \('1 x"),
    ('0 1\n1 -3\n', 'line 2 of'),
    ('0\n', 'holds no interaction'),
    ('', 'holds no interaction'),
    ('\x00\x01', 'line 1 of'),
])
def test_corrupt_raw_file(mirrored, monkeypatch, text, message):
    monkeypatch.setattr(Tiny, 'checksums', {})
    write(mirrored / 'mirror' / 'tiny' / 'raw', {'train.txt': text})
    with pytest.raises(ValueError, match=message):
        Tiny(str(mirrored / 'root'))


def test_half_written_processed_file(mirrored):
    root = str(mirrored / 'root')
    Tiny(root)
    path = mirrored / 'root' / 'processed' / 'data.pt'
    whole = path.read_bytes()
    path.write_bytes(whole[:len(whole) // 2])
    with pytest.raises(ValueError, match='data.pt. is damaged.*force_reload=True'):
        Tiny(root)
    assert Tiny(root, force_reload=True)[0][EDGE_TYPE].edge_index.size(1) == 3


def test_interrupted_processing_leaves_nothing_behind(mirrored, monkeypatch):
    root = mirrored / 'root'
    write(root / 'raw')

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr('pyg_advcf.files.os.replace', fail)
    with pytest.raises(KeyboardInterrupt):
        Tiny(str(root), pre_transform=lambda data: data)
    monkeypatch.undo()
    assert [f for f in os.listdir(root / 'processed') if 'data' in f] == []


def test_processed_file_never_runs_code(mirrored):
    root = str(mirrored / 'root')
    Tiny(root)
    torch.save({'data': print}, mirrored / 'root' / 'processed' / 'data.pt')
    with pytest.raises(ValueError, match='is damaged or was not written by this library'):
        Tiny(root)


def test_pre_transform_and_transform(mirrored):
    data = Tiny(str(mirrored / 'root'), transform=lambda d: d,
                pre_transform=lambda d: d)[0]
    assert data[EDGE_TYPE].edge_index.size(1) == 3


def test_users_without_items(tmp_path):
    Path(tmp_path, 'x').write_text('0 1\n1\n\n3 2 2\n')
    assert read_user_lists(str(tmp_path / 'x')).tolist() == [[0, 3, 3], [1, 2, 2]]


def test_kuairec_and_amazon_book_read_their_format(tmp_path, monkeypatch):
    monkeypatch.delenv('PYG_ADVCF_MIRROR', raising=False)
    write(tmp_path / 'k' / 'raw', {**RAW, 'not_candidate.txt': '0\n3\n'})
    data = datasets.KuaiRec(str(tmp_path / 'k'))[0]
    assert data['item'].candidate_mask.tolist() == [False, True, True, False, True]
    write(tmp_path / 'bad' / 'raw', {**RAW, 'not_candidate.txt': '0\nx\n'})
    with pytest.raises(ValueError, match='not_candidate.txt. is not a list of item ids'):
        datasets.KuaiRec(str(tmp_path / 'bad'))
    write(tmp_path / 'b' / 'raw', {'train.txt': '0 1\n1 0\n', 'test.txt': '0 2\n'})
    data = datasets.AmazonBook(str(tmp_path / 'b'))[0]
    assert split_names(data) == ['test'] and data['item'].num_nodes == 3


def test_amazon_pet_reads_ratings_and_times(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.AmazonPet, 'checksums', {})
    raw = {'pet_ratio_u10_i0.train': '0\t0\t4\t100\n1\t2\t5\t200\n',
           'pet_ratio_u10_i0.test': '1\t3\t5\t300\n'}
    write(tmp_path / 'p' / 'raw', raw)
    data = datasets.AmazonPet(str(tmp_path / 'p'))[0]
    assert data[EDGE_TYPE].rating.tolist() == [4, 5] and data[EDGE_TYPE].time.tolist() == [100, 200]
    assert data['item'].num_nodes == 4
    raw['pet_ratio_u10_i0.train'] = '0\tone\t4\t100\n'
    write(tmp_path / 'q' / 'raw', raw)
    with pytest.raises(ValueError, match='is not a table of user, item, rating and time'):
        datasets.AmazonPet(str(tmp_path / 'q'))
