r"""AdvInfoNCE on Coat by ``python -m benchmarks``, beside the records of the earlier scripts."""
from itertools import combinations

from benchmarks.tables import cell, difference, frame
from pages.common import NAMES, fill, load, markdown, named

COLUMNS = {'valid recall@20': 'validation R@20', 'test_ood recall@20': 'clean R@20',
           'test_ood ndcg@20': 'clean N@20', 'test_ood_official recall@20': 'official R@20',
           'test_ood_official ndcg@20': 'official N@20'}


def write() -> None:
    new, old = load('coat_advinfonce'), load('coat_lightgcn')
    runs, before = (named(dict(iter(frame(records).groupby('method')))) for records in (new, old))
    both = [(method, record, found[method]) for method in runs
            for record, found in (('this', runs), ('earlier', before))]
    stopped = {(r['method'], r['seed']): r for r in old}
    same = [r['test'] == stopped[r['label'], r['seed']]['test'] for r in new]
    fill(
        'harness.md', same=f'{sum(same)} of {len(same)}', seeds=str(len({r['seed'] for r in new})),
        table=markdown([{
            'method': NAMES[method], 'record': record, 'seeds': len(own),
            'best epoch (median)': f"{own['best epoch'].median():.0f}",
            **{title: cell(own[key]) for key, title in COLUMNS.items()}}
            for method, record, own in both]),
        paired=markdown([{
            'difference': f'{NAMES[a]} minus {NAMES[b]}',
            **{f'{title} | p': ' | '.join(difference(runs[a][key], runs[b][key]))
               for key, title in COLUMNS.items()}} for b, a in combinations(runs, 2)]),
        settings=markdown([{'': NAMES[r['label']], **{group: f"{r[group]['name']}: " + ', '.join(
            f'`{key}={value}`' for key, value in r[group]['arguments'].items()
            if value is not None and key != 'seed')
            for group in ('backbone', 'method', 'step', 'loader', 'fit')}}
            for r in new if r['seed'] == new[0]['seed']]))
