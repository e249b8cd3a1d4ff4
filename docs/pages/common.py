r"""What the generated pages share: records, tables in Markdown, templates, curves."""
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pyg_advcf.metrics import interval

HERE = Path(__file__).parents[1]
RESULTS = HERE.parent / 'benchmarks' / 'results'
TEMPLATES, PAGES = HERE / 'results_templates', HERE / 'results'
NAMES = dict(pd.read_csv(TEMPLATES / 'names.csv', comment='#').to_numpy())


def load(name: str) -> Any:
    return json.loads((RESULTS / f'{name}.json').read_text())


def published(dataset: str, backbone: str, source: str = 'published') -> pd.DataFrame:
    r"""Recall@20 and NDCG@20 as others report them, by method."""
    table = pd.read_csv(TEMPLATES / 'published.csv', comment='#').set_index('method')
    return table[(table.dataset == dataset) & (table.backbone == backbone)
                 & (table.source == source)][['recall@20', 'ndcg@20']]


def grouped(records: list[dict]) -> dict[str, list[dict]]:
    r"""The records by method, in the order in which they first occur."""
    return {method: [r for r in records if r['method'] == method]
            for method in dict.fromkeys(r['method'] for r in records)}


def named(groups: dict[str, Any]) -> dict[str, Any]:
    r"""The groups of methods, in the order of the names."""
    return {method: groups[method] for method in NAMES if method in groups}


def setting(values: dict[str, Any]) -> str:
    return ', '.join(f'{key} {value}' if isinstance(value, str) else f'{key} {value:g}'
                     for key, value in values.items())


def tried(method: str, values: dict[str, Any], chosen: bool) -> dict[str, str]:
    r"""The first columns of a table of settings."""
    mark = '**' if chosen else ''
    return {'method': f'{mark}{NAMES[method]}{mark}', 'setting': setting(values)}


def markdown(rows: list[dict]) -> str:
    r"""A table of cells by column; a name and its cells may span several columns by ``|``."""
    head, *lines = ('| ' + ' | '.join(map(str, line)) + ' |'
                    for line in (rows[0], *(row.values() for row in rows)))
    return '\n'.join([head, '|' + '---|' * (head.count('|') - 1), *lines])


def fill(template: str, **parts: str) -> None:
    text = (TEMPLATES / template).read_text(encoding='utf-8')
    for name, part in parts.items():
        text = text.replace('{{' + name + '}}', part)
    assert '{{' not in text, 'a part of the page is missing'
    (PAGES / template).write_text(text, encoding='utf-8')


def save(fig: Figure, file: str) -> None:
    fig.axes[0].legend(fontsize='small')
    fig.savefig(PAGES / file, dpi=110)


def plot_curves(records: list[dict], keys: dict[str, str], file: str) -> None:
    r"""Learning curves at equal epochs: mean over seeds and its 95 % interval."""
    fig = Figure(figsize=(4.2 * len(keys), 3.4), layout='constrained')
    axes = fig.subplots(1, len(keys))
    for method, runs in named(grouped(records)).items():
        length = min(len(r['curves']['epoch']) for r in runs)
        epoch = np.array(runs[0]['curves']['epoch'][:length]) + 1
        for ax, (key, title) in zip(axes, keys.items()):
            values = np.array([r['curves'][key][:length] for r in runs])
            mean, half = np.array([interval(column) for column in values.T]).T
            line, = ax.plot(epoch, mean, label=NAMES[method])
            ax.fill_between(epoch, mean - half, mean + half, alpha=0.2, color=line.get_color())
            ax.axvline(np.median([r['best_epoch'] + 1 for r in runs]), color=line.get_color(),
                       linestyle=':', linewidth=1)
            ax.set(title=title, xlabel='epoch')
    save(fig, file)
