r"""LightGCN on Gowalla: InfoNCE with a calibrated ranking, and epochs of BPR."""
import pandas as pd

from pages.common import fill, load, markdown


def recipe() -> dict[str, str]:
    r"""The run that chose, evaluation by evaluation, and the training anew on all pairs."""
    run, = load('gowalla_recipe')
    curves, test, epochs = run['curves'], run['test']['test'], run['best_epoch'] + 1
    seconds, refit = run['train_seconds_per_epoch'], run['refit_seconds_per_epoch']
    rows = [{'trained on': 'training pairs', 'epoch': epoch + 1,
             'minutes': f'{(epoch + 1) * seconds / 60:.1f}', 'prior': f'{prior:g}',
             'validation R@20': f'{valid:.4f}', 'test R@20': f'{recall:.4f}',
             'test N@20': f'{ndcg:.4f}'}
            for epoch, prior, valid, recall, ndcg in zip(*(curves[key] for key in (
                'epoch', 'prior', 'recall@20', 'test/recall@20', 'test/ndcg@20')))]
    rows.append({'trained on': '**training and validation pairs**', 'epoch': epochs,
                 'minutes': f'{epochs * refit / 60:.1f}',
                 'prior': f"{run['ranking']['prior']:g}", 'validation R@20': '',
                 'test R@20': f"**{test['recall@20']:.4f}**",
                 'test N@20': f"**{test['ndcg@20']:.4f}**"})
    return {'recipe': markdown(rows), 'recall': f"{test['recall@20']:.4f}",
            'ndcg': f"{test['ndcg@20']:.4f}", 'best': str(epochs),
            'minutes': f'{epochs * refit / 60:.0f}', 'prior': f"{run['ranking']['prior']:g}"}


def write() -> None:
    run, = load('gowalla_lightgcn_bpr')
    table = pd.DataFrame(run['curves'])[['recall@20', 'test/recall@20', 'test/ndcg@20']]
    table.columns = ['validation R@20', 'test R@20', 'test N@20']
    table = table.map('{:.4f}'.format)
    table.insert(0, 'epoch', [epoch + 1 for epoch in run['curves']['epoch']])
    fill('gowalla.md', **recipe(), table=markdown(table.to_dict('records')),
         epochs=str(run['epochs']), seconds=f"{run['train_seconds_per_epoch']:.1f}")
