r"""Reliability: what came of the campaign of wrong and random calls, before and after."""
from pages.common import fill, load, markdown

OUTCOMES = ('correct', 'clear', 'silent', 'obscure', 'signal', 'hang')
WHAT = {
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


def write() -> None:
    before, after, kills = load('fuzz_before'), load('fuzz_after'), load('fuzz_kills')
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
         kills=markdown([{title: f'{kills[key]:,}' for title, key in KILLS.items()}]))
