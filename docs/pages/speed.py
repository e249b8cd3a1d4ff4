r"""Speed and memory."""
import pandas as pd
from matplotlib.figure import Figure

from pages.common import fill, load, markdown, save


def speed_table(report: dict) -> str:
    rows = [{'work': r['work'], 'against': r['against'], 'ours (ms)': f"{r['ours_ms']:.2f}",
             'theirs (ms)': f"{r['theirs_ms']:.2f}", 'ratio': f"{r['ratio']:.2f}",
             'least / gathered, of a copy': f"{r['least_of_copy']:.0%} / "
             f"{r['gathered_of_copy']:.0%}" if 'least_of_copy' in r else ''}
            for r in report['rows']]
    peak = report['peak_memory']
    return markdown([*rows, dict(zip(rows[0], (
        f"peak memory, {peak['work']}", peak['against'], f"{peak['ours_bytes'] / 2**20:.0f} MiB",
        f"{peak['theirs_bytes'] / 2**20:.0f} MiB", f"{peak['ratio']:.2f}", '')))])


def machine(report: dict) -> str:
    facts = dict(report['machine'])
    backends = '; '.join(f'{k}: {v}' for k, v in facts.pop('backends').items())
    copy = facts.pop('copy_bytes_per_second') / 2**30
    return (', '.join(f'{k} {v}' for k, v in facts.items())
            + f', a large copy moves {copy:.0f} GiB/s. {backends}')


def sampled(report: dict) -> dict[str, dict]:
    return {'sampled' if row['sampled'] else 'full': row for row in report['rows']}


def at_steps(report: dict) -> str:
    r"""Validation against the seconds of training, full and sampled side by side."""
    full, part = (sampled(report)[name]['curve'] for name in ('full', 'sampled'))
    return markdown([{
        'step': f"{a['step']}", 'full (s)': f"{a['seconds']:.0f}", 'R@20': f"{a['recall@20']:.4f}",
        'sampled (s)': f"{b['seconds']:.0f}", 'R@20 ': f"{b['recall@20']:.4f}"}
        for a, b in zip(full, part)])


def time_to(report: dict) -> str:
    r"""How long each took to what both reach."""
    curves = {name: row['curve'] for name, row in sampled(report).items()}
    target = 0.95 * min(max(at['recall@20'] for at in curve) for curve in curves.values())
    first = {name: next(at['seconds'] for at in curve if at['recall@20'] >= target)
             for name, curve in curves.items()}
    return (f"A Recall@20 of {target:.3f} takes {first['full']:.0f} s of training with full "
            f"propagation, {first['sampled']:.0f} s with sampling")


def write() -> None:
    growth = {label: pd.DataFrame(load(f'growth_cpu{suffix}')['rows']).set_index('edges')
              for label, suffix in (('memory kept', ''), ('default allocator', '_returned'),
                                    ('huge pages', '_huge'))}
    fig = Figure(figsize=(8.4, 3.4), layout='constrained')
    for ax, key, title in zip(fig.subplots(1, 2), ('step_ms', 'peak_gib'),
                              ('ms per step', 'peak memory (GiB)')):
        for label, rows in growth.items():
            ax.loglog(rows[key], base=2, marker='o', label=label)
        ax.set(aspect='equal', xlabel='edges', ylabel=title)
        ax.grid(alpha=0.3)
    save(fig, 'growth.png')
    table = growth['memory kept'].assign(**{label: rows['step_ms']
                                            for label, rows in growth.items()})
    reports = {name: load(f'speed_cpu{suffix}') for name, suffix in (
        ('kept', ''), ('default', '_returned'), ('yelp', '_yelp2018'))}
    small, large = load('sampling_ml-1m'), load('sampling_growth')
    by_epoch = markdown([{
        'propagation': name, 'epochs': str(len(row['curve'])),
        'best validation R@20': f"{row['recall@20']:.4f}", 'in epoch': str(row['best_epoch'] + 1),
        's per epoch': f"{row['seconds_per_epoch']:.1f}"} for name, row in sampled(small).items()])
    full, part = (sampled(small)[name]['recall@20'] for name in ('full', 'sampled'))
    fill('speed.md', by_epoch=by_epoch, gap=f'{100 * abs(part / full - 1):.1f}',
         by_step=at_steps(large), time_to=time_to(large), machine=machine(reports['kept']),
         **{name: speed_table(report) for name, report in reports.items()},
         growth=markdown([{
             'edges': f'{edges:,}', 'users': f'{r.users:,.0f}', 'items': f"{r['items']:,.0f}",
             'step (ms)': f'{r.step_ms:.0f}', 'ns per edge': f'{1e6 * r.step_ms / edges:.0f}',
             'peak memory (GiB)': f'{r.peak_gib:.1f}',
             **{f'step, {label} (ms)': f'{r[label]:.0f}' for label in list(growth)[1:]}}
             for edges, r in table.iterrows()]))
