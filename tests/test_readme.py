r"""The README is true: its table is generated, and its loop runs."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_table_is_up_to_date():
    sys.path.insert(0, str(ROOT / 'docs'))
    try:
        from tables import README, readme_with_table
    finally:
        sys.path.pop(0)
    assert README.read_text(encoding='utf-8') == readme_with_table(), 'run python docs/tables.py'


def test_python_blocks_run(capsys):
    blocks = re.findall(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.S)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, 'README.md', 'exec'), {})
    assert 'recall@20' in capsys.readouterr().out


def test_ci_runs_the_test_command_of_the_readme():
    readme, ci = ((ROOT / f).read_text() for f in ('README.md', '.ci/run'))
    command = 'pip install -c constraints.txt -e ".[test]" && pytest'
    assert command in readme and command in ci
