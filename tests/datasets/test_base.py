import functools
import hashlib
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from pyg_advcf import EDGE_TYPE, datasets, split_names
from pyg_advcf.datasets import base
from pyg_advcf.datasets.base import InteractionDataset
from pyg_advcf.datasets.checksums import CHECKSUMS, record_checksums, recorded_checksums, sha256
from pyg_advcf.datasets.download import download
from pyg_advcf.files import save_atomically
from pyg_advcf.transforms import RandomSplit

RAW = {'train.txt': '0 1 2\n1 0\n2\n', 'valid.txt': '0 3\n', 'test_ood.txt': '1 4\n2 0\n'}


class Tiny(InteractionDataset):
    name = 'tiny'
    files = {'train': 'train.txt', 'val': 'valid.txt', 'test_ood': 'test_ood.txt'}
    url = 'http://localhost:1/nothing-is-served-here'
    checksums = {file: hashlib.sha256(text.encode()).hexdigest() for file, text in RAW.items()}


class Unknown(Tiny):
    r"""Without known checksums."""
    checksums = {}


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(base, 'download', functools.partial(download, retries=0))


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


def test_corrupt_raw_file(mirrored):
    write(mirrored / 'mirror' / 'tiny' / 'raw', {'train.txt': '0 1\n1 x\n'})
    with pytest.raises(ValueError, match=r"line 2 of .* is not a list of ids \('1 x"):
        Unknown(str(mirrored / 'root'))
    # Nothing is recorded of what could not be read.
    assert not (mirrored / 'root' / 'raw' / CHECKSUMS).exists()


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


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize('form', ['archive', 'legacy', 'pickle', 'sealed'])
def test_no_file_runs_code(mirrored, form):
    root, marker = mirrored / 'root', mirrored / 'it was run'
    Unknown(root)
    files = ['processed/data.pt', 'processed/pre_transform.pt', 'processed/pre_filter.pt',
             f'raw/{CHECKSUMS}', *(f'raw/{name}' for name in RAW),
             *(f'raw/{name}.part' for name in RAW)]
    for name in files:
        content = (root / name).read_bytes() if (root / name).exists() else None
        bad = Malicious(marker)
        if form == 'sealed':
            save_atomically(bad, root / name)
        elif form == 'pickle':
            (root / name).write_bytes(pickle.dumps(bad))
        else:
            torch.save(bad, root / name, _use_new_zipfile_serialization=form == 'archive')
        for force_reload in (False, True):
            try:
                Unknown(root, force_reload=force_reload)
            except ValueError as e:
                assert name in str(e)
            assert not marker.exists(), name
        if content is None:
            (root / name).unlink()
        else:
            (root / name).write_bytes(content)
    Unknown(root)
    # Such a file would have been run.
    torch.save(Malicious(marker), mirrored / 'x.pt')
    torch.load(mirrored / 'x.pt', weights_only=False)
    assert marker.exists()


def test_no_file_of_the_base_class(mirrored):
    Tiny(mirrored / 'root', pre_transform=RandomSplit(val=0, outer=0.5))
    assert os.listdir(mirrored / 'root' / 'processed') == ['data.pt']


def test_another_pre_transform(mirrored):
    root = mirrored / 'root'

    def make(**kwargs):
        return Tiny(root, pre_transform=RandomSplit(val=0, outer=0.5, **kwargs))

    make(seed=1)
    assert 'outer' in split_names(make(seed=1)[0])
    with pytest.raises(ValueError, match=r"data.pt' was processed with the pre_transform "
                                         r"RandomSplit\(.*seed=1\), but 'pre_transform' is "
                                         r'RandomSplit\(.*seed=2\); pass the same, or force_relo'):
        make(seed=2)
    with pytest.raises(ValueError, match="but 'pre_transform' is None"):
        Tiny(root)
    assert 'outer' not in split_names(Tiny(root, force_reload=True)[0])

    def function(data):
        return data

    # The address of a function differs from process to process.
    assert ' at 0x' in repr(function) and ' at 0x' not in base._description(function)


def test_the_file_of_another_dataset(mirrored):
    class Other(Tiny):
        name = 'other'

    Tiny(mirrored / 'root')
    with pytest.raises(ValueError, match="data.pt' holds 'tiny', but not the dataset 'other'; "):
        Other(mirrored / 'root')
    save_atomically([1], mirrored / 'root' / 'processed' / 'data.pt')
    with pytest.raises(ValueError, match="holds something else, but not the dataset 'tiny'"):
        Tiny(mirrored / 'root')


@pytest.mark.parametrize('state', [{}, {'data': 3, 'slices': {}}, {'data': {'x': 1, 2: 'y'}}])
def test_well_formed_file_without_data(mirrored, state):
    Tiny(mirrored / 'root')
    save_atomically({'dataset': 'tiny', 'pre_transform': 'None', **state},
                    mirrored / 'root' / 'processed' / 'data.pt')
    with pytest.raises(ValueError, match="data.pt' holds no data .*force_reload=True"):
        Tiny(mirrored / 'root')


def test_checksums_are_recorded_where_none_is_known(mirrored):
    raw = mirrored / 'root' / 'raw'
    Tiny(mirrored / 'root')
    assert not (raw / CHECKSUMS).exists()
    Unknown(mirrored / 'root', force_reload=True)
    assert recorded_checksums(raw) == Tiny.checksums
    Unknown(mirrored / 'root', force_reload=True)
    # A later change of the file is an error, until it is fetched again or accepted.
    (raw / 'train.txt').write_text('0 1 2\n')
    with pytest.raises(ValueError, match=r"train.txt' does not have the SHA-256 \w{64} that it had "
                                         r"when it was first processed; delete it .*SHA256SUMS'"):
        Unknown(mirrored / 'root', force_reload=True)
    (raw / 'train.txt').unlink()
    Unknown(mirrored / 'root', force_reload=True)
    (raw / 'train.txt').write_text('0 1 2\n')
    record_checksums(raw, {'train.txt': sha256(raw / 'train.txt')})
    data = Unknown(mirrored / 'root', force_reload=True)[0]
    assert data[EDGE_TYPE].edge_index.size(1) == 2


def test_the_mirror_is_held_to_the_record(mirrored, monkeypatch):
    mirror = mirrored / 'mirror' / 'tiny' / 'raw'
    # By the record of this dataset.
    Unknown(mirrored / 'root')
    (mirror / 'train.txt').write_text('0 1 2\n')
    (mirrored / 'root' / 'raw' / 'train.txt').unlink()
    with pytest.raises(ValueError, match=r"mirror/tiny/raw/train.txt' does not have the SHA-256"):
        Unknown(mirrored / 'root')
    assert sorted(os.listdir(mirrored / 'root' / 'raw')) == sorted(
        [CHECKSUMS, 'valid.txt', 'test_ood.txt'])
    # By the record of the mirror.
    record_checksums(mirror, {'train.txt': Tiny.checksums['train.txt']})
    with pytest.raises(ValueError, match=r"mirror/tiny/raw/train.txt' does not have the SHA-256"):
        Unknown(mirrored / 'another')
    # The public repository, too.
    monkeypatch.delenv('PYG_ADVCF_MIRROR')
    with pytest.raises(ConnectionError, match='delete its line in .*SHA256SUMS'):
        Unknown(mirrored / 'root')


def test_damaged_record(mirrored):
    Unknown(mirrored / 'root')
    (mirrored / 'root' / 'raw' / CHECKSUMS).write_text('0123  train.txt\n')
    with pytest.raises(ValueError, match="line 1 of '.*SHA256SUMS' is not a SHA-256 and the name"):
        Unknown(mirrored / 'root', force_reload=True)


def test_raw_folder_that_cannot_be_written(mirrored, monkeypatch):
    def fail(*args):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(base, 'record_checksums', fail)
    with pytest.warns(UserWarning, match='cannot be recorded in .*Permission denied'):
        assert len(Unknown(mirrored / 'root')) == 1


@pytest.mark.parametrize('kwargs, message', [
    (dict(root=None), "'root' is None, but needs to be the name of a folder"),
    (dict(root='a\0b'), "'root' is .*, but needs to be the name of a folder"),
    (dict(root=3), "'root' is 3"),
    (dict(root=b'x'), "'root' is b'x'"),
    (dict(root=''), "'root' is ''"),
    (dict(root=__file__), "'root' is '.*test_base.py', which is not a folder"),
    (dict(transform='x'), "'transform' is 'x', but needs to be a function"),
    (dict(pre_transform=[]), r"'pre_transform' is the list \[\], but needs to be a function"),
    (dict(pre_transform=lambda data: None), "'pre_transform' returned a NoneType"),
    (dict(force_reload='no'), "'force_reload' is 'no', but needs to be True or False"),
])
def test_bad_arguments(mirrored, kwargs, message):
    with pytest.raises(ValueError, match=message):
        Tiny(**{'root': mirrored / 'root', **kwargs})
    with pytest.raises(ValueError, match="'transform' is 'x'"):
        datasets.SyntheticExposure(transform='x')
    with pytest.raises(ValueError, match="'seed' is 'x'"):
        datasets.SyntheticExposure(seed='x')


def test_pre_transform_and_transform(mirrored):
    data = Tiny(str(mirrored / 'root'), transform=lambda d: d,
                pre_transform=lambda d: d)[0]
    assert data[EDGE_TYPE].edge_index.size(1) == 3


def test_kuairec_and_amazon_book_read_their_format(tmp_path, monkeypatch):
    monkeypatch.delenv('PYG_ADVCF_MIRROR', raising=False)
    write(tmp_path / 'k' / 'raw', {**RAW, 'not_candidate.txt': '0\n3\n'})
    data = datasets.KuaiRec(str(tmp_path / 'k'))[0]
    assert data['item'].candidate_mask.tolist() == [False, True, True, False, True]
    assert recorded_checksums(tmp_path / 'k' / 'raw').keys() == {*RAW, 'not_candidate.txt'}
    for number, (text, message) in enumerate([
            ('0\nx\n', 'line 2 of .*not_candidate.txt. is not a list of ids'),
            ('0\n-1\n', 'line 2 of .*not_candidate.txt. is not a list of ids'),
            ('0 1\n', 'not_candidate.txt. is not a list of item ids with one in a line'),
            ('0\n1\n0\n', 'not_candidate.txt. holds 1 items twice'),
            ('10728\n', 'not_candidate.txt. holds the item 10728, but the catalogue has 10,728'),
            ('0\n1\n2\n3\n4\n', 'not_candidate.txt. leaves no item to rank')]):
        write(tmp_path / f'bad{number}' / 'raw', {**RAW, 'not_candidate.txt': text})
        with pytest.raises(ValueError, match=message):
            datasets.KuaiRec(str(tmp_path / f'bad{number}'))
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
