import math

import numpy as np
import pytest
import torch

from pyg_advcf import (
    EDGE_TYPE,
    MF,
    Cosine,
    Dot,
    Embeddings,
    InteractionLoader,
    LightGCN,
    degrees,
    evaluate,
    fit,
    interaction_data,
    methods,
)
from pyg_advcf.datasets import SyntheticExposure
from pyg_advcf.metrics import calibrate


@pytest.fixture(scope='module')
def trained():
    data = SyntheticExposure(num_users=300, num_items=200)[0]
    torch.manual_seed(0)
    recommender = methods.infonce(LightGCN(data, dim=16, num_layers=1))
    fit(recommender, InteractionLoader(data, negatives='in_batch'), 20, progress=False)
    return recommender, data


@pytest.mark.parametrize('metric', ['recall@20', 'ndcg@5', 'recall_ips@20', 'map@10'])
def test_every_setting_has_the_value_that_evaluate_gives(trained, metric):
    recommender, data = trained
    found = calibrate(recommender, data, metric=metric, priors=(0, 0.5, 1), norm_powers=(0, 0.5, 1),
                      max_users=None)
    assert len(found.table) == 9
    similarity = recommender.similarity
    assert (similarity.prior, similarity.norm_power) == (found.prior, found.norm_power)
    assert found.value == max(value for *_, value in found.table)
    name, k = metric.split('@')
    for power, prior, value in found.table:
        similarity.prior, similarity.norm_power = prior, power
        measured = evaluate(recommender, data, 'val', int(k), name)['val'][metric]
        assert measured == pytest.approx(value, abs=1e-9)


def test_the_choice_is_kept_and_users_may_be_a_part(trained):
    recommender, data = trained
    a, b = (calibrate(recommender, data, priors=(0, 1), max_users=20, seed=s) for s in (0, 0))
    assert a == b
    c = calibrate(recommender, data, priors=(0, 1), max_users=20, seed=1)
    assert c.table != a.table
    assert recommender.similarity.prior == c.prior
    # What recommends and what evaluates rank alike.
    recommender.similarity.prior = 1.
    lists = recommender.recommend(list(range(300)), k=5).item
    recommender.similarity.prior = 0.
    assert not torch.equal(lists, recommender.recommend(list(range(300)), k=5).item)
    popular = degrees(data)[1].double()
    plain = recommender.recommend(list(range(300)), k=5).item
    assert popular[lists].mean() > popular[plain].mean()


def test_equal_values_choose_no_prior():
    pairs = torch.tensor([[0, 0, 1], [0, 1, 2]])
    data = interaction_data(pairs, 2, 4, val=torch.tensor([[0, 1], [2, 0]]))
    recommender = methods.infonce(MF(data, dim=4))
    found = calibrate(recommender, data, priors=(1, 0.5, 0), metric='recall@4')
    assert found.prior == 0. and found.value == 1.


def test_the_test_set_chooses_nothing(trained):
    recommender, data = trained
    with pytest.raises(ValueError, match='a test set must choose nothing'):
        calibrate(recommender, data, split='test_iid')


@pytest.mark.parametrize('kwargs, words', [
    ({'metric': 'recall'}, "'metric' is 'recall', but needs the form"),
    ({'metric': 'loss@3'}, "'metric'"), ({'priors': ()}, "'priors'"),
    ({'priors': (0, math.nan)}, "'priors'"), ({'norm_powers': 'x'}, "'norm_powers'"),
    ({'max_users': 0}, "'max_users'"), ({'split': 'valid'}, "'split'"),
    ({'propensity_power': -1, 'metric': 'recall_ips@5'}, "'propensity_power'"),
    ({'max_weight': 0, 'metric': 'recall_ips@5'}, "'max_weight'")])
def test_wrong_arguments(trained, kwargs, words):
    with pytest.raises(ValueError, match=words):
        calibrate(*trained, **kwargs)


def test_embeddings_have_no_ranking_to_choose(trained):
    recommender, data = trained
    with pytest.raises(ValueError, match="'model.similarity'"):
        calibrate(recommender.embeddings(), data)


def test_fit_calibrates_and_restores_the_best(trained):
    data = trained[1]
    torch.manual_seed(0)
    recommender = methods.infonce(LightGCN(data, dim=16, num_layers=1))
    history = fit(recommender, InteractionLoader(data, negatives='in_batch'), 15, evaluate_every=3,
                  calibrate={'priors': (0, 0.5, 1, 1.5), 'max_users': None}, progress=False)
    best = history.epochs[history.best_epoch]
    assert recommender.similarity.prior == best['prior']
    assert evaluate(recommender, data, 'val')['val']['recall@20'] == pytest.approx(
        history.best_value)
    assert best['prior'] > 0  # In-batch negatives are popular, and so are validation pairs.


def test_fit_refuses_what_it_cannot_calibrate(trained):
    recommender, data = trained
    for value, words in (('yes', "'calibrate'"), ({'metric': 'recall'}, 'recall@20'),
                         ({'depth': 1}, "'depth'"), ({'priors': ()}, "'priors'")):
        with pytest.raises(ValueError, match=words):
            fit(recommender, InteractionLoader(data), 2, calibrate=value, progress=False)
    bare = interaction_data(data[EDGE_TYPE].edge_index, 300, 200)
    with pytest.raises(ValueError, match="needs a split 'val'"):
        fit(methods.bpr(MF(bare, dim=4)), InteractionLoader(bare), 2, calibrate=True,
            progress=False)


def test_weighted_metrics_by_hand():
    train = torch.tensor([[0, 1, 2, 3, 0], [0, 0, 0, 0, 1]])  # Degrees 4, 1, 0, 0.
    val = torch.tensor([[1, 1, 2], [1, 2, 3]])
    data = interaction_data(train, 4, 4, val=val)
    weight = torch.tensor([1 / 5, 1 / 2, 1., 1.])
    z = Embeddings(torch.eye(4), torch.tensor([[0., 0, 0, 0], [0, 3, 1, 0], [0, 1, 3, 0],
                                               [0, 2, 2, 0]]))
    found = evaluate(z, data, 'val', [1, 2], ['recall_ips', 'ndcg_ips', 'recall'])['val']
    # User 1 is shown 1 and 3, and has 1 and 2; user 2 is shown 2 and 3, and has 3.
    total = weight[1] + weight[2] + weight[3]
    assert found['recall_ips@1'] == pytest.approx(float(weight[1] / total))
    assert found['recall_ips@2'] == pytest.approx(float((weight[1] + weight[3]) / total))
    ideal = weight[2] + weight[1] / math.log2(3) + weight[3]
    assert found['ndcg_ips@2'] == pytest.approx(
        float((weight[1] + weight[3] / math.log2(3)) / ideal))
    assert found['ips_sample_size'] == pytest.approx(float(total**2 / (0.25 + 1 + 1)))
    users = evaluate(z, data, 'val', 2, 'recall_ips', per_user=True)['val']
    assert users['user'].tolist() == [1, 2]
    assert float(users['recall_ips@2'].mean()) == pytest.approx(found['recall_ips@2'])
    clipped = evaluate(z, data, 'val', 2, 'recall_ips', max_weight=0.5)['val']
    assert clipped['recall_ips@2'] == pytest.approx(2 / 3)  # All at the bound.
    flat = evaluate(z, data, 'val', 2, 'recall_ips', propensity_power=0)['val']
    assert flat['recall_ips@2'] == pytest.approx(2 / 3) and flat['ips_sample_size'] == 3


def test_weights_undo_an_exposure_of_that_power():
    r"""Relevant pairs are observed in proportion to degree + 1; the weighted mean finds the truth.

    A ratio of two estimates has a small bias; the plain one is off by many times that.
    """
    torch.manual_seed(0)
    users, items = 600, 60
    degree = torch.arange(items) % 20
    train = torch.tensor([(u, i) for i in range(items) for u in range(int(degree[i]))]).t()
    relevant = torch.rand(users, items) < 0.2
    relevant[:20] = False  # The users that are trained on.
    z = Embeddings(torch.ones(users, 1), degree.float().view(-1, 1))  # Ranks by popularity.

    def measured(pairs, **kwargs):
        data = interaction_data(train, users, items, val=pairs.t())
        return evaluate(z, data, 'val', 10, 'recall_ips', **kwargs)['val']['recall_ips@10']

    truth = measured(relevant.nonzero(), propensity_power=0)
    draws = []
    for _ in range(40):
        seen = relevant & (torch.rand(users, items) < (degree + 1) / 20)
        draws.append([measured(seen.nonzero(), propensity_power=power) for power in (1, 0)])
    weighted, plain = torch.tensor(draws).t()
    error = weighted.std() / math.sqrt(len(draws))
    assert abs(weighted.mean() - truth) < 3 * error + 0.01 * truth
    assert plain.mean() - truth > 20 * error
    assert weighted.std() > plain.std()  # What the weights cost.


def test_rankings_choose_in_service_too():
    pairs = torch.tensor([[0, 1, 2, 3], [0, 0, 0, 1]])
    data = interaction_data(pairs, 4, 3)
    backbone = MF(data, dim=2)
    with torch.no_grad():
        backbone.user_embedding.weight.fill_(1.)
        backbone.item_embedding.weight.copy_(torch.tensor([[1., 1.], [1.1, 1.1], [1.2, 1.2]]))
    user = torch.tensor([3])
    assert backbone.recommend(user, 2).item.tolist() == [[2, 0]]
    found = backbone.recommend(user, 2, similarity=Dot(prior=2.))
    assert found.item.tolist() == [[0, 2]]
    assert found.score[0].tolist() == pytest.approx([2 + 2 * math.log(4), 2.4])
    found = backbone.recommend(user, 2, similarity=Cosine(0.5, norm_power=1.))
    assert found.item.tolist() == [[2, 0]]


@pytest.mark.parametrize('kwargs, words', [
    ({'priors': None}, "'priors'"), ({'priors': 'x'}, "'priors'"), ({'priors': ['x']}, "'priors'"),
    ({'split': ['val']}, "'split'"), ({'split': None}, "'split'"), ({'metric': 3}, "'metric'")])
def test_arguments_of_other_kinds(trained, kwargs, words):
    with pytest.raises(ValueError, match=words):
        calibrate(*trained, **kwargs)


def test_one_prior_and_numbers_of_numpy_will_do(trained):
    assert calibrate(*trained, priors=np.float32(0.5)).prior == 0.5
    assert calibrate(*trained, priors=np.array([0.5, 0.5])).table == calibrate(
        *trained, priors=0.5).table


def test_names_of_a_calibration_are_free_without_one(trained):
    recommender, data = trained
    history = fit(recommender, InteractionLoader(data), 1, track=lambda: {'prior': 3},
                  progress=False)
    assert history.epochs[-1]['prior'] == 3
    with pytest.raises(ValueError, match="returns the name 'prior'"):
        fit(recommender, InteractionLoader(data), 1, track=lambda: {'prior': 3}, calibrate=True,
            progress=False)
