r"""The README is true: its table is generated, its commands are those of CI, and its code runs."""
import re
import sys
from pathlib import Path

import pyg_advcf
from pyg_advcf.registry import BACKBONES, BASELINES, CRITERIA, DATASETS, METHODS

ROOT = Path(__file__).parents[1]


def tables():
    sys.path.insert(0, str(ROOT / 'docs'))
    try:
        import tables
    finally:
        sys.path.pop(0)
    return tables


def test_table_is_up_to_date():
    found = tables()
    assert found.README.read_text(encoding='utf-8') == found.readme_with_table(), (
        'run python docs/tables.py')


def test_table_names_everything_where_it_is_found():
    lines = tables().what_exists().splitlines()[2:]
    assert len(lines) == sum(map(len, (BACKBONES, BASELINES, CRITERIA, DATASETS, METHODS)))
    for line in lines:
        package, name = line.split(' | ')[2].strip('`').split('.')
        assert hasattr(getattr(pyg_advcf, package), name), line
        assert len(line.split(' | ')[3]) > 20, line


def test_methods_that_a_backbone_does_not_support_are_marked():
    lines = tables().supported().splitlines()
    backbones = [cell.strip(' `') for cell in lines[0].split('|')[3:-1]]
    rows = {}
    for line in lines[2:]:
        name, step, *cells = (cell.strip(' `') for cell in line.split('|')[1:-1])
        rows[name] = step, dict(zip(backbones, cells))
    assert backbones == list(BACKBONES) and sorted(rows) == sorted(METHODS)
    assert rows['bpr'] == ('Step', dict.fromkeys(backbones, 'yes'))
    assert rows['advinfonce'][0] == 'MinMaxStep' and rows['uniform'][0] == 'Step'
    assert [b for b in backbones if rows['dccf'][1][b] == 'yes'] == ['dccf']
    assert rows['sgl'][1]['mf'] == '-' and rows['sgl'][1]['lightgcn'] == 'yes'


def test_python_blocks_run(capsys):
    blocks = re.findall(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.S)
    assert len(blocks) == 2
    spaces = [{}, {}]
    for block, space in zip(blocks, spaces):
        exec(compile(block, 'README.md', 'exec'), space)
        assert 'recall@20' in capsys.readouterr().out
    # The adversary does something: hardness is no longer uniform.
    assert any(float(p.grad.abs().max()) > 0 for p in spaces[0]['criterion'].parameters())
    kl = [r['kl_uniform_p'] for r in spaces[1]['history'].epochs if 'kl_uniform_p' in r]
    assert len(kl) == 4 and kl == sorted(kl) and kl[-1] > 1e-2
    assert spaces[1]['items'].shape == (3, 10)


def test_ci_runs_the_test_command_of_the_readme():
    readme, ci = ((ROOT / f).read_text() for f in ('README.md', '.ci/run'))
    command = 'pip install -c constraints.txt -e ".[test]" && pytest'
    assert command in readme and command in ci
