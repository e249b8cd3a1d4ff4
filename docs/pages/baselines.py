r"""Baselines without gradient descent, beside what was trained on the same splits."""
from benchmarks.tables import cell, frame
from pages.common import NAMES, RESULTS, fill, load, markdown, setting

DATA = {'ml-1m': 'MovieLens-1M', 'yahoo_r3': 'Yahoo!R3', 'amazon_pet': 'Amazon Pet',
        'gowalla': 'Gowalla'}
METRICS = {'ml-1m': ('test', 'recall@20', 'ndcg@20'),
           'amazon_pet': ('test', 'recall@10', 'ndcg@10'),
           'yahoo_r3': ('test_ood', 'recall@20', 'ndcg@20'),
           'gowalla': ('test', 'recall@20', 'ndcg@20')}
# What was trained on the same training pairs, chosen by validation too.
TRAINED = {'ml-1m': 'ml-1m_mf_sharpcf', 'yahoo_r3': 'yahoo_r3_lightgcn_seeds',
           'amazon_pet': 'accf_amazon_pet'}


def rows(name: str) -> list[dict[str, str]]:
    r"""A row for each baseline, and one for each method that was trained on the same split."""
    split, *metrics = METRICS[name]
    found = []
    for record in load(f'baselines_{name}'):
        search = load(f'baselines_{name}_search')
        chosen = {key.partition('.')[2]: value for r in search if r['chosen']
                  and r['label'] == record['label'] for key, value in r['setting'].items()}
        refit = record.get('refit', {}).get(split)
        found.append({
            '': NAMES[record['label']], 'chosen setting': setting(chosen),
            'validation': cell(record['valid'].values()),
            **{m: cell([record['test'][split][m]]) for m in metrics},
            'with validation pairs': ' / '.join(
                f'{refit[m]:.4f}' for m in metrics) if refit else '',
            'seconds of the fit': f"{record['train_seconds_per_epoch']:.1f}"})
    if name in TRAINED:
        runs = frame(load(TRAINED[name]))
        for method, own in runs.groupby('method', sort=False):
            valid = next(key for key in runs if key.startswith('valid '))
            found.append({
                '': NAMES[method], 'chosen setting': f'trained, {len(own)} seeds',
                'validation': cell(own[valid]), **{m: cell(own[f'{split} {m}']) for m in metrics},
                'with validation pairs': '', 'seconds of the fit': ''})
    return found


def write() -> None:
    there = [name for name in DATA if (RESULTS / f'baselines_{name}.json').exists()]
    fill('baselines.md', tables='\n\n'.join(
        f'## {DATA[name]}\n\n{markdown(rows(name))}' for name in there))
