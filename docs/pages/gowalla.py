r"""LightGCN with BPR on Gowalla, epochs of a run."""
from pages.common import fill, load, markdown


def write() -> None:
    run, = load('gowalla_lightgcn_bpr.json')
    curves = run['curves']
    columns = {'validation R@20': 'recall@20', 'test R@20': 'test/recall@20',
               'test N@20': 'test/ndcg@20'}
    fill('gowalla.md', epochs=str(run['epochs']), seconds=f"{run['train_seconds_per_epoch']:.1f}",
         table=markdown([{'epoch': epoch + 1, **{head: f'{curves[key][place]:.4f}'
                                                 for head, key in columns.items()}}
                         for place, epoch in enumerate(curves['epoch'])]))
