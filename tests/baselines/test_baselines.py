import inspect

import pytest
import torch
from torch_geometric.data import HeteroData

import pyg_advcf
from pyg_advcf import EDGE_TYPE, Cosine, evaluate, interaction_data, known_pairs
from pyg_advcf.baselines import IALS, Baseline
from pyg_advcf.pairs import PairSet
from pyg_advcf.ranking import Scorer, recommend
from pyg_advcf.record import arguments, describe
from pyg_advcf.registry import BASELINES
from pyg_advcf.transforms import RandomSplit


@pytest.fixture(params=BASELINES)
def build(request):
    return BASELINES[request.param]


@pytest.fixture(autouse=True)
def in_double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_all_are_registered_by_a_class_that_takes_data_first():
    assert set(BASELINES) == {'popularity', 'item_knn', 'ease', 'gf_cf', 'ials'}
    for name, cls in BASELINES.items():
        first, *others = inspect.signature(cls).parameters.values()
        assert first.name == 'data' and issubclass(cls, Baseline), name
        assert all(other.default is not other.empty for other in others), name
        assert getattr(pyg_advcf.baselines, cls.__name__) is cls


def test_scores_and_lists(build, toy):
    model = build(toy)
    assert isinstance(model, Scorer) and '30 users, 40 items' in repr(model)
    users = torch.tensor([3, 0, 3, 29])
    scores = model.scores(users)
    assert scores.shape == (4, 40) and scores.dtype == torch.float64
    assert torch.equal(scores[0], scores[2])
    assert torch.allclose(scores, model.scores(torch.arange(30))[users], atol=1e-12)
    assert model.scores(users.int()).shape == (4, 40)
    assert model.scores(users[:0]).shape == (0, 40)
    scores[model.known.of_users(users)] = float('-inf')
    best = scores.sort(dim=1, descending=True, stable=True)
    found = model.recommend(users.tolist(), k=5, progress=False)
    assert torch.allclose(found.score, best[0][:, :5], atol=1e-12)
    for row, listed in zip(scores, found.item):
        assert torch.allclose(row[listed], row.sort(descending=True)[0][:5], atol=1e-12)
    assert torch.equal(found.item, recommend(model, users, 5, model.known).item)


def test_evaluation_equals_that_of_its_scores(build, toy):
    # Embeddings whose dot products are the scores: one-hot users.
    model = build(toy)
    z = pyg_advcf.Embeddings(torch.eye(30), model.scores(torch.arange(30)).t().contiguous())
    kwargs = dict(k=[5, 20], metrics=['recall', 'ndcg', 'coverage'], progress=False)
    assert evaluate(model, toy, **kwargs) == evaluate(z, toy, **kwargs)
    toy['item'].candidate_mask = torch.arange(40) % 3 > 0
    for protocol in ('clean', 'official'):
        assert evaluate(model, toy, ['val', 'test_ood'], protocol=protocol, **kwargs) == evaluate(
            z, toy, ['val', 'test_ood'], protocol=protocol, **kwargs)
    masked = build(toy).recommend(torch.arange(30), k=40)
    assert set(masked.item.unique().tolist()) <= {-1, *range(1, 40, 3), *range(2, 40, 3)}


def test_the_number_of_threads_changes_nothing(build, toy):
    model, before, found = build(toy), torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(model.recommend(torch.arange(30), k=9, batch_size=4))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0].item, found[1].item)
    assert torch.equal(found[0].score, found[1].score)


def test_the_fit_repeats_itself_and_does_not_depend_on_the_order(build, toy):
    shuffled = toy.clone()
    pairs = toy[EDGE_TYPE].edge_index
    shuffled[EDGE_TYPE].edge_index = pairs[:, torch.randperm(pairs.size(1))].int()
    users = torch.arange(30)
    assert torch.equal(build(toy).scores(users), build(shuffled).scores(users))


def test_pairs_of_outer_are_training_pairs(build, toy):
    split = RandomSplit(val=0., outer=0.3, per_user=False)(toy)
    assert split[EDGE_TYPE].edge_index.size(1) < toy[EDGE_TYPE].edge_index.size(1)
    users = torch.arange(30)
    assert torch.equal(build(split).scores(users), build(toy).scores(users))
    assert len(build(split).known) == known_pairs(split).size(1)
    # One that is in both counts once.
    both = toy.clone()
    both[EDGE_TYPE].outer_edge_label_index = toy[EDGE_TYPE].edge_index[:, :7]
    assert torch.equal(build(both).scores(users), build(toy).scores(users))


def test_edges_of_another_name(build, toy):
    named = HeteroData()
    named['customer'].num_nodes, named['article'].num_nodes = 30, 40
    for key, value in toy[EDGE_TYPE].items():
        named['customer', 'buys', 'article'][key] = value
    named['article', 'like', 'article'].edge_index = torch.tensor([[0], [1]])
    model = build(named)
    assert torch.equal(model.scores(torch.arange(30)), build(toy).scores(torch.arange(30)))
    assert evaluate(model, named) == evaluate(build(toy), toy)


def test_isolated_users_and_items_and_dense_data(build):
    data = interaction_data(torch.tensor([[1, 1, 2], [0, 2, 2]]), 5, 6)
    scores = build(data).scores(torch.arange(5))
    assert not scores.isnan().any()
    if build is not BASELINES['popularity']:
        assert not scores[[0, 3, 4]].any()
    full = interaction_data(torch.cartesian_prod(torch.arange(3), torch.arange(4)).t(), 3, 4)
    assert build(full).scores(torch.arange(3)).isfinite().all()
    assert build(full).recommend([0], k=2).item.tolist() == [[-1, -1]]


def test_single_precision_is_close(build, toy):
    exact = build(toy).scores(torch.arange(30))
    torch.set_default_dtype(torch.float32)
    found = build(toy).scores(torch.arange(30))
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), exact, rtol=1e-3, atol=1e-3 * float(exact.abs().max()))


def test_what_it_was_made_of_is_recorded(build, toy):
    model = build(toy)
    assert arguments(model)['data'] is toy
    assert describe(model)['class'].endswith(build.__name__)


def test_errors(build, toy, toy_factory):
    with pytest.raises(ValueError, match="'data' is 3"):
        build(3)
    model = build(toy)
    for wrong, message in (([30], r"'user_ids' holds the id 30.*\[0, 30\)"),
                           (['a'], "'user_ids' is the list"), ('x', "'user_ids' is 'x'")):
        with pytest.raises(ValueError, match=message):
            model.recommend(wrong)
    with pytest.raises(ValueError, match="'k' is 0"):
        model.recommend([0], k=0)
    with pytest.raises(ValueError, match="'users' holds the id 30"):
        model.scores(torch.tensor([30]))
    with pytest.raises(ValueError, match="'users' has dtype torch.float64"):
        model.scores(torch.zeros(2))
    with pytest.raises(ValueError, match="'similarity' is Cosine.*scores by itself"):
        evaluate(model, toy, similarity=Cosine())
    with pytest.raises(ValueError, match="'model' scores 40 items for 30 users.*fit it to"):
        evaluate(model, toy_factory(num_users=31))
    with pytest.raises(ValueError, match="'model' is <class.*needs to be"):
        evaluate(build, toy)
    with pytest.raises(ValueError, match="'seen' is of 2 users"):
        recommend(model, torch.tensor([0]), 2, PairSet.of(torch.tensor([[0], [0]]), 2, 40))


def test_embeddings_take_another_similarity(toy):
    z = IALS(toy, dim=4).embeddings()
    assert evaluate(z, toy) == evaluate(IALS(toy, dim=4), toy)
    assert evaluate(z, toy, similarity=Cosine()) != evaluate(z, toy)
