r"""Damaged files: a flipped byte, a cut, other contents. The same content comes back, or an error.

The files are a checkpoint, everything in the folder of processed data, and raw lists of ids.
"""
import hashlib
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch
from hypothesis import strategies as st

from pyg_advcf import EDGE_TYPE, MF, InteractionLoader, Step, fit, methods
from pyg_advcf.datasets.base import InteractionDataset

from .call import Call, becomes, corrupted
from .methods_campaign import _data

RAW = {'train.txt': '0 1 2\n1 0\n2\n', 'valid.txt': '0 3\n', 'test_ood.txt': '1 4\n2 0\n'}
EPOCHS = 2


class Tiny(InteractionDataset):
    name = 'tiny'
    files = {'train': 'train.txt', 'val': 'valid.txt', 'test_ood': 'test_ood.txt'}
    url = 'http://localhost:1/nothing-is-served-here'
    checksums = {file: hashlib.sha256(text.encode()).hexdigest() for file, text in RAW.items()}


class Unknown(Tiny):
    r"""The same, with files whose checksums nobody knows."""
    checksums = {}


def fresh():
    return Path(tempfile.mkdtemp(prefix='pyg_advcf_fuzz_'))


def write(root, files):
    (root / 'raw').mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (root / 'raw' / file).write_text(text, encoding='utf-8')


@cache
def dataset():
    r"""A processed dataset: its folder, and what it holds."""
    root = fresh()
    write(root, RAW)
    return root, Tiny(str(root))[0].to_dict()


def train(path):
    torch.manual_seed(0)
    loader = InteractionLoader(_data(), batch_size=16)
    step = Step(methods.bpr(MF(_data(), dim=3)), lr=1e-2)
    history = fit(step, loader, EPOCHS, checkpoint=path, resume=True, progress=False)
    return {'step': step.state_dict(), 'loader': loader.state_dict(), 'epochs': history.epochs,
            'best': history.best_epoch, 'rng': torch.get_rng_state()}


@cache
def checkpoint():
    path = fresh() / 'checkpoint.pt'
    train(path)
    return path, train(path)


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and a == b


def damage(path, how, where, value):
    content = bytearray(path.read_bytes())
    place = int(where * (len(content) - 1))
    if how == 'flip':
        content[place] ^= value
    elif how == 'cut':
        del content[place:]
    elif how == 'zeros':
        content[place:place + 64] = bytes(len(content[place:place + 64]))
    elif how == 'insert':
        content[place:place] = bytes([value])
    path.write_bytes(bytes(content))


DAMAGES = st.sampled_from(('flip', 'flip', 'flip', 'flip', 'flip', 'cut', 'zeros', 'insert'))


@st.composite
def _flips(draw) -> Call:
    how, where = draw(DAMAGES), draw(st.floats(0, 1, exclude_max=True))
    value = draw(st.integers(1, 255))
    if draw(st.booleans()):
        source, want = checkpoint()
        file = source.name

        def do():
            folder = fresh()
            try:
                shutil.copy(source, folder)
                damage(folder / file, how, where, value)
                return train(folder / file)
            finally:
                shutil.rmtree(folder)
    else:
        source, want = dataset()
        processed = sorted(p.name for p in (source / 'processed').iterdir())
        file = processed[draw(st.integers(0, 7)) % len(processed)]

        def do():
            folder = fresh()
            try:
                shutil.copytree(source, folder, dirs_exist_ok=True)
                damage(folder / 'processed' / file, how, where, value)
                return Tiny(str(folder))[0].to_dict()
            finally:
                shutil.rmtree(folder)

    def problem(found):
        return None if equal(want, found) else 'other content, without a word'

    return Call(f"{'fit(resume=)' if file.startswith('checkpoint') else 'dataset'}: {file}", do,
                problem, how, refused=None)


@st.composite
def _raw(draw) -> Call:
    users = draw(st.integers(1, 5))
    lists = [draw(st.lists(st.integers(0, 30), unique=True, max_size=5)) for _ in range(users)]
    lists[0] = lists[0] or [0]
    lines = [' '.join(map(str, [u, *items])) for u, items in enumerate(lists)]
    arguments = {'text': '\n'.join(lines) + '\n'}
    first = lines[0]
    corruptions = [becomes('text', label, '\n'.join([line, *lines[1:]])) for label, line in (
        ('an underscore', first + ' 1_1'), ('a plus', first + ' +11'), ('a minus', first + ' -1'),
        ('a fraction', first + ' 1.0'), ('a word', first + ' x'), ('a comma', first + ' 1,2'),
        ('other digits', first + ' \u0661'), ('a full-width digit', first + ' \uff11'),
        ('beyond 64 bits', first + f' {2**70}'), ('a pair twice', first + ' ' + first.split()[1]),
        ('a null', first + ' \0'), ('a hexadecimal number', first + ' 0x10'),
        ('an exponent', first + ' 1e3'))]
    corruptions += [becomes('text', 'empty', ''), becomes('text', 'blank', '\n\n'),
                    becomes('text', 'users alone', '0\n1\n')]
    corruptions += [becomes('text', 'a byte order mark', '\ufeff' + arguments['text'], None),
                    becomes('text', 'Windows lines', arguments['text'].replace('\n', '\r\n'), None),
                    becomes('text', 'a huge id', first + f' {2**40}\n', None)]

    def call(given):
        folder = fresh()
        try:
            write(folder, {**RAW, 'valid.txt': '0 31\n', 'test_ood.txt': '0 32\n',
                           'train.txt': given['text']})
            os.environ.pop('PYG_ADVCF_MIRROR', None)
            return Unknown(str(folder))[0]
        finally:
            shutil.rmtree(folder)

    def problem(data):
        want = sorted((u, i) for u, items in enumerate(lists) for i in items)
        have = sorted(map(tuple, data[EDGE_TYPE].edge_index.t().tolist()))
        return None if have == want else f'{have} in place of {want}'

    found = corrupted('raw file', call, arguments, corruptions, problem)
    if 'huge id' in found.wrong:
        found.check = lambda data: None
    return found


CALLS = st.one_of(_flips(), _flips(), _flips(), _raw())
