r"""ACCF against random-noise views and LightGCN, on Amazon Pet and a part of Yelp2018."""
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pages.common import NAMES, cell, difference, fill, frame, load, markdown, save

METRICS = ('precision@10', 'recall@10', 'map@10', 'ndcg@10')
NDCG = 'test ndcg@10'
SEVERAL = ('no-weights', 'no-weights-random')
PARTS = {
    '': 'bi-level (ACCF)', 'no-views': 'no adversarial view (BPR+G+W)',
    'no-weights': 'no weights (BPR+G+C)', 'no-weights-random': 'no weights, random shift',
    'random': 'random shift of the same length', 'joint': 'weights learned jointly',
    'alternating-easy': 'alternating, easy triplets preferred',
    'alternating-hard': 'alternating, hard triplets preferred'}


def name_of(method: str) -> str:
    part = method.partition(':')[2]
    return PARTS[part] if part else NAMES[method]


def table(records: list[dict], first: str = 'method') -> str:
    r"""A row per method: mean over its seeds with the 95 % interval."""
    return markdown([{
        first: name_of(method), **{m: cell(100 * runs[f'test {m}'], 3) for m in METRICS},
        'validation ndcg@10': cell(100 * runs['valid ndcg@10'], 3),
        'best epoch': ', '.join(map(str, sorted(runs['best epoch'])))}
        for method, runs in frame(records).groupby('method', sort=False)])


def paired(records: list[dict], pairs: list[tuple[str, str]]) -> str:
    r"""Differences of test NDCG@10 over the same seeds."""
    ndcg = 100 * frame(records).pivot(index='seed', columns='method', values=NDCG)
    rows = []
    for a, b in pairs:
        mean, p = difference(ndcg[a], ndcg[b], 3, 2)
        rows.append({'difference of test ndcg@10': f'{name_of(a)} minus {name_of(b)}',
                     'mean': mean, 'p': p})
    return markdown(rows)


def noise(clean: list[dict], noisy: list[dict]) -> str:
    r"""Test NDCG@10 by injected share, and the plot; changes against seed 0 without."""
    runs = frame([r for r in clean if r['seed'] == 0] + noisy)
    runs['noise'] = [0.] * (len(runs) - len(noisy)) + [r['noise'] for r in noisy]
    ndcg = runs.pivot(index='method', columns='noise', values=NDCG)
    ndcg, rows = ndcg.loc[runs['method'].unique()], []
    fig = Figure(figsize=(5, 3.4), layout='constrained')
    ax = fig.subplots()
    for method, values in ndcg.iterrows():
        left = values / values[0.]
        rows.append({'method': NAMES[method], **{
            f'{level:.0%}': f'{100 * v:.3f}' + (f' ({left[level] - 1:+.1%})' if level else '')
            for level, v in values.items()}})
        ax.plot(100 * left.index, 100 * left, marker='o', label=NAMES[method])
    ax.set_xlabel('injected interactions (% of training)')
    ax.set_ylabel('test NDCG@10 left (%)')
    save(fig, 'accf_noise.png')
    return markdown(rows)


def weights(records: list[dict]) -> str:
    r"""What the weights are at the end, and the plot of how they became so."""
    rows = []
    fig = Figure(figsize=(9, 3.4), layout='constrained')
    axes = fig.subplots(1, 2)
    for r in records:
        part, w = r['method'].partition(':')[2], r['weights']
        rows.append({
            'weights': PARTS[part], 'spread': f"{w['weight_std']:.3f}",
            'rank correlation with the loss': f"{w['weight_loss']:+.2f}",
            'with popularity': f"{w['weight_popularity']:+.2f}",
            'mean, hardest quarter': f"{w['by_loss'][-1]:.3f}",
            'mean, rarest quarter': f"{w['by_popularity'][0]:.3f}"})
        for ax, key, place in zip(axes, ('by_loss', 'by_popularity'), (-1, 0)):
            if part in ('', 'alternating-easy', 'alternating-hard'):
                ax.plot(np.array(r['curves']['epoch']) + 1, np.array(r['curves'][key])[:, place],
                        label=PARTS[part])
    for ax, title in zip(axes, ('hardest quarter of triplets', 'rarest quarter of items')):
        ax.set_title(f'mean weight, {title}', fontsize='medium')
        ax.set_xlabel('epoch')
        ax.axhline(1, color='gray', linewidth=1)
    save(fig, 'accf_weights.png')
    return markdown(rows)


def write() -> None:
    pet, ablation, cold = (load(f'amazon_pet_accf{part}.json')
                           for part in ('', '_ablation', '_cold'))
    full = next(r for r in pet if r['seed'] == 0 and r['method'] == 'accf')
    several = [*pet, *(r for r in ablation if r['method'].partition(':')[2] in SEVERAL)]
    cost = [r for r in load('cost_gowalla_accf.json')['rows'] if r['backbone'] == 'lightgcn']
    fill(
        'accf.md', seeds=str(1 + max(r['seed'] for r in pet)), main=table(several),
        paired=paired(several, [
            ('xsimgcl', 'lightgcn'), ('accf', 'lightgcn'), ('xsimgcl', 'accf'),
            ('accf:no-weights', 'lightgcn'), ('accf:no-weights', 'accf'),
            ('xsimgcl', 'accf:no-weights'), ('accf:no-weights', 'accf:no-weights-random')]),
        ablation=table([r for r in [full, *ablation] if r['seed'] == 0], 'ACCF with'),
        noise=noise(pet, load('amazon_pet_accf_noise.json')),
        yelp=table(load('yelp2018_accf_reduced.json')),
        weights=weights([r for r in [full, *ablation] if 'weights' in r]),
        cold=markdown([{'users': group, 'method': NAMES[r['method']], **{
            m: cell([100 * r['groups'][group][m]], 3) for m in METRICS}}
            for group in ('cold', 'warm') for r in cold]),
        search=markdown([{
            'method': '{0}{1}{0}'.format('**' * r['chosen'], NAMES[r['method']]),
            'setting': ', '.join(f'{k} {v}' for k, v in r['setting'].items()),
            'validation ndcg@10': f"{100 * r['valid']:.3f}", 'best epoch': r['best_epoch'] + 1,
            NDCG: f"{100 * r['test']['ndcg@10']:.3f}"}
            for r in load('amazon_pet_accf_search.json')]),
        cost=markdown([{
            'method': NAMES.get(r['method'], r['method']), 'ms per step': f"{r['step_ms']:.1f}",
            'of LightGCN-BPR': f"{r['ratio']:.2f}", 'peak memory (MiB)': f"{r['peak_mib']:.0f}",
            'of LightGCN-BPR ': f"{r['peak_mib'] / cost[0]['peak_mib']:.2f}"} for r in cost]))
