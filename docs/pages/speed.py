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
    fill('speed.md', machine=machine(reports['kept']),
         **{name: speed_table(report) for name, report in reports.items()},
         growth=markdown([{
             'edges': f'{edges:,}', 'users': f'{r.users:,.0f}', 'items': f"{r['items']:,.0f}",
             'step (ms)': f'{r.step_ms:.0f}', 'ns per edge': f'{1e6 * r.step_ms / edges:.0f}',
             'peak memory (GiB)': f'{r.peak_gib:.1f}',
             **{f'step, {label} (ms)': f'{r[label]:.0f}' for label in list(growth)[1:]}}
             for edges, r in table.iterrows()]))
