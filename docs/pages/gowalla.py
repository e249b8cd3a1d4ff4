r"""LightGCN with BPR on Gowalla, epochs of a run."""
from pages.common import fill, load


def write() -> None:
    run = load('gowalla_lightgcn_bpr.json')[0]
    curves = run['curves']
    lines = ['| epoch | validation R@20 | test R@20 | test N@20 |', '|---|---|---|---|']
    for row in zip(*(curves[k] for k in ('epoch', 'recall@20', 'test/recall@20', 'test/ndcg@20'))):
        lines.append('| {} | {:.4f} | {:.4f} | {:.4f} |'.format(row[0] + 1, *row[1:]))
    fill('gowalla.md', table='\n'.join(lines), epochs=str(run['epochs']),
         seconds=f"{run['train_seconds_per_epoch']:.1f}")
