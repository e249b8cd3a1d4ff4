r"""What the benchmarks search is what the methods take."""
import inspect
import sys
from pathlib import Path

import pytest

from pyg_advcf.registry import BACKBONES, METHODS

BENCHMARKS = Path(__file__).parents[1] / 'benchmarks'


@pytest.fixture
def unbiased(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ('unbiased', 'runs'):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import unbiased
    return unbiased


@pytest.mark.parametrize('dataset', ['coat', 'yahoo_r3'])
def test_every_search_has_its_published_setting_and_as_many_others(unbiased, dataset):
    for method, space in unbiased.SPACES.items():
        backbone = BACKBONES[method if method in unbiased.OWN_BACKBONE else 'lightgcn']
        assert METHODS[method].supports(backbone)
        takes = [*inspect.signature(METHODS[method]).parameters, 'lr', 'adversary_lr',
                 *(f'backbone.{name}' for name in inspect.signature(backbone).parameters)]
        assert set(space) <= set(takes), method
        assert set(unbiased.FIRST.get(method, {})) <= set(space), method
        tried = unbiased.settings(method, dataset, 8)
        assert len(tried) == 8 and all(v is not None for s in tried for v in s.values()), method
        assert all(a != b for i, a in enumerate(tried) for b in tried[:i]), method
        assert tried == unbiased.settings(method, dataset, 8)
        assert tried[:3] == unbiased.settings(method, dataset, 3)


def test_neighbours_are_one_step_away_and_new(unbiased):
    best = {'temperature': 0.28, 'lr': 5e-4}
    tried = [best, {'temperature': 0.2, 'lr': 5e-4}]
    assert list(unbiased.neighbours('infonce', 'yahoo_r3', best, tried)) == [
        {'temperature': 0.4, 'lr': 5e-4}, {'temperature': 0.28, 'lr': 3e-4},
        {'temperature': 0.28, 'lr': 1e-3}]
    # At the edge of the grid there is one, and off the grid the next values.
    edge = list(unbiased.neighbours('infonce', 'coat', {'temperature': 3., 'lr': 1e-3}, []))
    assert edge == [{'temperature': 2., 'lr': 1e-3}, {'temperature': 3., 'lr': 5e-4}]
    off = next(unbiased.neighbours('xsimgcl', 'coat', {'temperature': .3, 'weight': .2,
                                                       'epsilon': .2, 'lr': 1e-3}, []))
    assert off == {'temperature': .28, 'weight': .2, 'epsilon': .2, 'lr': 1e-3}
    found = [('a', s, {'valid': {'recall@20': v}}) for s, v in ((1, .2), (2, .3), (3, .3))]
    assert unbiased.best_of([*found, ('b', 4, {'valid': {'recall@20': 1.}})], 'a') == 2


def test_a_run_is_a_call_of_the_example_and_is_not_repeated(unbiased, tmp_path, monkeypatch):
    import runs
    calls = []

    class Example:
        @staticmethod
        def main(command):
            calls.append(command)
            Path(command[command.index('--json') + 1]).write_text('[{"seed": 0}]')

    monkeypatch.setitem(sys.modules, 'own_data', Example)
    found = [runs.run('own_data', ['--epochs', epochs], tmp_path, 'd') for epochs in (1, 1, 2)]
    assert found == [[{'seed': 0}]] * 3 and len(calls) == 2
    assert '--data-dir' in calls[0] and calls[0][:4] == ['--threads', '1', '--epochs', '1']
    monkeypatch.setattr(Example, 'main', lambda command: 1 / 0)
    with pytest.raises(RuntimeError, match='own_data.py --threads 1 --epochs 3.*division'):
        runs.run('own_data', ['--epochs', 3], tmp_path, 'd')
    assert not list(tmp_path.glob('*.json.part'))
