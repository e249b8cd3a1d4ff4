r"""What the generated pages share: records, cells of tables, templates, curves."""
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from pyg_advcf.metrics import interval, paired_test

HERE = Path(__file__).parents[1]
RESULTS = HERE.parent / 'benchmarks' / 'results'
PAGES = HERE / 'results'
NAMES = {'bpr': 'BPR', 'infonce': 'InfoNCE', 'advinfonce': 'AdvInfoNCE', 'uniform': 'control',
         'apr': 'APR', 'sharpcf': 'SharpCF', 'sam': 'SAM', 'lightgcn': 'LightGCN',
         'simgcl': 'SimGCL', 'xsimgcl': 'XSimGCL', 'accf': 'ACCF'}


def load(file: str) -> list[dict]:
    return json.loads((RESULTS / file).read_text())


def grouped(records: list[dict], key: str) -> dict[str, list[dict]]:
    r"""The records by the value of ``key``, in the order in which the values first occur."""
    groups = defaultdict(list)
    for record in records:
        groups[record[key]].append(record)
    return dict(groups)


def by_method(results: list[dict]) -> dict[str, list[dict]]:
    groups = grouped(results, 'method')
    return {m: sorted(groups[m], key=lambda r: r['seed']) for m in NAMES if m in groups}


def cell(values: list[float]) -> str:
    mean, half = interval(values)
    return f'{mean:.4f}' if half != half else f'{mean:.4f} ± {half:.4f}'


def difference(a: torch.Tensor, b: torch.Tensor) -> str:
    r"""Cells of the mean difference over the same seeds and of its p."""
    mean, p = paired_test(a, b)
    return f'{mean:+.4f} | ' + (f'{p:.3f}' if p >= 0.001 else '< 0.001')


def fill(template: str, **parts: str) -> None:
    text = (HERE / 'results_templates' / template).read_text(encoding='utf-8')
    for name, part in parts.items():
        text = text.replace('{{' + name + '}}', part)
    assert '{{' not in text, 'a part of the page is missing'
    (PAGES / template).write_text(text, encoding='utf-8')


def plot_curves(results: list[dict], keys: dict[str, str], file: str) -> None:
    r"""Learning curves at equal epochs: mean over seeds and its 95 % interval."""
    fig = Figure(figsize=(4.2 * len(keys), 3.4), layout='constrained')
    axes = fig.subplots(1, len(keys))
    for method, runs in by_method(results).items():
        length = min(len(r['curves']['epoch']) for r in runs)
        epoch = np.array(runs[0]['curves']['epoch'][:length]) + 1
        for ax, (key, title) in zip(axes, keys.items()):
            values = np.array([r['curves'][key][:length] for r in runs])
            stats = np.array([interval(column) for column in values.T])
            line, = ax.plot(epoch, stats[:, 0], label=NAMES[method])
            ax.fill_between(epoch, stats[:, 0] - stats[:, 1], stats[:, 0] + stats[:, 1],
                            alpha=0.2, color=line.get_color())
            best = [r['best_epoch'] + 1 for r in runs]
            ax.axvline(np.median(best), color=line.get_color(), linestyle=':', linewidth=1)
            ax.set_title(title, fontsize='medium')
            ax.set_xlabel('epoch')
    axes[0].legend(fontsize='small')
    fig.savefig(PAGES / file, dpi=110)
