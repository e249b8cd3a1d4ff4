r"""SharpCF, APR and SAM on MovieLens-1M and a part of Gowalla."""
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.tables import cell, difference, frame
from pages.common import (
    NAMES,
    fill,
    grouped,
    load,
    markdown,
    named,
    plot_curves,
    save,
    setting,
    tried,
)

METRICS = ('recall@10', 'ndcg@10', 'recall@20', 'ndcg@20')
OWN = {'bpr': ['l2'], 'apr': ['epsilon', 'l2'], 'sharpcf': ['weight', 'l2'], 'sam': ['rho', 'l2']}


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


def weights() -> dict[str, str]:
    r"""SharpCF's weight and lag and APR's alpha: what was tried, and the chosen beside BPR."""
    records = load('sharpcf_weight') + load('apr_alpha')
    runs = dict(iter(frame(records).groupby('method', sort=False)))
    bpr = runs.pop('bpr, l2 0.01')
    keys = ('valid recall@20', 'test recall@20', 'test ndcg@20')
    titles = ('validation R@20', 'R@20', 'N@20')
    return {
        'weights': markdown([{'method': NAMES.get(label, label), **{
            title: cell(own[key]) for key, title in zip(keys, titles)}}
            for label, own in {'bpr': bpr, **runs}.items()]),
        'weights_paired': markdown([{
            'difference': f'{NAMES.get(label, label)} minus BPR', **{
                f'{title} | p': ' | '.join(difference(own[key], bpr[key]))
                for key, title in zip(keys, titles)}} for label, own in runs.items()]),
        'weights_search': markdown([{
            'method': f"{'**' if r['chosen'] else ''}{NAMES.get(r['label'], r['label'])}"
                      f"{'**' if r['chosen'] else ''}",
            'setting': setting({key.removeprefix('method.'): value
                                for key, value in r['setting'].items()}),
            'validation R@20': f"{r['valid']:.4f}", 'best epoch': r['best_epoch'] + 1,
            'test R@20': f"{r['test']['test']['recall@20']:.4f}"}
            for r in load('sharpcf_weight_search') + load('apr_alpha_search')])}


def plot_landscapes(groups: dict[str, list[dict]]) -> None:
    fig = Figure(figsize=(8.8, 3.4), layout='constrained')
    for ax, title in zip(fig.subplots(1, 2), ('ranking loss', 'its rise over the centre')):
        for method, (first, *_) in groups.items():
            offset, loss = (np.array(first['landscape'][key]) for key in ('offset', 'loss'))
            rise = loss - loss[np.abs(offset).argmin()]
            ax.plot(offset, loss if title == 'ranking loss' else rise, label=NAMES[method])
        ax.set(title=title, xlabel='distance, in lengths of the rows')
    save(fig, 'sharpcf_landscape.png')


def write() -> None:
    records, part = load('ml-1m_mf_sharpcf'), load('gowalla_mf_sharpcf_reduced')
    runs, groups = named(dict(iter(frame(records).groupby('method')))), grouped(records)
    best = frame(part).groupby('method')['valid recall@20'].max()
    plot_landscapes(groups)
    plot_curves([r for r in records if 'curves' in r], {
        'recall@20': 'validation R@20', 'test/recall@20': 'test R@20',
        'test/ndcg@20': 'test N@20'}, 'sharpcf_curves.png')
    fill(
        'sharpcf.md', **weights(), seeds=str(len(runs['bpr'])),
        gains=gains(load('ml-1m_mf_sharpcf_paired'), runs),
        table=markdown([{
            'method': NAMES[method], **{m: cell(own[f'test {m}']) for m in METRICS},
            'best epoch': f"{own['best epoch'].min()} to {own['best epoch'].max()}",
            'sharpness': cell([r['sharpness'] for r in groups[method]])}
            for method, own in runs.items()]),
        search=markdown([{
            **tried(r['method'], r['setting'], r['chosen']), 'validation R@20': f"{r['valid']:.4f}",
            'best epoch': r['best_epoch'] + 1, 'test R@20': f"{r['test']['recall@20']:.4f}"}
            for r in load('ml-1m_mf_sharpcf_search')]),
        tail=markdown([{'method': NAMES[method], **{
            f'R@20, {g}': cell([r['degree']['test'][g]['recall@20'] for r in groups[method]])
            for g in groups[method][0]['degree']['test']}} for method in runs]),
        cost=markdown([{
            'backbone': r['backbone'], 'method': NAMES[r['method']],
            'ms per step': f"{r['step_ms']:.2f}", 'of BPR': f"{r['ratio']:.2f}"}
            for r in load('cost_ml-1m')['rows']]),
        reduced=markdown([{
            **tried(r['method'], {key: r['settings'][key] for key in OWN[r['method']]},
                    (valid := r['valid']['recall@20']) == best[r['method']]),
            'validation R@20': f'{valid:.4f}',
            **{m: f"{r['test']['test'][m]:.4f}" for m in METRICS}} for r in part]))
