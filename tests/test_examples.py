r"""Every example runs as a user would run it, with few epochs."""
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / 'examples'
NAMES = ('lightgcn_accf.py', 'lightgcn_advinfonce.py', 'mf_sharpcf.py', 'own_data.py',
         'own_loop.py')
IN_PYG = ('pyg/bipartite_sage.py', 'pyg/hetero_link_pred.py', 'pyg/lightgcn.py',
          'pyg/recommender_system.py')  # Written anew in the style of PyG's examples.
FIGURE = r'\d+\.\d{4}'


def run(name, *args, cwd, **env):
    done = subprocess.run([sys.executable, EXAMPLES / name, *map(str, args)], cwd=cwd, text=True,
                          capture_output=True, env={**os.environ, 'MPLBACKEND': 'Agg', **env})
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def ends(monkeypatch, tmp_path):
    r"""The exit status of a script that ends by itself; run here, which spares the imports."""
    def call(name, *args):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, args)])
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as exit:
            runpy.run_path(str(EXAMPLES / name))
        assert list(tmp_path.iterdir()) == []
        return exit.value.code

    return call


def is_png(path):
    return path.stat().st_size > 5000 and path.read_bytes().startswith(b'\x89PNG')


def rows_of(out, names, figures):
    r"""The row of each name in a table: so many figures, and nothing is missing."""
    rows = {name: re.findall(rf'^.*\b{name} +({FIGURE}.*)$', out, re.M) for name in names}
    assert all(len(values.split()) == figures and 'NaN' not in values
               for found in rows.values() for values in found)
    return rows


def test_every_example_is_tested():
    found = (path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob('*.py'))
    assert sorted(found) == sorted((*NAMES, *IN_PYG))


@pytest.mark.parametrize('name', (*NAMES, *IN_PYG))
def test_example_is_a_short_script_on_the_public_interface(name):
    source = (EXAMPLES / name).read_text()
    assert len(source.splitlines()) < (90 if name in IN_PYG else 101)
    assert not re.search(r'pyg_advcf\._|import _|^from common|^import common', source, re.M)
    assert '__main__' not in source


@pytest.mark.parametrize('name', (*NAMES, *IN_PYG))
def test_help_lists_exactly_what_is_accepted(ends, capsys, name):
    assert ends(name, '--help') == 0
    listed = set(re.findall(r'^  (?:-h, )?(--[\w-]+)', capsys.readouterr().out, re.M))
    accepted = set(re.findall(r"add_argument\('(--[\w-]+)'", (EXAMPLES / name).read_text()))
    assert listed == accepted | {'--help'} and '--epochs' in accepted


@pytest.mark.parametrize('name, args, message', [
    *((name, ['--epoch', 3], 'unrecognized arguments: --epoch 3') for name in NAMES),
    *((name, ['--epochs', 'x'], 'argument --epochs: invalid int value') for name in NAMES),
    *((name, ['--epochs', 0], 'argument --epochs: 0 is too low') for name in (*NAMES, *IN_PYG)),
    *((name, ['--dataset', 'coats'], 'argument --dataset: invalid choice') for name in NAMES[:3]),
    *((name, ['--seeds', 0], 'argument --seeds: 0 is too low') for name in NAMES[:3]),
    *((name, ['--lr', 'nan'], 'argument --lr: nan is too low') for name in NAMES[:3]),
    ('lightgcn_advinfonce.py', ['--hardness', 'embedd'], 'argument --hardness: invalid choice'),
    ('lightgcn_advinfonce.py', ['--num-neg', -1], 'argument --num-neg: -1 is too low'),
    ('lightgcn_advinfonce.py', ['--sampler', 'item'], 'argument --sampler: invalid choice'),
    ('lightgcn_accf.py', ['--weighting', 'both'], 'argument --weighting: invalid choice'),
    ('lightgcn_accf.py', ['--noise', 0.1, -0.1], 'argument --noise: -0.1 is too low'),
    ('mf_sharpcf.py', ['--norm', 'column'], 'argument --norm: invalid choice'),
    ('mf_sharpcf.py', ['--warmup-epochs', 120], 'argument --warmup-epochs: needs to be below'),
])
def test_wrong_arguments_are_errors_before_any_work(ends, capsys, name, args, message):
    assert ends(name, *args) == 2
    out, err = capsys.readouterr()
    assert f'{Path(name).name}: error: ' in err and message in err and out == ''


def test_own_loop(tmp_path):
    out = run('own_loop.py', '--epochs', 3, cwd=tmp_path)
    assert 'test_iid' in out and 'test_ood' in out and 'recall@20' in out


def test_own_data(tmp_path):
    out = run('own_data.py', '--epochs', 3, cwd=tmp_path)
    assert 'customer-0' in out and 'product-' in out and 'ndcg@10' in out


@pytest.mark.parametrize('name', IN_PYG)
def test_in_pyg(tmp_path, name):
    out = run(name, '--epochs', 1, cwd=tmp_path)
    recall, = re.findall(r"^test(?:_iid)? {'recall@20': (\S+),", out, re.M)
    assert 0. < float(recall) < 1.


def test_lightgcn_advinfonce(tmp_path):
    out = run('lightgcn_advinfonce.py', '--epochs', 5, '--adversary-lr', 0.1, '--interval', 2,
              cwd=tmp_path)
    rows = rows_of(out, ('BPR', 'InfoNCE', 'AdvInfoNCE'), figures=4)
    assert all(len(found) == 1 for found in rows.values())
    assert len({found[0] for found in rows.values()}) == 3
    assert all(word in out for word in ('recall@20', 'ndcg@20', 'test_iid', 'test_ood'))
    kl, = re.findall(rf'^AdvInfoNCE, seed 0: KL\(P0\|\|P\) ({FIGURE}), down-weighted', out, re.M)
    assert float(kl) > 0.01  # Of initial hardness it is 0.0001: the adversary is trained.
    assert is_png(tmp_path / 'outputs' / 'hardness.png')


def test_lightgcn_advinfonce_on_coat(mirror, tmp_path):
    args = ('--dataset', 'coat', '--sampler', 'user', '--epochs', 5, '--dim', 8)
    out = run('lightgcn_advinfonce.py', *args, '--seeds', 2, cwd=tmp_path,
              PYG_ADVCF_MIRROR=str(mirror))
    rows_of(out, ('BPR', 'InfoNCE', 'AdvInfoNCE'), figures=4)  # Mean and standard deviation.
    assert 'test_ood' in out and 'test_iid' not in out and 'std' in out
    # Which negatives are false is not known here.
    assert len(re.findall(rf'^AdvInfoNCE, seed \d: KL\(P0\|\|P\) {FIGURE}$', out, re.M)) == 2
    for hardness in ('uniform', 'mlp'):  # Without an adversary, and with another one.
        run('lightgcn_advinfonce.py', *args, '--hardness', hardness, cwd=tmp_path,
            PYG_ADVCF_MIRROR=str(mirror))


def test_mf_sharpcf(tmp_path):
    out = run('mf_sharpcf.py', '--epochs', 6, '--warmup-epochs', 2, '--lag', 1, '--dim', 8,
              cwd=tmp_path)
    names = ('BPR', 'APR', 'SharpCF', 'SAM')
    rows = rows_of(out, names, figures=6)
    assert all(len(rows[name]) == 1 for name in names)
    assert len({rows[name][0] for name in names}) == 4
    assert all(word in out for word in ('test_ood recall@20', 'sharpness', 's/epoch'))
    assert is_png(tmp_path / 'outputs' / 'landscape.png')


@pytest.mark.parametrize('weighting', ['none', 'joint', 'bilevel'])
def test_lightgcn_accf(tmp_path, weighting):
    out = run('lightgcn_accf.py', '--epochs', 3, '--noise', 0, 0.2, '--dim', 8, '--weighting',
              weighting, cwd=tmp_path)
    names = ('LightGCN', 'XSimGCL', 'ACCF')
    rows = rows_of(out, names, figures=4)
    assert all(len(rows[name]) == 2 for name in names)  # One for each test set.
    assert len({rows[name][0] for name in names}) == 3
    assert all(word in out for word in ('recall@10', 'ndcg@10', 'test_iid', 'test_ood'))
    assert len(re.findall('mean weight of false interactions', out)) == (weighting != 'none')
    assert is_png(tmp_path / 'outputs' / 'noise.png')
