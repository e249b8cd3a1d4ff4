r"""ACCF against random-noise views and LightGCN, on Amazon Pet and a part of Yelp2018."""
import numpy as np
from matplotlib.figure import Figure

from benchmarks.tables import cell, difference, frame
from pages.common import NAMES, fill, load, markdown, save, tried

METRICS = ('precision@10', 'recall@10', 'map@10', 'ndcg@10')
NDCG = 'test ndcg@10'
SEVERAL = ('accf:no-weights', 'accf:no-weights-random')


def table(records: list[dict], first: str = 'method') -> str:
    r"""A row per method: mean over its seeds with the 95 % interval."""
    return markdown([{
        first: NAMES[method], **{m: cell(100 * runs[f'test {m}'], 3) for m in METRICS},
        'validation ndcg@10': cell(100 * runs['valid ndcg@10'], 3),
        'best epoch': ', '.join(map(str, sorted(runs['best epoch'])))}
        for method, runs in frame(records).groupby('method', sort=False)])


def paired(records: list[dict], pairs: list[tuple[str, str]]) -> str:
    r"""Differences of test NDCG@10 over the same seeds."""
    ndcg = 100 * frame(records).pivot(index='seed', columns='method', values=NDCG)
    return markdown([{
        'difference of test ndcg@10': f'{NAMES[a]} minus {NAMES[b]}',
        **dict(zip(('mean', 'p'), difference(ndcg[a], ndcg[b], 3, 2)))} for a, b in pairs])


def noise(clean: list[dict], noisy: list[dict]) -> str:
    r"""Test NDCG@10 by injected share, and the plot; changes against the mean of clean seeds."""
    records = [*clean, *noisy]
    runs = frame(records).assign(noise=[r['noise'] for r in records])
    ndcg = runs.pivot_table(index='noise', columns='method', values=NDCG)[runs['method'].unique()]
    left = ndcg / ndcg.loc[0.]
    fig = Figure(figsize=(5, 3.4), layout='constrained')
    ax = fig.subplots()
    (100 * left).set_index(100 * left.index).rename(columns=NAMES).plot(ax=ax, marker='o')
    ax.set(xlabel='injected interactions (% of training)', ylabel='test NDCG@10 left (%)')
    save(fig, 'accf_noise.png')
    return markdown([{'method': NAMES[method], **{
        f'{level:.0%}': f'{100 * v:.3f}' + (f' ({left[method][level] - 1:+.1%})' if level else '')
        for level, v in ndcg[method].items()}} for method in ndcg])


def weights(records: list[dict]) -> str:
    r"""What the weights are at the end, and the plot of how they became so."""
    rows = []
    fig = Figure(figsize=(9, 3.4), layout='constrained')
    axes = fig.subplots(1, 2)
    for r in records:
        w, name = r['weights'], NAMES[r['method']].replace('ACCF', 'bi-level (ACCF)')
        rows.append({
            'weights': name, 'spread': f"{w['weight_std']:.3f}", 'rank correlation with the loss':
            f"{w['weight_loss']:+.2f}", 'with popularity': f"{w['weight_popularity']:+.2f}",
            'mean, hardest quarter': f"{w['by_loss'][-1]:.3f}",
            'mean, rarest quarter': f"{w['by_popularity'][0]:.3f}"})
        for ax, key, place in zip(axes, ('by_loss', 'by_popularity'), (-1, 0)):
            if r['method'] == 'accf' or 'alternating' in name:
                ax.plot(np.array(r['curves']['epoch']) + 1, np.array(r['curves'][key])[:, place],
                        label=name)
    for ax, title in zip(axes, ('hardest quarter of triplets', 'rarest quarter of items')):
        ax.set(title=f'mean weight, {title}', xlabel='epoch')
        ax.axhline(1, color='gray', linewidth=1)
    save(fig, 'accf_weights.png')
    return markdown(rows)


def write() -> None:
    pet, ablation, cold = (load(f'amazon_pet_accf{part}')
                           for part in ('', '_ablation', '_cold'))
    full = next(r for r in pet if r['seed'] == 0 and r['method'] == 'accf')
    live = load('accf_weights')
    before = dict(iter(frame(live).groupby('method', sort=False)))
    searched = dict(iter(frame(load('accf_amazon_pet')).groupby('method', sort=False)))
    several = [*pet, *(r for r in ablation if r['method'] in SEVERAL)]
    cost = [r for r in load('cost_gowalla_accf')['rows'] if r['backbone'] == 'lightgcn']
    fill(
        'accf.md', seeds=str(1 + max(r['seed'] for r in pet)), main=table(several),
        paired=paired(several, [
            ('xsimgcl', 'lightgcn'), ('accf', 'lightgcn'), ('xsimgcl', 'accf'),
            ('accf:no-weights', 'lightgcn'), ('accf:no-weights', 'accf'),
            ('xsimgcl', 'accf:no-weights'), ('accf:no-weights', 'accf:no-weights-random')]),
        ablation=table([r for r in [full, *ablation] if r['seed'] == 0], 'ACCF with'),
        noise=noise(pet, load('amazon_pet_accf_noise')),
        yelp=table(load('yelp2018_accf_reduced')),
        weights=weights([r for r in [full, *ablation] if 'weights' in r]),
        searched=markdown([{
            'method': NAMES.get(method, method), NDCG: cell(100 * own['test ndcg@10'], 3),
            'validation ndcg@10': cell(100 * own['valid ndcg@10'], 3),
            'best epoch': ', '.join(f'{epoch:.0f}' for epoch in sorted(own['best epoch']))}
            for method, own in searched.items()]),
        searched_paired=markdown([{
            'difference': f'{NAMES.get(a, a)} minus {NAMES.get(b, b)}',
            **{f'{title} | p': ' | '.join(difference(
                100 * searched[a][key], 100 * searched[b][key], 3))
               for key, title in (('test ndcg@10', NDCG), ('valid ndcg@10', 'validation ndcg@10'))}}
            for a, b in (('accf', 'lightgcn'), ('xsimgcl', 'lightgcn'), ('xsimgcl', 'accf'),
                         ('sgl', 'accf'), ('accf, no weights', 'accf'),
                         ('xsimgcl', 'accf, no weights'))]),
        anchored=markdown([{
            'difference': f'ACCF with an anchor minus {NAMES.get(label, label)}',
            **{f'{title} | p': ' | '.join(difference(
                100 * searched['accf'][key], 100 * before[label][key], 3))
               for key, title in (('test ndcg@10', NDCG), ('valid ndcg@10', 'validation ndcg@10'))}}
            for label in ('accf', 'accf, held out and unused')]),
        live=table(live), live_paired=paired(live, [
            ('accf', 'accf, held out and unused'), ('accf, weights 1e-4',
                                                    'accf, held out and unused'),
            ('accf, held out and unused', 'accf, no weights')]),
        live_weights=markdown([{
            'weights': NAMES[r['label']], 'seed': r['seed'],
            'spread': f"{r['weights']['weight_std']:.3f}",
            'rank correlation with the loss': f"{r['weights']['weight_loss']:+.2f}",
            'with popularity': f"{r['weights']['weight_popularity']:+.2f}",
            'mean by quarter of the loss, easy to hard':
            ', '.join(f'{value:.2f}' for value in r['weights']['by_loss'])}
            for r in live if 'weights' in r]),
        cold=markdown([{'users': group, 'method': NAMES[r['method']], **{
            m: cell([100 * r['groups'][group][m]], 3) for m in METRICS}}
            for group in ('cold', 'warm') for r in cold]),
        search=markdown([{
            **tried(r['method'], r['setting'], r['chosen']),
            'validation ndcg@10': f"{100 * r['valid']:.3f}", 'best epoch': r['best_epoch'] + 1,
            NDCG: f"{100 * r['test']['ndcg@10']:.3f}"}
            for r in load('amazon_pet_accf_search')]),
        cost=markdown([{
            'method': NAMES.get(r['method'], r['method']), 'ms per step': f"{r['step_ms']:.1f}",
            'of LightGCN-BPR': f"{r['ratio']:.2f}", 'peak memory (MiB)': f"{r['peak_mib']:.0f}",
            'of LightGCN-BPR ': f"{r['peak_mib'] / cost[0]['peak_mib']:.2f}"} for r in cost]))
