r"""LightGCN with BPR on Gowalla, epochs of a run."""
import pandas as pd

from pages.common import fill, load, markdown


def write() -> None:
    run, = load('gowalla_lightgcn_bpr')
    table = pd.DataFrame(run['curves'])[['recall@20', 'test/recall@20', 'test/ndcg@20']]
    table.columns = ['validation R@20', 'test R@20', 'test N@20']
    table = table.map('{:.4f}'.format)
    table.insert(0, 'epoch', [epoch + 1 for epoch in run['curves']['epoch']])
    fill('gowalla.md', table=markdown(table.to_dict('records')), epochs=str(run['epochs']),
         seconds=f"{run['train_seconds_per_epoch']:.1f}")
