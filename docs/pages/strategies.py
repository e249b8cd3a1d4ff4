r"""The strategies of AdvInfoNCE's adversary: what they gain, and what they do over training."""
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.tables import cell, difference, frame
from pages.common import NAMES, fill, load, markdown, save
from pages.harness import COLUMNS
from pyg_advcf.metrics import interval

COAT, YAHOO = 'coat_strategies', 'yahoo_r3_strategies'
Curve = Callable[[dict[str, list[float]]], np.ndarray]


def _labelled(records: list[dict]) -> dict[str, list[dict]]:
    return {label: [r for r in records if r['label'] == label]
            for label in dict.fromkeys(r['label'] for r in records)}


def _draw(ax: Axes, runs: list[dict], curve: Curve, label: str, **style) -> None:
    r"""A curve at equal epochs: mean over seeds and its 95 % interval."""
    length = min(len(r['curves']['epoch']) for r in runs)
    epoch = np.array(runs[0]['curves']['epoch'][:length]) + 1
    values = np.array([curve(r['curves'])[:length] for r in runs])
    mean, half = np.array([interval(column) for column in values.T]).T
    line, = ax.plot(epoch, mean, label=label, **style)
    ax.fill_between(epoch, mean - half, mean + half, alpha=0.15, color=line.get_color())


def plot_training(records: list[dict], file: str) -> None:
    r"""Figures 2, 4 and 6 of the paper: alignment, uniformity, hardness, false negatives."""
    fig = Figure(figsize=(13, 3.4), layout='constrained')
    axes = fig.subplots(1, 4)

    def key(name: str) -> Curve:
        return lambda curves: np.array(curves[name])

    groups = _labelled(records)
    for number, (label, runs) in enumerate(groups.items()):
        color, name = f'C{number}', NAMES.get(label, label)
        for ax, what in zip(axes, ('alignment', 'uniformity')):
            _draw(ax, runs, key(f'geometry/{what}'), name, color=color)
        if 'hardness' not in runs[0]:
            continue
        last = max(k for k in runs[0]['curves'] if k.startswith('hardness/bin_'))
        _draw(axes[2], runs, key(last), name, color=color)
        _draw(axes[2], runs, key('hardness/bin_0'), name, color=color, linestyle='--')
        _draw(axes[3], runs, key('hardness/false_negatives'), name, color=color)
        _draw(axes[3], runs, key('hardness/chance'), name, color=color, linestyle='--')
    axes[2].axhline(1., color='grey', linewidth=1)
    for ax, title in zip(axes, ('alignment', 'uniformity',
                                'hardness: most popular quarter\n(dashed: rarest quarter)',
                                'test positives with lower weight\n(dashed: all negatives)')):
        ax.set(title=title, xlabel='epoch')
    save(fig, file)


def tables(records: list[dict]) -> tuple[str, str]:
    r"""The strategies, and each against the control over the same seeds."""
    parts = dict(iter(frame(records).groupby('method', sort=False)))
    columns = {key: title for key, title in COLUMNS.items() if key in parts['uniform']}
    return (markdown([{'strategy': NAMES.get(method, method), 'seeds': len(own),
                       **{title: cell(own[key]) for key, title in columns.items()}}
                      for method, own in parts.items()]),
            markdown([{'difference': f'{NAMES.get(method, method)} minus {NAMES["uniform"]}',
                       **{f'{title} | p': ' | '.join(difference(own[key], parts['uniform'][key]))
                          for key, title in columns.items()}}
                      for method, own in parts.items() if method != 'uniform']))


def ends(records: list[dict]) -> str:
    r"""What the adversary does at the chosen epoch."""
    rows = []
    for label, runs in _labelled(records).items():
        if 'hardness' in runs[0]:
            found = [r['hardness'] for r in runs]
            last = max(k for k in found[0] if k.startswith('bin_'))
            rows.append({
                'strategy': NAMES.get(label, label),
                'KL(P0, P)': cell([f['kl_uniform_p'] for f in found], 3),
                'hardness, rarest quarter': cell([f['bin_0'] for f in found], 2),
                'most popular quarter': cell([f[last] for f in found], 2),
                'test positives with lower weight': cell([f['false_negatives'] for f in found], 3),
                'all negatives': cell([f['chance'] for f in found], 3)})
    return markdown(rows)


def write() -> None:
    parts = {}
    for name, file in (('coat', COAT), ('yahoo', YAHOO)):
        records = load(file)
        parts[f'{name}'], parts[f'{name}_paired'] = tables(records)
        parts[f'{name}_ends'] = ends(records)
        plot_training(records, f'strategies_{name}.png')
    fill('strategies.md', **parts)
