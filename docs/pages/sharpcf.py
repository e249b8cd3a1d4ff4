r"""SharpCF, APR and SAM on MovieLens-1M and a part of Gowalla."""
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pages.common import NAMES, cell, fill, frame, grouped, load, markdown, named, plot_curves, save

METRICS = ('recall@10', 'ndcg@10', 'recall@20', 'ndcg@20')
OWN = {'bpr': ['l2'], 'apr': ['epsilon', 'l2'], 'sharpcf': ['weight', 'l2'], 'sam': ['rho', 'l2']}


def tried(method: str, chosen: bool, setting: dict, valid: float) -> dict:
    r"""The first columns of a table of settings."""
    mark = '**' if chosen else ''
    return {'method': f'{mark}{NAMES[method]}{mark}',
            'setting': ', '.join(f'{k} {v:g}' for k, v in setting.items()),
            'validation R@20': f'{valid:.4f}'}


def gains(paired: list[dict], runs: dict[str, pd.DataFrame]) -> str:
    r"""Differences over users, relative to the mean of the other method over the same seeds."""
    table = pd.DataFrame(paired)
    table['seeds'] = table['seeds'].map(tuple)
    table['place'] = table['method'].map(list(NAMES).index)
    rows = []
    for (_, a, b, seeds), found in table.groupby(['place', 'method', 'against', 'seeds']):
        found, base = found.set_index('metric'), runs[b][runs[b]['seed'].isin(seeds)]
        rows.append({'': NAMES[a], 'against': NAMES[b], 'seeds': ', '.join(map(str, seeds)), **{
            m: f"{found.difference[m] / base[f'test {m}'].mean():+.1%} (p {found.p[m]:.1g})"
            for m in METRICS}})
    return markdown(rows)


def plot_landscapes(groups: dict[str, list[dict]]) -> None:
    fig = Figure(figsize=(8.8, 3.4), layout='constrained')
    axes = fig.subplots(1, 2)
    for method, records in groups.items():
        offset, loss = (np.array(records[0]['landscape'][key]) for key in ('offset', 'loss'))
        axes[0].plot(offset, loss, label=NAMES[method])
        axes[1].plot(offset, loss - loss[np.abs(offset).argmin()], label=NAMES[method])
    for ax, title in zip(axes, ('ranking loss', 'its rise over the centre')):
        ax.set_xlabel('distance, in lengths of the rows')
        ax.set_title(title, fontsize='medium')
    save(fig, 'sharpcf_landscape.png')


def write() -> None:
    records, part = load('ml-1m_mf_sharpcf.json'), load('gowalla_mf_sharpcf_reduced.json')
    runs, groups = named(dict(iter(frame(records).groupby('method')))), grouped(records)
    best = {m: max(r['valid']['recall@20'] for r in found) for m, found in grouped(part).items()}
    plot_landscapes(groups)
    plot_curves([r for r in records if 'curves' in r], {
        'recall@20': 'validation R@20', 'test/recall@20': 'test R@20',
        'test/ndcg@20': 'test N@20'}, 'sharpcf_curves.png')
    fill(
        'sharpcf.md', seeds=str(len(runs['bpr'])),
        gains=gains(load('ml-1m_mf_sharpcf_paired.json'), runs),
        table=markdown([{
            'method': NAMES[method], **{m: cell(table[f'test {m}']) for m in METRICS},
            'best epoch': f"{table['best epoch'].min()} to {table['best epoch'].max()}",
            'sharpness': cell([r['sharpness'] for r in groups[method]])}
            for method, table in runs.items()]),
        search=markdown([{
            **tried(r['method'], r['chosen'], r['setting'], r['valid']),
            'best epoch': r['best_epoch'] + 1, 'test R@20': f"{r['test']['recall@20']:.4f}"}
            for r in load('ml-1m_mf_sharpcf_search.json')]),
        tail=markdown([{'method': NAMES[method], **{
            f'R@20, {g}': cell([r['degree']['test'][g]['recall@20'] for r in groups[method]])
            for g in groups[method][0]['degree']['test']}} for method in runs]),
        cost=markdown([{
            'backbone': r['backbone'], 'method': NAMES[r['method']],
            'ms per step': f"{r['step_ms']:.2f}", 'of BPR': f"{r['ratio']:.2f}"}
            for r in load('cost_ml-1m.json')['rows']]),
        reduced=markdown([{
            **tried(r['method'], r['valid']['recall@20'] == best[r['method']],
                    {key: r['settings'][key] for key in OWN[r['method']]}, r['valid']['recall@20']),
            **{m: f"{r['test']['test'][m]:.4f}" for m in METRICS}} for r in part]))
