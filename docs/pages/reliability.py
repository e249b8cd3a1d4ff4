r"""Reliability: what came of the campaign of wrong and random calls, before and after."""
from pages.common import NAMES, fill, load, markdown

OUTCOMES = ('correct', 'clear', 'silent', 'obscure', 'signal', 'hang')
WHAT = {
    'convert': 'homogeneous graphs, split links, edge types, wrapped modules',
    'criteria': 'every criterion, values and arguments',
    'diagnostics': 'diagnostics and synthetic data',
    'files': 'damaged checkpoints, processed and raw files',
    'frame': '`from_frame` and its vocabularies',
    'graphs': 'backbones over graphs made by hand',
    'interactions': '`interaction_data`, `validate`, `as_graph`',
    'resume': 'kills in training and in writing, then resumed',
    'loader': '`InteractionLoader` and a pass over it',
    'methods': 'every method over every backbone',
    'numerics': 'extreme finite scores in three precisions',
    'ops': 'the operations, also through `torch.ops` and `torch.compile`',
    'ranking': '`evaluate`, `recommend` and other metrics',
    'similarity': 'similarities and embeddings',
    'training': '`fit` and the steps',
    'transforms': 'every transform',
}

KILLS = {'kills in training': 'in_training', 'in writing': 'in_writing',
         'runs compared': 'compared', 'different': 'different', 'bad checkpoints': 'bad_files',
         'stray files': 'stray_files', 'errors': 'errors', 'hangs': 'hangs'}

WORKS = {'load': 'reading the processed file, {}', 'graph': 'from that file to a graph, {}',
         'step': 'a step of {}, LightGCN, Gowalla'}


def total(record: dict, outcome: str) -> int:
    return sum(found['counts'][outcome] for found in record['campaigns'].values())


def tried(record: dict) -> int:
    return sum(total(record, outcome) for outcome in OUTCOMES)


def row(name: str, counts: list) -> dict[str, str]:
    r"""A row of the table: both records' counts of a campaign, ``None`` where it did not run."""
    return {'campaign': name, 'what': WHAT.get(name, ''),
            'calls': ' / '.join(f'{sum(c.values()):,}' if c else '–' for c in counts),
            **{o: ' / '.join(f'{c[o]:,}' if c else '–' for c in counts) for o in OUTCOMES}}


def remaining(record: dict) -> str:
    found = [(name, e) for name, f in record['campaigns'].items() for e in f['examples']]
    if not found:
        return ''
    return 'What remains, the first call of each kind:\n\n' + markdown([
        {'campaign': name, 'outcome': e['outcome'], 'function': f"`{e['function']}`",
         'arguments': e['corruption'] or 'right', 'what came of it': e['detail'].replace('|', '/')}
        for name, e in found])


def cost(row: dict) -> dict[str, str]:
    r"""A row of the table: what a kind of work takes before and after."""
    kind, name = row['work'].split()
    cells = {'work': WORKS[kind].format(NAMES.get(name, name))}
    for clock, title in (('wall', 'by the clock'), ('processor', 'of the processor')):
        ratio, low, high = (100 * (row[f'{clock}_{part}'] - 1) for part in ('ratio', 'low', 'high'))
        cells[f'ms {title}'] = (f"{row[f'{clock}_before_ms']:.2f} / "
                                f"{row[f'{clock}_after_ms']:.2f}")
        cells[f'change {title}'] = f'{ratio:+.1f} % [{low:+.1f}, {high:+.1f}]'
    return cells


def write() -> None:
    before, after, kills = load('fuzz_before'), load('fuzz_after'), load('fuzz_kills')
    flips, compared = load('fuzz_flips'), load('fuzz_cost')
    both = [row(name, [r['campaigns'].get(name, {}).get('counts') for r in (before, after)])
            for name in sorted({*before['campaigns'], *after['campaigns']})]
    summary = '; '.join(
        f"{when}: {tried(r):,} calls, {total(r, 'silent'):,} silent, {total(r, 'signal'):,} "
        f"signals, {total(r, 'hang'):,} hangs, {total(r, 'obscure'):,} obscure "
        f"({total(r, 'obscure') / tried(r):.1%})"
        for when, r in (('**Before**', before), ('**after**', after)))
    fill('reliability.md', before_commit=before['commit'][:7], after_commit=after['commit'][:7],
         rounds=str(after['rounds']), seed=str(after['seed']), summary=summary + '.',
         table=markdown(both), remaining=remaining(after), kills_command=kills['command'],
         kills=markdown([{title: f'{kills[key]:,}' for title, key in KILLS.items()}]),
         flips_command=flips['command'], flips=markdown([
             {'file': name, **{key: f'{count:,}' for key, count in counts.items()}}
             for name, counts in flips['counts'].items()]),
         turns=str(compared['settings']['turns']),
         processes=str(compared['settings']['processes']), cost_before=compared['before'][:7],
         cost_after=compared['after'][:7], cost=markdown(list(map(cost, compared['rows']))))
