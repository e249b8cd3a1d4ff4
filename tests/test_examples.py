r"""Every example runs as a user would run it, with few epochs."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / 'examples'


def run(name, *args, cwd, **env):
    done = subprocess.run([sys.executable, EXAMPLES / name, *map(str, args)], cwd=cwd, text=True,
                          capture_output=True, env={**os.environ, 'MPLBACKEND': 'Agg', **env})
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_own_loop(tmp_path):
    out = run('own_loop.py', '--epochs', 3, cwd=tmp_path)
    assert 'test_iid' in out and 'test_ood' in out and 'recall@20' in out


def test_own_data(tmp_path):
    out = run('own_data.py', '--epochs', 3, cwd=tmp_path)
    assert 'customer-0' in out and 'product-' in out and 'ndcg@10' in out


def test_lightgcn_advinfonce(tmp_path):
    out = run('lightgcn_advinfonce.py', '--epochs', 5, '--json', 'out/r.json', cwd=tmp_path)
    results = json.loads((tmp_path / 'out' / 'r.json').read_text())
    assert [r['method'] for r in results] == ['bpr', 'infonce', 'advinfonce']
    for r in results:
        assert {'dataset', 'backbone', 'method', 'seed', 'best_epoch', 'epochs', 'valid', 'test',
                'train_seconds_per_epoch'} <= set(r)
        assert set(r['test']) == {'test_iid', 'test_ood', 'test_iid_official', 'test_ood_official'}
        assert set(r['test']['test_ood']) == {'recall@20', 'ndcg@20', 'hr@20'}
    assert 'recall@20' in out and (tmp_path / 'outputs' / 'hardness.png').stat().st_size > 5000


def test_lightgcn_advinfonce_on_coat(mirror, tmp_path):
    out = run('lightgcn_advinfonce.py', '--dataset', 'coat', '--data-dir', 'd', '--seeds', 2,
              '--backbone', 'mf', '--method', 'bce', 'bpr', 'infonce', 'advinfonce', 'uniform',
              '--epochs', 5, '--json', 'coat.json', cwd=tmp_path, PYG_ADVCF_MIRROR=str(mirror))
    results = json.loads((tmp_path / 'coat.json').read_text())
    assert [(r['method'], r['seed']) for r in results] == [
        (m, s) for s in (0, 1) for m in ('bce', 'bpr', 'infonce', 'advinfonce', 'uniform')]
    assert all(set(r['test']) == {'test_ood', 'test_ood_official'} for r in results)
    assert 'test_ood_official' in out


def test_methods_and_backbones_by_name_with_arguments(tmp_path):
    run('lightgcn_advinfonce.py', '--backbone', 'vgae', '--method', 'advinfonce', 'directau',
        'sgl', '--users', 0.3, '--epochs', 5, '--set', 'view=node_drop', 'gamma=2.',
        'backbone.beta=0.1', '--json', 'r.json', cwd=tmp_path)
    results = json.loads((tmp_path / 'r.json').read_text())
    assert [r['method'] for r in results] == ['advinfonce', 'directau', 'sgl']
    assert all(r['backbone'] == 'vgae' and r['options'] == {
        'view': 'node_drop', 'gamma': 2., 'backbone.beta': 0.1} for r in results)
    assert 'adversary' in results[0]
    run('lightgcn_advinfonce.py', '--method', 'sgl', '--users', 0.3, '--epochs', 5, '--set',
        'view=random_walk', '--json', 'other.json', cwd=tmp_path)
    run('lightgcn_advinfonce.py', '--method', 'sgl', '--users', 0.3, '--epochs', 5,
        '--json', 'default.json', cwd=tmp_path)
    other, default = (json.loads((tmp_path / f'{name}.json').read_text())[0]['test']
                      for name in ('other', 'default'))
    assert other != default  # What is set does arrive.


@pytest.mark.parametrize('backbone', ['mf', 'lightgcn'])
def test_mf_sharpcf(tmp_path, backbone):
    out = run('mf_sharpcf.py', '--epochs', 6, '--start', 2, '--lag', 1, '--dim', 8, '--backbone',
              backbone, '--first-seed', 3, '--json', 'r.json', '--per-user', 'users',
              cwd=tmp_path)
    results = json.loads((tmp_path / 'r.json').read_text())
    assert [r['method'] for r in results] == ['bpr', 'apr', 'sharpcf', 'sam']
    for r in results:
        assert {'recall@10', 'ndcg@10', 'recall@20', 'ndcg@20'} <= set(r['test']['test_ood'])
        assert r['sharpness'] > 0 and r['settings']['start'] == 2
        assert '[0, 100)' in r['degree']['test_ood']
    assert len({r['valid']['recall@20'] for r in results}) > 1
    assert len(list((tmp_path / 'users').iterdir())) == 8
    assert 'sharpness of seed 3: bpr' in out
    assert (tmp_path / 'outputs' / 'landscape.png').stat().st_size > 5000


@pytest.mark.parametrize('args, message', [
    (['--method', 'advinfo'], "'method' is 'advinfo', which is not known. Did you mean"),
    (['--dataset', 'coats'], "'dataset' is 'coats', which is not known. Did you mean 'coat'"),
    (['--backbone', 'lightgnc'], "'backbone' is 'lightgnc', which is not known."),
    (['--method', 'sgl', '--set', 'rati=0.1'], "'set' is 'rati', which is not known. Did you mean "
                                               "'ratio'"),
    (['--method', 'sgl', '--set', 'ratio'], "--set has 'ratio', but needs the form name=value"),
    (['--set', 'backbone.rank=3'], "'set' is 'backbone.rank', which is not known."),
    (['--method', 'bpr', 'sgl', '--backbone', 'mf'],
     "'method' is 'sgl', which does not run over the backbone 'mf'; it does over: dccf, "),
])
def test_unknown_names_are_told_before_any_work(tmp_path, args, message):
    done = subprocess.run([sys.executable, EXAMPLES / 'lightgcn_advinfonce.py', *args],
                          cwd=tmp_path, text=True, capture_output=True)
    assert done.returncode != 0 and message in done.stderr
    assert 'best epoch' not in done.stdout


def test_lightgcn_accf(tmp_path):
    out = run('lightgcn_accf.py', '--epochs', 5, '--users', 0.3, '--noise', 0, 0.2, '--curves',
              '--json', 'r.json', cwd=tmp_path)
    results = json.loads((tmp_path / 'r.json').read_text())
    assert [(r['noise'], r['method']) for r in results] == [
        (noise, m) for noise in (0., 0.2) for m in ('lightgcn', 'xsimgcl', 'accf')]
    for r in results:
        assert set(r['test']['test_ood']) == {f'{m}@10' for m in (
            'precision', 'recall', 'map', 'ndcg')}
        assert ('weights' in r) == (r['method'] == 'accf')
    assert len({r['valid']['ndcg@10'] for r in results}) > 3
    assert 'of_injected' in results[-1]['weights'] and 'weight_loss' in results[-1]['curves']
    assert '20% of the training interactions injected' in out
    assert (tmp_path / 'outputs' / 'noise.png').stat().st_size > 5000


def test_lightgcn_accf_parts_and_cold_users(tmp_path):
    sys.path.insert(0, str(EXAMPLES))
    try:
        from lightgcn_accf import ABLATIONS
    finally:
        sys.path.remove(str(EXAMPLES))
    run('lightgcn_accf.py', '--epochs', 1, '--users', 0.3, '--noise', 0, '--cold-start',
        '--method', 'lightgcn', 'accf', '--ablation', *ABLATIONS, '--json', 'r.json', cwd=tmp_path)
    results = json.loads((tmp_path / 'r.json').read_text())
    assert [r['method'] for r in results] == ['lightgcn', 'accf'] + [
        f'accf:{v}' for v in ABLATIONS[1:]]
    # Each part that is taken away changes something.
    assert len({r['valid']['ndcg@10'] for r in results}) > len(results) // 2
    for r in results:
        assert set(r['groups']) == {'cold', 'warm'} and 'ndcg@10' in r['groups']['cold']
