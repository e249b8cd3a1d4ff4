r"""Speed and memory."""
import json

from matplotlib.figure import Figure

from pages.common import PAGES, RESULTS, fill, load


def speed_table(report: dict) -> str:
    lines = ['| work | against | ours (ms) | theirs (ms) | ratio | least / gathered, of a copy |',
             '|---|---|---|---|---|---|']
    for row in report['rows']:
        moved = (f"{row['least_of_copy']:.0%} / {row['gathered_of_copy']:.0%}"
                 if 'least_of_copy' in row else '')
        lines.append(f"| {row['work']} | {row['against']} | {row['ours_ms']:.2f} "
                     f"| {row['theirs_ms']:.2f} | {row['ratio']:.2f} | {moved} |")
    peak = report['peak_memory']
    lines.append(f"| peak memory, {peak['work']} | {peak['against']} "
                 f"| {peak['ours_bytes'] / 2**20:.0f} MiB | {peak['theirs_bytes'] / 2**20:.0f} MiB "
                 f"| {peak['ratio']:.2f} | |")
    return '\n'.join(lines)


def machine(report: dict) -> str:
    facts = dict(report['machine'])
    backends = '; '.join(f'{k}: {v}' for k, v in facts.pop('backends').items())
    copy = facts.pop('copy_bytes_per_second') / 2**30
    return (', '.join(f'{k} {v}' for k, v in facts.items())
            + f', a large copy moves {copy:.0f} GiB/s. {backends}')


def plot_growth(reports: dict[str, list[dict]]) -> None:
    fig = Figure(figsize=(8.4, 3.4), layout='constrained')
    axes = fig.subplots(1, 2)
    for label, rows in reports.items():
        edges = [row['edges'] for row in rows]
        for ax, key in zip(axes, ('step_ms', 'peak_gib')):
            ax.plot(edges, [row[key] for row in rows], marker='o', label=label)
    for ax, label in zip(axes, ('ms per step', 'peak memory (GiB)')):
        ax.set_xscale('log', base=2)
        ax.set_yscale('log', base=2)
        ax.set_aspect('equal')
        ax.set_xlabel('edges')
        ax.set_ylabel(label)
        ax.grid(alpha=0.3)
    axes[0].legend(fontsize='small')
    fig.savefig(PAGES / 'growth.png', dpi=110)


def write() -> None:
    reports = {name: json.loads((RESULTS / f'speed_cpu{suffix}.json').read_text())
               for name, suffix in (('kept', ''), ('default', '_returned'),
                                    ('yelp', '_yelp2018'))}
    growth = {label: load(f'growth_cpu{suffix}.json')['rows']
              for label, suffix in (('memory kept', ''), ('default allocator', '_returned'),
                                    ('huge pages', '_huge'))}
    lines = ['| edges | users | items | step (ms) | ns per edge | peak memory (GiB) '
             '| step, default allocator (ms) | step, huge pages (ms) |',
             '|---|---|---|---|---|---|---|---|']
    for row, default, huge in zip(*growth.values(), strict=True):
        assert row['edges'] == default['edges'] == huge['edges']
        lines.append(f"| {row['edges']:,} | {row['users']:,} | {row['items']:,} "
                     f"| {row['step_ms']:.0f} | {1e6 * row['step_ms'] / row['edges']:.0f} "
                     f"| {row['peak_gib']:.1f} | {default['step_ms']:.0f} "
                     f"| {huge['step_ms']:.0f} |")
    plot_growth(growth)
    fill('speed.md', growth='\n'.join(lines), machine=machine(reports['kept']),
         **{name: speed_table(report) for name, report in reports.items()})
