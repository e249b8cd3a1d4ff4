r"""The page "Use it in your PyG code": its loops run, and few of their lines change."""
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pyg_advcf import criteria

DOCS = Path(__file__).parents[1] / 'docs'
BUDGET = {'bpr': 6, 'infonce': 6, 'ccl': 6, 'sharpcf': 6, 'advinfonce': 12, 'accf': 15}
BASES = ('lightgcn', 'recommender_system')
VIEWS = {'apr': 10, 'sgl': 10, 'weighted': 10}  # In somebody else's model.
CASES = [(base, name, lines) for base in BASES for name, lines in {
    **BUDGET, **(VIEWS if base == 'lightgcn' else {})}.items()]


@pytest.fixture(scope='module')
def module():
    sys.path.insert(0, str(DOCS))
    try:
        import use_in_pyg
    finally:
        sys.path.pop(0)
    return use_in_pyg


def losses(source, capsys):
    r"""The losses that a loop prints on a tiny graph."""
    assert source.count('num_users=500, num_items=300') == 1
    source = source.replace('num_users=500, num_items=300', 'num_users=60, num_items=40')
    torch.manual_seed(0)
    space = {'__name__': 'loop'}
    exec(compile(source, 'loop.py', 'exec'), space)
    found = [float(v) for v in re.findall(r'loss (\S+)', capsys.readouterr().out)]
    assert len(found) == len(re.findall(r'range\((\d)\)', source)) * int(
        re.search(r'range\((\d)\)', source)[1])
    return found, space


def changed(base, name, tmp_path):
    r"""The loop with the lines of a diff changed."""
    source = (DOCS / 'drop_in' / f'{base}.py').read_text(encoding='utf-8')
    (tmp_path / f'{base}.py').write_text(source, encoding='utf-8')
    subprocess.run(['git', 'apply', str(DOCS / 'drop_in' / base / f'{name}.diff')], cwd=tmp_path,
                   check=True, env={**os.environ, 'GIT_CEILING_DIRECTORIES': str(tmp_path.parent)})
    found = (tmp_path / f'{base}.py').read_text(encoding='utf-8')
    assert found != source
    return source, found


def test_every_diff_has_a_budget(module):
    assert module.names('lightgcn') == set(module.TITLES) == {*BUDGET, *VIEWS}
    assert module.names('recommender_system') == set(BUDGET) and set(module.BASES) == set(BASES)


@pytest.mark.parametrize('base', BASES)
def test_the_loops_themselves_run(base, capsys):
    found, _ = losses((DOCS / 'drop_in' / f'{base}.py').read_text(), capsys)
    assert found[-1] < found[0]


@pytest.mark.parametrize('base, name, lines', CASES)
def test_few_lines_change(module, base, name, lines, tmp_path, capsys):
    source, found = changed(base, name, tmp_path)
    # Counted on the two files, not on what the diff makes of them.
    kept = set(source.splitlines()) & set(found.splitlines())
    added = [line for line in found.splitlines() if line not in kept]
    removed = [line for line in source.splitlines() if line not in kept]
    count = module.changed_lines(module.diff_of(base, name))
    assert max(len(added), len(removed)) <= count <= lines
    values, space = losses(found, capsys)
    assert all(map(math.isfinite, values)) and values[-1] != values[0]
    if name == 'advinfonce':
        assert all(p.grad.abs().max() > 0 for p in space['criterion'].parameters())
    if name == 'accf' and base == 'recommender_system':
        assert all(p.grad is not None for p in space['criterion'].parameters())


def test_replaced_lines_count_once(module):
    diff = '--- a\n+++ b\n@@ -1,4 +1,6 @@\n a\n-b\n-c\n+d\n+e\n+f\n g\n-h\n i\n+j\n'
    assert module.changed_lines(diff) == 3 + 1 + 1


def test_what_each_criterion_needs(module):
    rows = {}
    for line in module.needs().splitlines()[2:]:
        name, *cells = (cell.strip(' `') for cell in line.split('|')[1:-1])
        rows[name] = cells
    assert set(rows) < set(criteria.__all__) and len(rows) >= 25
    assert rows['InfoNCE'] == ['yes', '', '', 'several']
    assert rows['AdvInfoNCE'] == ['yes', 'in some modes', 'yes', 'two or more']
    assert rows['ViewInfoNCE'] == ['', 'yes', 'yes', '']
    assert rows['TrajectoryPenalty'] == ['yes', '', 'yes', '']
    pos, neg = torch.zeros(2), torch.zeros(2, 3)
    for name in ('BPR', 'BCE', 'CCL', 'DCL', 'Hinge', 'InfoL1O', 'InfoNCE'):
        assert rows[name][2] == '' and getattr(criteria, name)()(pos, neg).isfinite()
    for name, made in (('AdvInfoNCE', criteria.AdvInfoNCE(2, 3)), ('BSL', criteria.BSL()),
                       ('SupCon', criteria.SupCon()), ('AdapTau', criteria.AdapTau(2))):
        assert rows[name][2] == 'yes'
        with pytest.raises(ValueError, match="needs 'batch' for"):
            made(pos, neg)


def test_the_code_of_the_page_runs(module):
    text = (DOCS / 'drop_in' / 'page.md').read_text(encoding='utf-8')
    space = {}
    for block in re.findall(r'```python\n(.*?)```', text, re.S):
        block = block.replace('num_users=500, num_items=300', 'num_users=60, num_items=40')
        exec(compile(block, 'page.md', 'exec'), space)
    assert space['loss'].isfinite() and space['adversary_loss'].isfinite()
    page = module.page()
    assert '{{' not in page and page.count('```diff') == len(CASES)
