r"""What every public door says to wrong arguments, as a table of calls and the words expected."""
import math
from functools import cache

import numpy as np
import pytest
import torch
from torch_geometric import EdgeIndex

from pyg_advcf import (
    MF,
    Batch,
    Cosine,
    Embeddings,
    InteractionLoader,
    LightGCN,
    Recommender,
    criteria,
    degrees,
    diagnostics,
    evaluate,
    held_out,
    interaction_data,
    known_pairs,
    methods,
    metrics,
    nn,
    split_names,
    transforms,
    validate,
)
from pyg_advcf.criteria import functional
from pyg_advcf.loader import NegativeSampler
from pyg_advcf.ranking import map_scores, recommend

N, M = 6, 9


@cache
def data():
    pairs = torch.tensor([[u, (u + j) % M] for u in range(N) for j in range(4)]).t()
    return interaction_data(pairs[:, ::2].contiguous(), N, M, val=pairs[:, 1::4].contiguous(),
                            test=pairs[:, 3::4].contiguous())


@cache
def mf():
    return MF(data(), dim=4)


def z(users=N, items=M, width=4, dtype=torch.float32):
    return Embeddings(torch.ones(users, width, dtype=dtype), torch.ones(items, width, dtype=dtype))


def batch(**changes):
    ids = {'user': [0, 1], 'item': [1, 2], 'neg_item': [[3], [4]], 'id': [0, 1]}
    return Batch(**{name: torch.tensor(value) for name, value in ids.items()})._replace(**changes)


POS, NEG = torch.zeros(2), torch.zeros(2, 1)
PAIRS = torch.tensor([[0, 1], [0, 1]])

# Integers of any width are ids; everything else is refused where it comes in.
CONSTRUCTION = [
    (lambda: interaction_data([[0], [1]], N, M), "'edge_index' is the list .*torch.tensor"),
    (lambda: interaction_data(PAIRS.numpy(), N, M), "'edge_index' is a NumPy array.*from_numpy"),
    (lambda: interaction_data(PAIRS.float(), N, M), "'edge_index' has dtype torch.float32"),
    (lambda: interaction_data(PAIRS.bool(), N, M), "'edge_index' has dtype torch.bool"),
    (lambda: interaction_data(PAIRS * 1j, N, M), "'edge_index' has dtype torch.complex64"),
    (lambda: interaction_data(PAIRS.to_sparse(), N, M), "'edge_index' is a sparse.*to_dense"),
    (lambda: interaction_data(PAIRS.repeat(2, 1)[:3], N, M), r"'edge_index'.*shape \[3, 2\]"),
    (lambda: interaction_data(PAIRS, N, M, val=None), "'val_edge_label_index' is None"),
    (lambda: interaction_data(PAIRS, True, M), "'num_users' is True"),
    (lambda: interaction_data(PAIRS, N, '9'), "'num_items' is '9'"),
    (lambda: interaction_data(PAIRS, 2, 2**62), "'num_items' is 4611686018427387904.*64 bits"),
    (lambda: validate(None), "'data' is None.*interaction_data"),
    (lambda: degrees('x'), "'data' is 'x'"), (lambda: known_pairs(3), "'data' is 3"),
    (lambda: split_names([]), "'data' is the list"),
    (lambda: held_out(data(), ['val']), "'split' is the list"),
    (lambda: InteractionLoader(None), "'data' is None"),
    (lambda: InteractionLoader(data(), seed='x'), "'seed' is 'x'"),
    (lambda: InteractionLoader(data(), drop_last='no'), "'drop_last' is 'no'.*True or False"),
    (lambda: InteractionLoader(data(), batch_size=None), "'batch_size' is None"),
    (lambda: InteractionLoader(data()).collate(torch.tensor([99])), "'index' holds the id 99"),
    (lambda: InteractionLoader(data()).load_state_dict(3), "'state' is 3"),
    (lambda: NegativeSampler(data(), generator=3), "'generator' is 3"),
    (lambda: NegativeSampler(data(), more=[[0], [1]]), "'more' is the list"),
    (lambda: NegativeSampler(data())(torch.tensor([-1]), 2), "'user' holds the id -1"),
    (lambda: NegativeSampler(data())(torch.tensor([0]), 'x'), "'num_neg' is 'x'"),
]

TRANSFORMS = [
    (lambda: transforms.EdgeDrop(None), "'ratio' is None"),
    (lambda: transforms.EdgeDrop(0.1, generator=3), "'generator' is 3"),
    (lambda: transforms.EdgeDrop(0.1).graphs(3), "'graph' is 3.*as_graph"),
    (lambda: transforms.EdgeDrop(0.1).graphs(mf().graph, None), "'count' is None"),
    (lambda: transforms.RandomWalk(0.1, seed=1.5), "'seed' is 1.5"),
    (lambda: transforms.RandomSplit('x'), "'val' is 'x'"),
    (lambda: transforms.RandomSplit(per_user=3), "'per_user' is 3"),
    (lambda: transforms.ColdStartSplit(test=0), "'test' is 0"),
    (lambda: transforms.SampleUsers([0.5]), "'ratio' is the list"),
    (lambda: transforms.AddInteractionNoise(0.1, None), "'seed' is None"),
    (lambda: transforms.PopularityShiftSplit(3), "'gammas' is 3"),
    (lambda: transforms.PopularityShiftSplit(('a', )), "'gammas' is 'a'"),
    (lambda: transforms.PopularityShiftSplit((200, 10), 0.1, num_groups=3)(interaction_data(
        torch.cartesian_prod(torch.arange(2), torch.arange(3)).t(), 2, 3)),
     "test set of 'gammas' = 10 would be empty.*raise 'test_ratio'"),
    (lambda: transforms.FastGradient(objective=3), "'objective' is 3"),
    (lambda: transforms.FastGradient().delta(None, torch.sum), "'x' is None"),
    (lambda: transforms.FastGradient().delta(z(), lambda x: x.user), "'objective' returns"),
    (lambda: transforms.FastGradient().delta(z(), lambda x: x.user.detach().sum()),
     "'objective' returns .*do not detach"),
    (lambda: transforms.RandomNoise()(data()), r"data\['user'\].x is missing"),
    *((lambda t=t: t(None), "'data' is None") for t in (
        transforms.EdgeDrop(), transforms.NodeDrop(), transforms.RandomWalk(), transforms.KCore(1),
        transforms.RandomSplit(), transforms.ColdStartSplit(), transforms.SampleUsers(0.5),
        transforms.AddInteractionNoise(0.1), transforms.PopularityShiftSplit(),
        transforms.RandomNoise())),
]

BATCHES = [
    (None, "needs 'batch'|'batch' is None"), ((0, 1), "'batch' is the tuple"),
    (batch(user=torch.tensor([0, 1, 2])), r"user, item and id of the shapes \[3\], \[2\] and"),
    (batch(neg_item=torch.tensor([[3, 4]])), r"2 rows and neg_item of shape \[1, 2\]"),
    (batch(neg_item=torch.tensor([[3, 4], [3, 4]])), "2 rows with 2 negatives, but 'neg' scores"),
    (batch(neg_mask=torch.ones(2, 1)), "'batch.neg_mask' has dtype torch.float32"),
    (batch(neg_mask=torch.ones(1, 1).bool()), r"'batch.neg_mask' has shape \[1, 1\]"),
    (batch(user=[0, 1]), "'batch.user' is the list"),
    (batch(item=torch.tensor([0., 1.])), "'batch.item' has dtype torch.float32"),
    (batch(item=torch.tensor([0, 1], device='meta')), 'one device'),
]

SCORES = [
    (POS.long(), NEG, "'pos' has dtype torch.int64"), (POS, NEG.long(), "'neg' has dtype"),
    (POS, NEG.double(), "'pos' is of torch.float32 .*'neg' of torch.float64"),
    (POS, NEG.to('meta'), 'on cpu .*on meta'), (POS.tolist(), NEG, "'pos' is the list"),
    (POS, None, "'neg' is None"), (POS[:0], NEG[:0], "'pos' is empty"),
    (POS, NEG[:, :0], 'at least one negative'), (POS[:1], NEG, r'need to be \[B\] and \[B, N\]'),
]


@cache
def on_scores():
    factors = [t.float() for t in criteria.constraint_weights(*degrees(data()))]
    degree = degrees(data())
    return {
        'adaptau': criteria.AdapTau(N), 'advinfonce': criteria.AdvInfoNCE(N, M, 4),
        'bc': criteria.BCLoss(*degree, 4), 'bce': criteria.BCE(), 'bir': criteria.BIR(degree[1]),
        'bpr': criteria.BPR(), 'bsl': criteria.BSL(), 'ccl': criteria.CCL(),
        'constrained': criteria.ConstrainedBCE(*factors), 'dcl': criteria.DCL(),
        'hinge': criteria.Hinge(), 'infol1o': criteria.InfoL1O(), 'infonce': criteria.InfoNCE(),
        'sdro': criteria.SDRO(torch.arange(N) % 2), 'supcon': criteria.SupCon(),
        'warp': criteria.WARP(M)}


def test_all_criteria_on_scores_are_here():
    kinds = {type(c) for c in on_scores().values()}
    every = {c for c in vars(criteria).values() if isinstance(c, type)
             and issubclass(c, criteria.Criterion) and c not in (
                 criteria.Criterion, criteria.EmbeddingCriterion, criteria.DirectAU)}
    assert kinds == every - {criteria.XIR}  # Its negatives are not those of the batch.


# Who has a table of the users, and of the items.
OF_USERS = ('adaptau', 'advinfonce', 'bc', 'constrained', 'sdro')
OF_ITEMS = ('advinfonce', 'bc', 'bir', 'constrained')
OUTSIDE = [
    *((name, batch(user=torch.tensor([0, bad])), "'batch.user' holds the id")
      for name in OF_USERS for bad in (-1, N)),
    *((name, batch(neg_item=torch.tensor([[0], [bad]])), "'batch.neg_item' holds the id")
      for name in OF_ITEMS for bad in (-1, M)),
]


@pytest.mark.parametrize('name, wrong, words', OUTSIDE)
def test_criteria_refuse_ids_without_a_row(name, wrong, words):
    with pytest.raises(ValueError, match=words):
        on_scores()[name](POS, NEG, wrong)


@pytest.mark.parametrize('bad', [-1, M])
def test_xir_refuses_ids_without_a_row(bad):
    criterion = criteria.XIR(torch.ones(M), cache_size=3)
    wrong = batch(neg_item=torch.tensor([1, 2, 0, 0, bad]))
    with pytest.raises(ValueError, match=f"'batch.neg_item' holds the id {bad}"):
        criterion(POS, torch.zeros(2, 5), wrong)


@pytest.mark.parametrize('wrong, words', BATCHES)
def test_criteria_refuse_batches_that_do_not_fit(wrong, words):
    for criterion in on_scores().values():
        if wrong is not None or criterion.needs_batch:
            with pytest.raises(ValueError, match=words):
                criterion(POS, NEG, wrong)


@pytest.mark.parametrize('pos, neg, words', SCORES)
def test_criteria_refuse_scores_that_do_not_fit(pos, neg, words):
    for criterion in on_scores().values():
        with pytest.raises(ValueError, match=words):
            criterion(pos, neg, batch())


@pytest.mark.parametrize('width', [torch.int8, torch.uint8, torch.int16, torch.int32])
def test_ids_of_any_width_give_the_same(width):
    two = batch(neg_item=torch.tensor([[3, 5], [4, 3]]))
    narrow = Batch(*(t.to(width) for t in two[:4]))
    for name, criterion in on_scores().items():
        losses = []
        for given in (two, narrow):
            torch.manual_seed(0)
            losses.append(criterion.eval()(POS, NEG.repeat(1, 2), given))
        assert torch.equal(*losses), name
    assert torch.equal(Cosine(0.1)(z(), two)[0], Cosine(0.1)(z(), narrow)[0])
    method = methods.bpr(mf())
    assert torch.equal(method(two), method(narrow))
    pairs = data()['user', 'interacts', 'item'].edge_index
    again = interaction_data(pairs.to(width), N, M)
    assert torch.equal(degrees(again)[1], degrees(data())[1])
    for transform in (transforms.EdgeDrop(0.5), transforms.KCore(1), transforms.RandomSplit(0.5)):
        found, expected = (transform(d)['user', 'interacts', 'item'].edge_index.long()
                           for d in (again, interaction_data(pairs, N, M)))
        assert torch.equal(found, expected)


CRITERIA = [
    (lambda: criteria.BPR('avg'), "'reduction' is 'avg'"),
    (lambda: functional.bpr(POS, NEG, 'avg'), "'reduction' is 'avg'"),
    (lambda: functional.bce(POS, NEG, -1.), "'neg_weight' is -1.0"),
    (lambda: functional.hinge(POS, NEG, None), "'margin' is None"),
    (lambda: functional.ccl(POS, NEG, margin=2), "'margin' is 2"),
    (lambda: functional.advinfonce(POS, NEG, NEG[:1]), r"'log_hardness' has shape \[1, 1\]"),
    (lambda: functional.adaptau(POS, NEG, 1., POS), "'pos_temperature' is 1.0"),
    (lambda: functional.bc(POS, NEG, NEG), r"'margin' has shape \[2, 1\]"),
    (lambda: functional.resample(NEG, torch.zeros(3), 2), r"'log_q' has shape \[3\]"),
    (lambda: functional.supcon(POS, NEG, POS), "'user' has dtype torch.float32"),
    (lambda: functional.bsl(POS, NEG, torch.tensor([0])), r"'user' has shape \[1\]"),
    (lambda: functional.sdro(POS, torch.tensor([0, 2]), POS), "'group' holds the id 2"),
    (lambda: functional.uniformity(POS), r"'x' has shape \[2\]"),
    (lambda: functional.alignment(NEG, POS), "'item' has shape"),
    (lambda: functional.distance_correlation(NEG, NEG[:1]), "'y' has shape"),
    (lambda: functional.trajectory(POS, NEG), "'before' has shape"),
    (lambda: functional.popularity_groups(PAIRS), "'graph' is a tensor .*as_graph"),
    (lambda: criteria.AdvInfoNCE(N, M, 0), "'dim' is 0"),
    (lambda: criteria.AdvInfoNCE(N, M, 4, popularity='x'), "'popularity' is 'x'"),
    (lambda: criteria.AdvInfoNCE(N, M, 4, hardness='mlp')(
        POS, NEG.repeat(1, 2), batch(neg_item=torch.tensor([[3, 5], [4, 3]])), x=z(width=3)),
     "'x' has width 3, .*'dim' = 4"),
    (lambda: criteria.BIR([1, 2]), "'popularity' is the list"),
    (lambda: criteria.BIR(torch.tensor([1., math.nan])), "'popularity' is a tensor .*finite"),
    (lambda: criteria.XIR(torch.ones(M), weight=None), "'weight' is None"),
    (lambda: criteria.BCLoss(torch.ones(0), torch.ones(2)), "'user_degree' is a tensor"),
    (lambda: criteria.ConstrainedBCE(torch.ones(N), torch.ones(M), 3), "'weights' is 3"),
    (lambda: criteria.ConstrainedBCE(torch.ones(N), None), "'item_factor' is None"),
    (lambda: criteria.SDRO([0, 1]), "'group' is the list"),
    (lambda: criteria.InstanceWeighted(3, 4), "'criterion' is 3"),
    (lambda: criteria.InstanceWeighted(criteria.BPR(), 4)(POS, NEG, batch(), z(width=3)),
     "'z' has width 3"),
    (lambda: criteria.InstanceWeighted(criteria.BPR(), 4)(POS, NEG, weight=NEG),
     "'weight' has shape"),
    (lambda: criteria.anchored_weights(POS, NEG), "'losses' has shape"),
    (lambda: criteria.anchored_weights(POS - 1, POS), "'weights' holds -1, .*exponential"),
    (lambda: criteria.DirectAU()(3, batch()), "'z' is 3"),
    (lambda: criteria.DirectAU()(z(), None), "'batch' is None"),
    (lambda: criteria.DirectAU()(z(), batch(user=torch.tensor([0, N]))), "'ids' holds the id 6"),
    (lambda: criteria.DirectAU(unique='x'), "'unique' is 'x'"),
    (lambda: criteria.EmbeddingL2(1.)(z(), batch(item=torch.tensor([0, M]))), 'holds the id 9'),
    (lambda: criteria.ViewInfoNCE()(z(), None, batch()), "'other' is None"),
    (lambda: criteria.ViewInfoNCE()(z(), z(), batch(user=torch.tensor([0, -1]))), 'the id -1'),
    (lambda: criteria.ViewInfoNCE()(z(), z(width=3), batch()), 'views of the same nodes'),
    (lambda: criteria.ClampedViewInfoNCE()(z(), z(5), batch()), "'z' embeds 5 users"),
    (lambda: criteria.InBatchInfoNCE()(NEG, NEG, mask=NEG), "'mask' has dtype torch.float32"),
    (lambda: criteria.InBatchInfoNCE()(NEG.long(), NEG), "'a' has dtype"),
    (lambda: criteria.FullInfoNCE()(z(), torch.tensor([N]), torch.tensor([0])), 'the id 6'),
    (lambda: criteria.FullInfoNCE()(z(), PAIRS[0], PAIRS[1], masked=3), "'masked' is 3"),
    (lambda: criteria.InvCFLoss()(z(), 3, batch()), "'p' is 3"),
    (lambda: criteria.PrototypeInfoNCE(N, 4, 2)(torch.ones(N, 3), PAIRS[0]), "'x' has shape"),
    (lambda: criteria.PrototypeInfoNCE(N, 4, 2)(torch.ones(N, 4), torch.tensor([N])), 'the id 6'),
    (lambda: criteria.PrototypeInfoNCE(N, 4, 2).update(torch.ones(N, 4), 'x'), "'seed' is 'x'"),
    (lambda: criteria.PopularityEmbedding([1], torch.ones(2)), "'user_degree' is the list"),
    (lambda: criteria.TrajectoryPenalty(5)(POS, torch.tensor([0]), 0), "'id' has shape"),
]

MODELS = [
    (lambda: MF(None), "'data' is None"), (lambda: MF(data(), dim='x'), "'dim' is 'x'"),
    (lambda: LightGCN(data(), skip_input='no'), "'skip_input' is 'no'"),
    (lambda: nn.LightGCL(data(), rank=2, dropout=None), "'dropout' is None"),
    (lambda: nn.LightGCL(data(), rank=2, seed=None), "'seed' is None"),
    (lambda: mf()(x=3), "'x' is 3"), (lambda: mf()(x=z(width=3)), "'x' has width 3"),
    (lambda: mf()(x=z(5)), "'x' embeds 5 users"),
    (lambda: LightGCN(data(), 4)(graph='x'), "'graph' is 'x'"),
    (lambda: LightGCN(data(), 4)(graph=torch.tensor([[0], [M]])), r"'graph\[1\]' holds the id 9"),
    (lambda: LightGCN(data(), 4)(graph=MF(interaction_data(PAIRS, 2, 2)).graph),
     "'graph' is of 2 users"),
    (lambda: LightGCN(data(), 4)(graph=EdgeIndex(PAIRS, sparse_size=(M, N))),
     "'graph' is of 9 users and 6 items"),
    (lambda: nn.BipartiteConv()(3, PAIRS), "'x' is 3"),
    (lambda: nn.BipartiteConv()(tuple(z()), [[0], [1]]), "'edge_index' is the list"),
    (lambda: nn.BipartiteConv()(tuple(z()), torch.tensor([[0], [M]])), 'holds the id 9'),
    (lambda: Cosine(0.1).prepare(3), "'z' is 3"), (lambda: Cosine('x'), "'temperature' is 'x'"),
    (lambda: Cosine(0.1)(z(), None), "'batch' is None"),
    (lambda: Cosine(0.1)(z(), batch(user=torch.tensor([0, N]))), "'batch.user' holds the id 6"),
    (lambda: Cosine(0.1)(z(), batch(neg_item=torch.tensor([M]))), "'batch.neg_item' holds the id"),
    (lambda: z().users(3), "'ids' is 3"), (lambda: z().items(torch.tensor([M])), 'the id 9'),
    (lambda: z().map(3), "'function' is 3"),
    (lambda: Recommender(3, criteria.BPR()), "'backbone' is 3"),
    (lambda: Recommender(mf(), criteria.BPR), "'criterion' is <class"),
    (lambda: Recommender(mf(), criteria.BPR(), 'cosine'), "'similarity' is 'cosine'"),
    (lambda: Recommender(mf(), criteria.BPR(), l2_negatives=3), "'l2_negatives' is 3"),
    (lambda: Recommender(mf(), criteria.BPR(), requires=3), "'requires' is 3"),
    (lambda: methods.bpr(mf())(None), "'batch' is None"),
    (lambda: methods.bpr(mf())(batch(item=torch.tensor([0, M]))), "'batch.item' holds the id 9"),
    (lambda: methods.bpr(mf())(batch(id=torch.tensor([0]))), 'user, item and id of the shapes'),
    (lambda: methods.bpr(mf()).on_epoch_start('x'), "'epoch' is 'x'"),
    (lambda: methods.ACCF(mf(), perturbation=3), "'perturbation' is 3"),
    (lambda: methods.ACCF(mf(), layer=1.5, weighting='none'), "lacks|no layers|'layer' is 1.5"),
    (lambda: methods.APR(mf(), alpha='x'), "'alpha' is 'x'"),
    (lambda: methods.BC(mf(), weight=1), "'weight' is 1"),
    (lambda: methods.InvCF(mf(), independence=1., factors=5), "'factors' is 5.*width 4"),
    (lambda: methods.SGL(LightGCN(data(), 4), view=3), "'view' is 3"),
    (lambda: methods.ViewRecommender(mf(), 3, 0.1), "'contrast' is 3"),
    *((lambda build=build: build('x'), "'backbone' is 'x'") for build in (
        methods.ACCF, methods.APR, methods.BC, methods.InvCF, methods.NCL, methods.SGL,
        methods.SharpCF, methods.SimGCL, methods.XSimGCL, *(
            getattr(methods, name) for name in methods.__all__ if name.islower()))),
]

RANKING = [
    (lambda: evaluate(z(), None), "'data' is None"), (lambda: evaluate(3, data()), "'model' is 3"),
    (lambda: evaluate(MF, data()), "'model' is <class"),
    (lambda: evaluate(torch.nn.Linear(2, 2), data()), "'model' is Linear.* without arguments"),
    (lambda: evaluate(z(dtype=torch.int64), data()), "'model.user' has dtype torch.int64"),
    (lambda: evaluate(z(5), data()), "'model' embeds 5 users"),
    (lambda: evaluate(Embeddings(torch.ones(N, 4), torch.ones(M, 3)), data()), 'one width'),
    (lambda: evaluate(z(), data(), similarity=3), "'similarity' is 3"),
    (lambda: evaluate(z(), data(), similarity=Cosine), "'similarity' is <class"),
    (lambda: evaluate(z(), data(), splits=3), "'splits' is 3"),
    (lambda: evaluate(z(), data(), k=None), "'k' is None"),
    (lambda: evaluate(z(), data(), k=[]), "nothing to measure: 'k'"),
    (lambda: evaluate(z(), data(), k='5'), "'k' is '5'"),
    (lambda: evaluate(z(), data(), metrics=3), "'metrics' is 3"),
    (lambda: evaluate(z(), data(), per_user=3), "'per_user' is 3"),
    (lambda: evaluate(z(), data(), progress='x'), "'progress' is 'x'"),
    (lambda: mf().recommend('x'), "'user_ids' is 'x'"),
    (lambda: mf().recommend(['a']), "'user_ids' is the list"),
    (lambda: mf().recommend([2**70]), "'user_ids' holds the id"),
    (lambda: mf().recommend([True]), "'user_ids' is the list"),
    (lambda: mf().recommend(np.array([0.5])), "'user_ids' is a NumPy array"),
    (lambda: mf().recommend([0], similarity='dot'), "'similarity' is 'dot'"),
    (lambda: mf().recommend([0], z=3), "'z' is 3"),
    (lambda: mf().recommend([0], z=z(5)), "'z' embeds 5 users"),
    (lambda: recommend(z(), PAIRS[0], 2, seen=3), "'seen' is 3"),
    (lambda: recommend(z(5), PAIRS[0], 2, seen=mf().known), "'seen' is of 6 users"),
    (lambda: recommend(z(), torch.tensor([N]), 2), "'users' holds the id 6"),
    (lambda: recommend(z(), PAIRS[0], 2, candidates=torch.ones(M)), "'candidates' has dtype"),
    (lambda: list(map_scores(3, z(), PAIRS[0])), "'rank' is 3"),
    (lambda: metrics.evaluate_by_user(z(), data(), 3), "'groups' is 3"),
    (lambda: metrics.evaluate_by_user(z(), data(), {'a': [True]}), r"groups\['a'\]' is the list"),
    (lambda: metrics.evaluate_by_degree(z(), data(), ('a', 'b')), "'bounds' is the tuple"),
    (lambda: metrics.evaluate_by_degree(z(), data(), None), "'bounds' is None"),
    (lambda: metrics.alignment_uniformity(z(), data(), seed='x'), "'seed' is 'x'"),
    (lambda: metrics.alignment_uniformity('x', data()), "'model' is 'x'"),
    (lambda: metrics.interval(['a']), "'values' is the list"),
    (lambda: metrics.interval([1., 2.], 1.), "'confidence' is 1.0"),
    (lambda: metrics.paired_test([1., 2.], POS), "'a' is the list"),
    (lambda: diagnostics.hardness_report(3, data()), "'method' is 3"),
    (lambda: diagnostics.weight_report(methods.bpr(mf()), data()), "'method' is Recommender"),
    (lambda: diagnostics.loss_landscape(3, batch()), "'method' is 3"),
    (lambda: diagnostics.sharpness(methods.bpr(mf()), batch(user=PAIRS[0] + N)), 'the id 7'),
    (lambda: diagnostics.plot_landscape(3), "'landscapes' is 3"),
    (lambda: diagnostics.plot_hardness({'a': 3}), r"reports\['a'\]' is 3"),
    (lambda: diagnostics.worst_case(POS, NEG.long()), "'neg' has dtype"),
]


@pytest.mark.parametrize('call, words', [*CONSTRUCTION, *TRANSFORMS, *CRITERIA, *MODELS, *RANKING])
def test_says_what_is_wrong(call, words):
    with pytest.raises(ValueError, match=words):
        call()
