import os
import subprocess
import sys

import pytest
import torch
from torch_geometric import EdgeIndex

from pyg_advcf import (
    EDGE_TYPE,
    MF,
    Cosine,
    Dot,
    Embeddings,
    LightGCN,
    Recommender,
    Retriever,
    criteria,
    degrees,
    interaction_data,
    load,
    methods,
)
from pyg_advcf.datasets import SyntheticExposure
from pyg_advcf.pairs import PairSet
from pyg_advcf.registry import BACKBONES, METHODS
from pyg_advcf.transforms import RandomSplit


@pytest.fixture
def recommender(toy):
    toy['item'].candidate_mask = torch.arange(40) % 7 > 0
    return methods.infonce(LightGCN(toy, dim=8, num_layers=2), temperature=0.2)


def exported(recommender, folder):
    recommender.export(folder)
    return Retriever.load(folder)


def assert_equal(found, expected):
    assert torch.equal(found.item, expected.item) and torch.equal(found.score, expected.score)


@pytest.mark.parametrize('backbone, name', [
    ('mf', 'bpr'), ('lightgcn', 'advinfonce'), ('lightgcl', 'lightgcl'), ('lightgcn', 'simgcl'),
    ('dccf', 'dccf'), ('ultragcn', 'ultragcn'), ('vgae', 'infonce'), ('lightgcn', 'invcf')])
def test_the_lists_of_the_recommender(toy, tmp_path, backbone, name):
    toy['item'].candidate_mask = torch.arange(40) % 7 > 0
    data = RandomSplit(val=0., outer=0.2, per_user=False)(toy)
    recommender = METHODS[name](BACKBONES[backbone](data, dim=4))
    retriever = exported(recommender, tmp_path / 'service')
    for users, k in ((list(range(30)), 12), (torch.tensor([4, 4, 29], dtype=torch.int32), 40)):
        assert_equal(retriever.recommend(users, k), recommender.recommend(users, k))
    assert retriever.recommend([3], 40).item.eq(-1).any()


@pytest.mark.parametrize('similarity', [Dot(), Dot(0.3), Cosine(0.07)])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
def test_similarities_and_types(toy, tmp_path, similarity, dtype):
    recommender = Recommender(MF(toy, dim=5), criteria.BPR(), similarity).to(dtype)
    retriever = exported(recommender, tmp_path / 'service')
    users = list(range(30))
    assert_equal(retriever.recommend(users, 9), recommender.recommend(users, 9))


def test_in_a_fresh_process(recommender, tmp_path):
    recommender.export(tmp_path / 'service')
    code = ('import sys, pyg_advcf; '
            'found = pyg_advcf.Retriever.load(sys.argv[1]).recommend(list(range(30)), 9); '
            'print(found.item.tolist(), [[v.hex() for v in r] for r in found.score.tolist()])')
    shown = subprocess.run([sys.executable, '-c', code, str(tmp_path / 'service')], text=True,
                           capture_output=True, env={**os.environ, 'OMP_NUM_THREADS': '2'})
    assert shown.returncode == 0, shown.stderr
    item, score = recommender.recommend(list(range(30)), 9)
    assert shown.stdout.strip() == (f'{item.tolist()} '
                                    f'{[[v.hex() for v in r] for r in score.tolist()]}')


def test_exclude_and_candidates(recommender):
    retriever = Retriever.of(recommender)
    full = retriever.recommend([2, 9], 40)
    out, only = [1, 2, 3, 5], [0, 1, 2, 5, 8, 9, 10, 11]
    for exclude, candidates in ((out, None), (None, only), (torch.tensor(out), only), ([], None)):
        found = retriever.recommend([2, 9], 40, exclude, candidates)
        for row in range(2):
            barred = out if exclude is not None and len(exclude) > 0 else []
            kept = [n for n, i in enumerate(full.item[row].tolist()) if i >= 0
                    and i not in barred and (candidates is None or i in only)]
            assert torch.equal(found.item[row, :len(kept)], full.item[row, kept])
            assert torch.equal(found.score[row, :len(kept)], full.score[row, kept])
            assert (found.item[row, len(kept):] == -1).all()
    # Items that are no candidates of the data stay out: 0 is one of them.
    assert (retriever.recommend([2], 3, candidates=[0]).item == -1).all()
    assert_equal(retriever.recommend([2, 9], 40), full)  # Nothing of it was kept.


@pytest.mark.parametrize('side', ['user', 'item'])
def test_similar_nodes(recommender, side):
    retriever = Retriever(recommender.embeddings(), recommender.backbone.known)
    table = getattr(recommender.embeddings(), side).double()
    cosine = table @ table.t() / table.norm(dim=1).outer(table.norm(dim=1))
    cosine.fill_diagonal_(-2.)
    ids = [4, 0, 4, 29]
    found = getattr(retriever, f'similar_{side}s')(ids, 6)
    score, index = cosine[ids].sort(dim=1, descending=True)
    assert torch.equal(found.item, index[:, :6])
    assert torch.allclose(found.score.double(), score[:, :6], atol=1e-6)
    size = table.size(0)
    whole = getattr(retriever, f'similar_{side}s')([4], size)
    assert whole.item[0, -1] == -1
    assert sorted(whole.item[0, :-1].tolist()) == [i for i in range(size) if i != 4]


@pytest.mark.parametrize('num_layers, skip_input', [(1, False), (3, False), (2, True)])
@pytest.mark.parametrize('similarity', [Dot(0.5), Cosine(0.2)])
def test_new_users_over_lightgcn(toy, tmp_path, num_layers, skip_input, similarity):
    backbone = LightGCN(toy, dim=8, num_layers=num_layers, skip_input=skip_input).double()
    retriever = exported(Recommender(backbone, criteria.BPR(), similarity), tmp_path / 'service')
    items = [[3, 7, 7, 12], torch.tensor([30]), (1, 2)]
    found = retriever.recommend_for(items, 10)
    # The oracle adds one user at a time, by a matrix with edges from the items to the user alone.
    pairs, degree = toy[EDGE_TYPE].edge_index, backbone.degrees
    matrix = torch.zeros(31 + 40, 31 + 40, dtype=torch.float64)
    matrix[pairs[0], 31 + pairs[1]] = (degree[0][pairs[0]] * degree[1][pairs[1]]).double().rsqrt()
    matrix += matrix.t().clone()
    x = torch.cat([backbone.x.user, torch.zeros(1, 8).double(), backbone.x.item]).detach()
    for row, own in enumerate(items):
        own = sorted({int(i) for i in own})
        grown = matrix.clone()
        grown[30, 31 + torch.tensor(own)] = (len(own) * degree[1][own]).double().rsqrt()
        layers = [x]
        for _ in range(num_layers):
            layers.append(grown @ layers[-1])
        z = sum(layers[int(skip_input):]) / (num_layers + 1 - int(skip_input))
        assert torch.allclose(z[31:], backbone.embeddings().item)  # The items stay as they are.
        score = similarity.prepare(Embeddings(z[30:31], z[31:]))
        score = (score.user @ score.item.t())[0] / similarity.temperature
        score[own] = -torch.inf
        best, index = score.sort(descending=True)
        assert torch.equal(found.item[row], index[:10])
        assert torch.allclose(found.score[row], best[:10])


def test_a_new_user_like_an_old_one_whose_table_row_is_zero(toy):
    r"""What the model itself gives a user of the training graph, over one layer."""
    backbone = LightGCN(toy, dim=8, num_layers=1).double()
    with torch.no_grad():
        backbone.x.user.zero_()
    recommender = Recommender(backbone, criteria.BPR())
    own = backbone.known.of_users(torch.tensor([5]))[1]
    found = Retriever.of(recommender).recommend_for([own], 10)
    expected = recommender.recommend([5], 10)
    assert torch.equal(found.item, expected.item) and torch.allclose(found.score, expected.score)


@pytest.mark.parametrize('similarity', [Dot(0.5), Cosine(0.2)])
@pytest.mark.parametrize('name', ['mf', 'lightgcn', 'lightgcl'])
def test_new_users_over_other_backbones(toy, name, similarity):
    backbone = (LightGCN(toy, dim=6, num_layers=0) if name == 'lightgcn'
                else BACKBONES[name](toy, dim=6)).double()
    retriever = Retriever.of(Recommender(backbone, criteria.BPR(), similarity))
    items = [[3, 7, 7, 12], [30]]
    found = retriever.recommend_for(items, 10, exclude=[4], ridge=0.3)
    v = similarity.prepare(backbone.embeddings()).item
    for row, own in enumerate(items):
        # Least squares with the penalty as further rows, which knows no normal equations.
        target = torch.zeros(40 + 6, 1).double()
        target[own] = 1.
        root = (0.3 * v.square().sum() / 6).sqrt() * torch.eye(6).double()
        z = torch.linalg.lstsq(torch.cat([v, root]), target).solution[:, 0]
        z = z / z.norm() if similarity.kind == 'cosine' else z
        score = v @ z / similarity.temperature
        score[[*own, 4]] = -torch.inf
        best, index = score.sort(descending=True)
        assert torch.equal(found.item[row], index[:10])
        assert torch.allclose(found.score[row], best[:10])


def test_new_users_need_items_of_the_graph():
    data = interaction_data(torch.tensor([[0, 1, 1], [0, 0, 1]]), 2, 4)
    retriever = Retriever.of(methods.bpr(LightGCN(data, dim=4)))
    assert_equal(retriever.recommend_for([[0]], 1, candidates=[1]),
                 retriever.recommend_for([[0]], 1, exclude=[2, 3]))
    with pytest.raises(ValueError, match=r"'items\[1\]' holds no item with training interactions"):
        retriever.recommend_for([[0], [3]], 1)


def test_one_changed_byte_and_missing_files(recommender, tmp_path):
    folder = tmp_path / 'service'
    recommender.export(folder)
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        for place in (0, len(content) // 2, len(content) - 2):
            changed = bytearray(content)
            changed[place] ^= 4
            file.write_bytes(changed)
            with pytest.raises(ValueError, match=f"'.*{file.name}' is damaged"):
                Retriever.load(folder)
        file.unlink()
        with pytest.raises(ValueError, match=f"{file.name}' is missing|holds no '{file.name}'"):
            Retriever.load(folder)
        file.write_bytes(content)
    assert_equal(Retriever.load(folder).recommend([1], 5), recommender.recommend([1], 5))


def test_folders_of_something_else(recommender, tmp_path):
    folder = tmp_path / 'service'
    recommender.export(folder)
    before = {f.name: f.read_bytes() for f in folder.iterdir()}
    with pytest.raises(ValueError, match="'folder' is '.*service', which is there already"):
        recommender.export(folder)
    with pytest.raises(ValueError, match="'overwrite' is 1"):
        recommender.export(folder, overwrite=1)
    assert before == {f.name: f.read_bytes() for f in folder.iterdir()}
    with pytest.raises(ValueError, match='holds a retriever, but a recommender is needed'):
        load(folder)
    with torch.no_grad():
        recommender.backbone.x.user.neg_()
    recommender.export(folder, overwrite=True)
    assert_equal(Retriever.load(folder).recommend([1], 5), recommender.recommend([1], 5))
    recommender.save(tmp_path / 'saved')
    with pytest.raises(ValueError, match='holds a recommender, but a retriever is needed'):
        Retriever.load(tmp_path / 'saved')
    with pytest.raises(ValueError, match='which is no folder'):
        Retriever.load(tmp_path / 'nothing')


def test_a_model_that_has_diverged_is_not_exported(recommender, tmp_path):
    with torch.no_grad():
        recommender.backbone.x.item[3] = torch.nan
    with pytest.raises(ValueError, match="embeddings of 'z' hold values that are not finite"):
        recommender.export(tmp_path / 'service')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('call, message', [
    (lambda r: r.recommend([30]), "'user_ids' holds the id 30"),
    (lambda r: r.recommend(torch.tensor([-1])), "'user_ids' holds the id -1"),
    (lambda r: r.recommend(['a']), "'user_ids' is the list"),
    (lambda r: r.recommend(3), "'user_ids' is 3"),
    (lambda r: r.recommend([1], 0), "'k' is 0"),
    (lambda r: r.recommend([1], exclude=[40]), "'exclude' holds the id 40"),
    (lambda r: r.recommend([1], candidates=[-2]), "'candidates' holds the id -2"),
    (lambda r: r.recommend([1], candidates=torch.ones(40).bool()), "'candidates' has dtype"),
    (lambda r: r.similar_items([40]), "'item_ids' holds the id 40"),
    (lambda r: r.similar_items([4], k=1.5), "'k' is 1.5"),
    (lambda r: r.similar_users([30]), "'user_ids' holds the id 30"),
    (lambda r: r.recommend_for([3, 4]), r"'items\[0\]' is 3, but needs to be the item ids of one"),
    (lambda r: r.recommend_for(torch.tensor([3])), "'items' is a tensor"),
    (lambda r: r.recommend_for([]), r"'items' is the list \[\]"),
    (lambda r: r.recommend_for([[1], []]), r"'items\[1\]' is empty"),
    (lambda r: r.recommend_for([[1], [40]]), r"'items\[1\]' holds the id 40"),
    (lambda r: r.recommend_for([[1]], 0), "'k' is 0"),
    (lambda r: r.recommend_for([[1]], ridge=0.), "'ridge' is 0.0"),
    (lambda r: r.recommend_for([[1]], exclude=[40]), "'exclude' holds the id 40"),
    (lambda r: Retriever.of(r), "'recommender' is Retriever"),
    (lambda r: Retriever.load(3), "'folder' is 3"),
    (lambda r: Retriever(3, r.seen), "'z' is 3"),
    (lambda r: Retriever(r.z, [1]), "'seen' is the list"),
    (lambda r: Retriever(r.z, PairSet.of(torch.tensor([[0], [0]]), 2, 3)),
     "'seen' is of 2 users and 3 items"),
    (lambda r: Retriever(r.z, r.seen, temperature=0.), "'temperature' is 0.0"),
    (lambda r: Retriever(r.z, r.seen, cosine=1), "'cosine' is 1"),
    (lambda r: Retriever(r.z, r.seen, candidates=torch.ones(3).bool()), "'candidates' has shape"),
    (lambda r: Retriever(r.z, r.seen, layer_sums=torch.ones(3, 8)), "'layer_sums' has shape"),
    (lambda r: Retriever(r.z, r.seen, 1e-45).recommend([1]), "'temperature' is 1e-45"),
])
def test_wrong_arguments(recommender, call, message):
    with pytest.raises(ValueError, match=message):
        call(Retriever.of(recommender))


def test_the_graph_is_not_kept(recommender):
    retriever = Retriever.of(recommender)
    kept = [*vars(retriever).values(), *vars(retriever.seen).values()]
    assert not any(isinstance(v, (EdgeIndex, torch.nn.Module)) for v in kept)


@pytest.mark.parametrize('backbone', [LightGCN, MF])
@pytest.mark.parametrize('kind', [Cosine, Dot])
def test_a_prior_and_a_norm_power_are_served_too(tmp_path, backbone, kind):
    data, similarity = SyntheticExposure(num_users=50, num_items=40)[0], kind(0.2)
    popular = degrees(data)[1].argsort(descending=True).tolist()
    torch.manual_seed(0)
    recommender = Recommender(backbone(data, dim=8), criteria.InfoNCE(), similarity)
    plain = Retriever.of(recommender)
    similarity.prior = 0.7
    recommender.export(tmp_path / 'prior')
    served = Retriever.load(tmp_path / 'prior')
    users = torch.arange(50)
    for ours, theirs in zip(served.recommend(users, 9), recommender.recommend(users, 9)):
        assert torch.equal(ours, theirs)
    assert not torch.equal(served.recommend(users, 9).item, plain.recommend(users, 9).item)
    # The prior says nothing of who is like whom.
    for name in ('similar_items', 'similar_users'):
        for ours, theirs in zip(getattr(served, name)([3, 5], 4), getattr(plain, name)([3, 5], 4)):
            assert torch.equal(ours, theirs)
    found, without = (each.recommend_for([popular[:2], popular[2:3]], 40)
                      for each in (served, plain))
    prior = 0.7 * (degrees(data)[1] + 1).log()
    if backbone is MF and kind is Dot:
        prior = torch.zeros(40)  # The scale of the scores is not that of the prior.
    for row in range(2):
        scores = dict(zip(without.item[row].tolist(), without.score[row].tolist()))
        for item, score in zip(found.item[row].tolist(), found.score[row].tolist()):
            assert item < 0 or score == pytest.approx(scores[item] + float(prior[item]), abs=1e-5)
    similarity.prior, similarity.norm_power = 0., 0.5
    for ours, theirs in zip(Retriever.of(recommender).recommend(users, 9),
                            recommender.recommend(users, 9)):
        assert torch.equal(ours, theirs)
