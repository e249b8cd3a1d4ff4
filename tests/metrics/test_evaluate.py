import math

import pytest
import torch

from pyg_advcf import (
    EDGE_TYPE,
    MF,
    Cosine,
    Dot,
    Embeddings,
    evaluate,
    held_out,
    interaction_data,
    methods,
)
from pyg_advcf.metrics import METRICS, evaluate_by_degree, evaluate_by_user


def brute_force(z, data, split, k, protocol):
    r"""One user at a time, straight from the definitions."""
    n, m = data['user'].num_nodes, data['item'].num_nodes

    def items_of(pairs):
        out = [set() for _ in range(n)]
        for u, i in pairs.t().tolist():
            out[u].add(i)
        return out

    train = items_of(data[EDGE_TYPE].edge_index)
    val = items_of(held_out(data, 'val'))
    tests = {s: items_of(held_out(data, s)) for s in ('test_iid', 'test_ood')}
    truth = val if split == 'val' else tests[split]
    candidates = data['item'].get('candidate_mask')
    barred = set() if candidates is None else {i for i in range(m) if not candidates[i]}
    popularity = torch.bincount(data[EDGE_TYPE].edge_index[1], minlength=m).tolist()
    weight = [1 / (p + 1) for p in popularity]
    rows, recommended, totals = {}, set(), torch.zeros(2, dtype=torch.float64)
    for u in range(n):
        seen = set(train[u]) if split == 'val' else train[u] | val[u]
        t = set(truth[u])
        if protocol == 'clean':
            t -= seen | barred
        if not t:
            continue
        mask = seen | barred
        if split != 'val':
            for other, items in tests.items():
                if other != split:
                    mask = mask | items[u]
            mask = mask - t
        scores = z.user[u] @ z.item.t()
        order = sorted((i for i in range(m) if i not in mask),
                       key=lambda i: (-float(scores[i]), i))[:k]
        hits = [1 if i in t else 0 for i in order]
        precision = [sum(hits[:r + 1]) / (r + 1) * h for r, h in enumerate(hits)]
        ideal = sum(1 / math.log2(r + 2) for r in range(min(k, len(t))))
        recommended |= set(order)
        rows[u] = {
            'recall': sum(hits) / len(t), 'precision': sum(hits) / k, 'hr': float(any(hits)),
            'ndcg': sum(h / math.log2(r + 2) for r, h in enumerate(hits)) / ideal,
            'map': sum(precision) / min(k, len(t)),
            'map_hits': sum(precision) / max(sum(hits), 1),
            'mrr': 1 / (hits.index(1) + 1) if any(hits) else 0.,
            'popularity': sum(popularity[i] for i in order) / max(len(order), 1),
            'recall_ips': sum(h * weight[i] for h, i in zip(hits, order)),
            'ndcg_ips': sum(h * weight[i] / math.log2(r + 2)
                            for r, (h, i) in enumerate(zip(hits, order))),
        }
        heaviest = sorted((weight[i] for i in t), reverse=True)[:k]
        totals[0] += sum(weight[i] for i in t)
        totals[1] += sum(w / math.log2(r + 2) for r, w in enumerate(heaviest))
    for row in rows.values():
        for name, total in zip(('recall_ips', 'ndcg_ips'), totals.tolist()):
            row[name] *= len(rows) / total
    means = {name: sum(r[name] for r in rows.values()) / len(rows) for name in METRICS
             if name != 'coverage'}
    return {**means, 'coverage': len(recommended) / m}, rows


def overlapping(toy):
    r"""Test pairs that also occur in training, validation and the other test set."""
    store = toy[EDGE_TYPE]
    store.test_ood_edge_label_index = torch.cat(
        [store.test_ood_edge_label_index, store.edge_index[:, :20],
         store.val_edge_label_index[:, :10], store.test_iid_edge_label_index[:, :10]], dim=1)
    return toy


@pytest.mark.parametrize('protocol', ['clean', 'official'])
@pytest.mark.parametrize('barred', [False, True])
@pytest.mark.parametrize('k', [1, 3, 20, 60])
@pytest.mark.parametrize('ties', [False, True])
def test_equals_brute_force(toy, protocol, barred, k, ties):
    data = overlapping(toy)
    if barred:
        data['item'].candidate_mask = torch.rand(40) < 0.5
    z = Embeddings(torch.randn(30, 4, dtype=torch.float64), torch.randn(40, 4, dtype=torch.float64))
    if ties:
        z = Embeddings(*(t.round() for t in z))
    splits = ['val', 'test_iid', 'test_ood']
    got = evaluate(z, data, splits, k, METRICS, protocol, batch_size=7)
    rows = evaluate(z, data, splits, k, METRICS, protocol, batch_size=100, per_user=True)
    for split in splits:
        means, users = brute_force(z, data, split, k, protocol)
        for name, value in means.items():
            # PyTorch Geometric averages coverage in float32.
            tolerance = 1e-6 if name == 'coverage' else 1e-12
            assert got[split][f'{name}@{k}'] == pytest.approx(value, abs=tolerance), (split, name)
        assert rows[split]['user'].tolist() == sorted(users)
        for name in set(METRICS) - {'coverage'}:
            expected = torch.tensor([users[u][name] for u in sorted(users)], dtype=torch.float64)
            assert torch.allclose(rows[split][f'{name}@{k}'], expected, atol=1e-12), (split, name)


def test_several_k_and_chunks_change_nothing(toy):
    z = Embeddings(torch.randn(30, 4), torch.randn(40, 4))
    together = evaluate(z, toy, k=(5, 10, 20), batch_size=3)
    for k in (5, 10, 20):
        alone = evaluate(z, toy, k=k)
        for split in alone:
            for name, value in alone[split].items():
                assert together[split][name] == pytest.approx(value, abs=1e-12)
    values = together['test_iid']
    assert values['recall@5'] <= values['recall@10'] <= values['recall@20']
    assert values['hr@5'] <= values['hr@10'] <= values['hr@20']


def test_perfect_ranking():
    test = torch.tensor([[0, 0, 0, 1], [0, 1, 2, 3]])
    data = interaction_data(torch.tensor([[0, 1], [4, 4]]), 2, 6, test=test)
    z = Embeddings(torch.eye(2), torch.tensor([[1., 0], [1, 0], [1, 0], [0, 1], [0, 0], [-1, -1]]))
    got = evaluate(z, data, k=2, metrics=METRICS)['test']
    assert got['ndcg@2'] == got['map@2'] == got['mrr@2'] == got['hr@2'] == 1
    assert got['recall@2'] == pytest.approx((2 / 3 + 1) / 2)
    single = evaluate(z, interaction_data(torch.tensor([[0, 1], [4, 4]]), 2, 6,
                                          test=test[:, 3:]), k=5, metrics=METRICS)['test']
    assert single['map@5'] == single['mrr@5'] and single['recall@5'] == single['hr@5']


def test_protocols_on_overlap(toy):
    data = overlapping(toy)
    z = Embeddings(torch.randn(30, 4), torch.randn(40, 4))
    clean = evaluate(z, data, 'test_ood', per_user=True)['test_ood']
    official = evaluate(z, data, 'test_ood', per_user=True, protocol='official')['test_ood']
    assert official['user'].numel() >= clean['user'].numel()
    assert evaluate(z, data, 'test_ood') != evaluate(z, data, 'test_ood', protocol='official')
    assert evaluate(z, data, 'test_ood') == evaluate(z, data, 'test_ood', protocol='clean')


def test_uses_the_similarity_of_the_method(toy):
    method = methods.infonce(MF(toy, dim=4, init='normal_0.1'))
    with torch.no_grad():
        method.backbone.item_embedding.weight.mul_(torch.rand(40, 1) * 10)
    z = method.embeddings()
    assert evaluate(method, toy) == evaluate(z, toy, similarity=Cosine())
    assert evaluate(method, toy) != evaluate(method.backbone, toy)


def test_fewer_candidates_than_k():
    data = interaction_data(torch.tensor([[0, 0], [0, 1]]), 1, 3, test=torch.tensor([[0], [2]]))
    z = Embeddings(torch.ones(1, 1), torch.ones(3, 1))
    got = evaluate(z, data, k=20, metrics=METRICS)['test']
    assert got['recall@20'] == got['ndcg@20'] == 1 and got['precision@20'] == 1 / 20
    assert got['coverage@20'] == pytest.approx(1 / 3) and got['popularity@20'] == 0


@pytest.mark.parametrize('kwargs, message', [
    (dict(splits='tests'), "'splits' is 'tests'"), (dict(k=0), "'k' is 0"),
    (dict(metrics=['reccall']), "Did you mean 'recall'"), (dict(metrics=[]), 'nothing to measure'),
    (dict(protocol='offical'), "Did you mean 'official'"), (dict(batch_size=0), "'batch_size'"),
])
def test_bad_arguments(toy, kwargs, message):
    with pytest.raises(ValueError, match=message):
        evaluate(MF(toy, dim=4), toy, **kwargs)


def test_a_single_metric_and_numpy_k(toy):
    import numpy as np
    got = evaluate(MF(toy, dim=4), toy, k=np.int64(5), metrics='recall')
    assert list(got['test_iid']) == ['recall@5']


def test_held_out_ids_out_of_range(toy):
    toy[EDGE_TYPE].test_ood_edge_label_index = torch.tensor([[0, 30], [1, 1]])
    model = Embeddings(torch.randn(30, 2), torch.randn(40, 2))
    with pytest.raises(ValueError, match=r"'test_ood_edge_label_index\[0\]' holds the id 30"):
        evaluate(model, toy)


def test_validation_is_ranked_without_training_items_under_both_protocols():
    pairs = torch.tensor([[0, 0], [0, 1]])
    data = interaction_data(pairs, 1, 4, val=torch.tensor([[0, 0], [1, 2]]))
    z = Embeddings(torch.ones(1, 1), torch.tensor([[4.], [3.], [2.], [1.]]))
    assert evaluate(z, data, 'val', 1, 'recall')['val']['recall@1'] == 1
    official = evaluate(z, data, 'val', 4, 'recall', protocol='official')['val']['recall@4']
    assert official == 0.5


def test_bad_data_and_models(toy, toy_factory):
    with pytest.raises(ValueError, match="'data' has no test set"):
        evaluate(MF(toy, dim=4), toy_factory(held_out=False))
    with pytest.raises(ValueError, match='embeds 5 users and 40 items'):
        evaluate(Embeddings(torch.randn(5, 2), torch.randn(40, 2)), toy)
    bad = Embeddings(torch.full((30, 2), float('nan')), torch.randn(40, 2))
    with pytest.raises(ValueError, match='user embeddings of .* not finite.*learning rate'):
        evaluate(bad, toy)
    store = toy[EDGE_TYPE]
    store.test_ood_edge_label_index = store.edge_index[:, :5]
    with pytest.raises(ValueError, match="every pair of the split 'test_ood' also occurs"):
        evaluate(MF(toy, dim=4), toy)


def test_scores_that_overflow(toy):
    large = Embeddings(torch.full((30, 2), 1e20), torch.randn(40, 2).sign() * 1e20)
    for look in (lambda: evaluate(large, toy),
                 lambda: evaluate_by_user(large, toy, {'all': torch.ones(30).bool()}),
                 lambda: evaluate_by_degree(large, toy, (0, 100), 'test_iid'),
                 lambda: MF(toy, dim=2).recommend([0], z=large)):
        with pytest.raises(ValueError, match='scores may exceed the largest torch.float32'):
            look()
    with pytest.raises(ValueError, match='length may exceed'):
        evaluate(large, toy, similarity=Cosine())
    with pytest.raises(ValueError, match="'similarity' is Dot.*raise its temperature"):
        MF(toy, dim=2).recommend([0], similarity=Dot(1e-45))


@pytest.mark.parametrize('key', ['edge_index', 'val_edge_label_index', 'test_ood_edge_label_index'])
def test_pairs_changed_after_construction(toy, key):
    z = Embeddings(torch.randn(30, 2), torch.randn(40, 2))
    evaluate(z, toy)
    toy[EDGE_TYPE][key][1, 0] = 40  # Was read as item 0 of the next user.
    for look in (lambda: evaluate(z, toy), lambda: evaluate_by_degree(z, toy, (0, 9), 'test_iid'),
                 lambda: evaluate_by_user(z, toy, {'all': torch.ones(30).bool()})):
        with pytest.raises(ValueError, match=rf"'{key}\[1\]' holds the id 40"):
            look()


def test_the_number_of_threads_changes_nothing(toy):
    z, before = Embeddings(torch.randn(30, 163), torch.randn(40, 163)), torch.get_num_threads()
    found = []
    try:
        for number in (1, 2, 4):
            torch.set_num_threads(number)
            found.append(evaluate(z, toy, k=(1, 5), metrics=METRICS, batch_size=7))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]
