r"""The page "Use it in your PyG code": loops of PyG's examples, and what changes in them."""
import inspect
import itertools
from pathlib import Path
from typing import get_args

from torch import nn

from pyg_advcf import Batch, Embeddings, criteria
from pyg_advcf.criteria import Criterion

HERE = Path(__file__).parent
LOOPS = HERE / 'drop_in'
PAGE = HERE / 'use_in_pyg.md'
BASES = {'lightgcn': 'the whole graph, as `lightgcn.py`',
         'recommender_system': 'sampled and temporal, as `recommender_system.py`'}
TITLES = {'bpr': 'BPR', 'infonce': 'InfoNCE', 'ccl': 'CCL', 'sharpcf': "SharpCF's penalty",
          'advinfonce': 'AdvInfoNCE with its adversary', 'accf': "ACCF's views and weights",
          'apr': 'An adversarial view (APR)', 'sgl': 'Views without some edges (SGL)',
          'weighted': 'Weights of instances'}
# Of no loss by themselves.
_PARTS = {'Criterion', 'EmbeddingCriterion', 'PopularityEmbedding', 'WeightNetwork'}


def changed_lines(diff: str) -> int:
    r"""Lines that a unified diff changes: those that are replaced count once."""
    lines = [line[:1] for line in diff.splitlines() if not line.startswith(('---', '+++', '@@'))]
    blocks = (list(block) for kept, block in itertools.groupby(lines, lambda mark: mark == ' ')
              if not kept)
    return sum(max(block.count('-'), block.count('+')) for block in blocks)


def names(base: str) -> set[str]:
    return {path.stem for path in (LOOPS / base).glob('*.diff')}


def diff_of(base: str, name: str) -> str:
    return (LOOPS / base / f'{name}.diff').read_text(encoding='utf-8')


def _takes(cls: type, kind: type) -> bool:
    return any(p.annotation is kind or kind in get_args(p.annotation)
               for p in inspect.signature(cls.forward).parameters.values())


def needs() -> str:
    r"""A Markdown table: what each criterion takes, from its signature and its attributes."""
    lines = ['| criterion | scores | embeddings | ids of the data | negatives of each positive |',
             '|---|---|---|---|---|']
    for name in criteria.__all__:
        cls = getattr(criteria, name)
        if not inspect.isclass(cls) or not issubclass(cls, nn.Module) or name in _PARTS:
            continue
        parameters = inspect.signature(cls.forward).parameters
        on_scores = 'pos' in parameters
        # Criteria on scores take a batch whether they need it or not, and say so.
        plain = issubclass(cls, Criterion) and on_scores
        ids = cls.needs_batch if plain else _takes(cls, Batch) or {'id', 'ids', 'user'} & set(
            parameters)
        embeddings = '' if on_scores else 'yes'
        if on_scores and _takes(cls, Embeddings):
            embeddings = 'in some modes' if plain else 'yes'
        count = ''
        if plain:
            count = {'one': 'one', 'many': 'several', 'none': 'those of the batch'}[cls.negatives]
            if cls.adversary_parameters is not Criterion.adversary_parameters:
                count = 'two or more'  # One leaves an adversary nothing to choose.
        elif 'neg' in parameters:
            count = 'as the criterion in it'
        lines.append(f"| `{name}` | {'yes' if on_scores else ''} | {embeddings} | "
                     f"{'yes' if ids else ''} | {count} |")
    return '\n'.join(lines)


def page() -> str:
    counts = ['| | ' + ' | '.join(BASES.values()) + ' |', '|---|---|---|']
    diffs = []
    for name, title in TITLES.items():
        counts.append(f'| {title} | ' + ' | '.join(
            str(changed_lines(diff_of(base, name))) if name in names(base) else ''
            for base in BASES) + ' |')
    for base, what in BASES.items():
        source = (LOOPS / f'{base}.py').read_text(encoding='utf-8')
        diffs.append(f'### {what[0].upper()}{what[1:]}\n\n```python\n{source}```')
        diffs += [f'#### {title}\n\n```diff\n{diff_of(base, name)}```'
                  for name, title in TITLES.items() if name in names(base)]
    text = (LOOPS / 'page.md').read_text(encoding='utf-8')
    for mark, part in (('needs', needs()), ('counts', '\n'.join(counts)),
                       ('diffs', '\n\n'.join(diffs))):
        text = text.replace('{{' + mark + '}}', part)
    return text


def write() -> None:
    PAGE.write_text(page(), encoding='utf-8')
