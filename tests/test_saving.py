import json
import os
import subprocess
import sys

import pandas as pd
import pytest
import torch
from method_tools import PAIRS, num_neg

from pyg_advcf import (
    EDGE_TYPE,
    MF,
    Cosine,
    Dot,
    InteractionLoader,
    LightGCN,
    Recommender,
    criteria,
    fit,
    folders,
    load,
    methods,
)
from pyg_advcf.record import Recorded, arguments, describe
from pyg_advcf.registry import BACKBONES, METHODS
from pyg_advcf.training import step_for
from pyg_advcf.transforms import RandomSplit


class Steep(criteria.Criterion):
    r"""A custom criterion."""
    def __init__(self, slope=2.):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor(slope))

    def row_losses(self, pos, neg, batch):
        return (self.slope * (neg - pos.view(-1, 1))).exp().mean(1)


@pytest.fixture
def trained(toy):
    recommender = methods.infonce(LightGCN(toy, dim=8, num_layers=2), temperature=0.2)
    fit(recommender, InteractionLoader(toy, 64, 4), epochs=2, progress=False)
    return recommender


def assert_same(found, recommender):
    state = recommender.state_dict()
    assert state.keys() == found.state_dict().keys()
    for name, value in found.state_dict().items():
        assert value.dtype == state[name].dtype and torch.equal(value, state[name]), name
    users = torch.arange(recommender.backbone.num_users)
    for a, b in zip(found.recommend(users, 12, progress=False),
                    recommender.recommend(users, 12, progress=False)):
        assert torch.equal(a, b)
    assert describe(found) == describe(recommender)


@pytest.mark.parametrize('backbone, name', PAIRS)
def test_every_method_is_the_same_again(toy, tmp_path, backbone, name):
    data = RandomSplit(val=0., outer=0.2, per_user=False)(toy)
    recommender = METHODS[name](BACKBONES[backbone](data, dim=4))
    loader = InteractionLoader(data, 64, num_neg(recommender, 4))
    step = step_for(recommender, loader, lr=0.05)
    step.on_epoch_start(100, loader)
    step(next(iter(loader)))
    recommender.save(tmp_path / 'saved')
    before = torch.get_rng_state()
    found = load(tmp_path / 'saved')
    assert torch.equal(before, torch.get_rng_state())
    assert type(found) is type(recommender) and found.training and found.epoch == 100
    assert_same(found, recommender)
    assert [p.requires_grad for p in found.parameters()] == [
        p.requires_grad for p in recommender.parameters()]
    # Training goes on with the same loss.
    batch = next(iter(loader))
    losses = []
    for each in (found, recommender):
        torch.manual_seed(3)
        each.on_epoch_start(101)
        losses.append(each(batch))
    assert torch.equal(*losses)
    losses[0].backward()


@pytest.mark.parametrize('name, backbone', [('lightgcl', 'lightgcl'), ('advinfonce', 'mf')])
def test_in_a_fresh_process(toy, tmp_path, name, backbone):
    recommender = METHODS[name](BACKBONES[backbone](toy, dim=4))
    recommender.save(tmp_path / 'saved')
    code = ('import sys, torch, pyg_advcf; '
            'found = pyg_advcf.load(sys.argv[1]).recommend(list(range(30)), 9); '
            'print(found.item.tolist(), [[v.hex() for v in r] for r in found.score.tolist()])')
    shown = subprocess.run([sys.executable, '-c', code, str(tmp_path / 'saved')], text=True,
                           capture_output=True, env={**os.environ, 'OMP_NUM_THREADS': '2'})
    assert shown.returncode == 0, shown.stderr
    item, score = recommender.recommend(list(range(30)), 9)
    assert shown.stdout.strip() == (f'{item.tolist()} '
                                    f'{[[v.hex() for v in r] for r in score.tolist()]}')


def test_the_data_come_back(toy, tmp_path):
    toy['item'].candidate_mask = torch.arange(40) % 3 > 0
    toy[EDGE_TYPE].time = torch.arange(200)
    toy['user'].names = pd.Index([f'u{k}' for k in range(30)])
    toy['item'].names = pd.Index(range(100, 140))
    toy.origin = {'year': 2026, 'share': float('inf'), 'parts': [1, (2, None)]}
    recommender = methods.bpr(MF(toy, dim=4, edge_type=EDGE_TYPE))
    recommender.save(tmp_path / 'saved')
    backbone = load(tmp_path / 'saved').backbone
    data = arguments(backbone)['data']
    assert describe(data) == describe(toy) and data.origin == toy.origin
    assert torch.equal(data[EDGE_TYPE].time, toy[EDGE_TYPE].time)
    assert data['user'].names.equals(toy['user'].names)
    assert data['item'].names.equals(toy['item'].names)
    assert backbone.edge_type == EDGE_TYPE and type(backbone.edge_type) is tuple
    assert torch.equal(backbone.candidate_mask, toy['item'].candidate_mask)


def test_double_precision_own_classes_and_parts_that_are_shared(toy, tmp_path):
    criterion = Steep(3.)
    recommender = Recommender(MF(toy, dim=4), criterion, Cosine(0.3), l2=0.1).double()
    recommender.epoch = 4
    recommender.save(tmp_path / 'saved')
    found = load(tmp_path / 'saved')
    assert_same(found, recommender)
    assert found.epoch == 4 and found.training and isinstance(found.criterion, Steep)
    assert found.backbone.x.user.dtype == torch.float64


def test_a_similarity_that_was_exchanged(trained, tmp_path):
    trained.similarity = Dot(0.5)
    trained.save(tmp_path / 'saved')
    found = load(tmp_path / 'saved')
    assert not found.training and isinstance(found.similarity, Dot)
    assert found.similarity.temperature == 0.5
    assert_same(found, trained)


def test_nothing_is_overwritten_unasked(trained, tmp_path):
    folder = tmp_path / 'saved'
    trained.save(str(folder))
    before = {f.name: f.read_bytes() for f in folder.iterdir()}
    with pytest.raises(ValueError, match="'folder' is '.*saved', which is there already; name a"):
        trained.save(folder)
    assert before == {f.name: f.read_bytes() for f in folder.iterdir()}
    with torch.no_grad():
        trained.backbone.x.user.zero_()
    trained.save(folder, overwrite=True)
    assert_same(load(folder), trained)
    assert [f.name for f in tmp_path.iterdir()] == ['saved']
    (folder / 'notes.txt').write_text('mine')
    with pytest.raises(ValueError, match='holds other things .* would lose them'):
        trained.save(folder, overwrite=True)
    assert (folder / 'notes.txt').read_text() == 'mine'
    for other in (tmp_path / 'empty', tmp_path / 'file'):
        other.mkdir() if other.name == 'empty' else other.write_text('x')
        with pytest.raises(ValueError, match='holds other things|is there and is no folder'):
            trained.save(other, overwrite=True)
    with pytest.raises(ValueError, match="'overwrite' is 1"):
        trained.save(folder, overwrite=1)


def test_a_failure_leaves_what_was_there(trained, tmp_path, monkeypatch):
    folder = tmp_path / 'saved'
    trained.save(folder)
    before = {f.name: f.read_bytes() for f in folder.iterdir()}

    def full(path):
        raise OSError(28, 'no space')

    monkeypatch.setattr(folders, 'replacing', full)
    with pytest.raises(OSError, match='no space'):
        trained.save(folder, overwrite=True)
    assert before == {f.name: f.read_bytes() for f in folder.iterdir()}
    assert [f.name for f in tmp_path.iterdir()] == ['saved']


def test_one_changed_byte_anywhere(trained, tmp_path):
    folder = tmp_path / 'saved'
    trained.save(folder)
    generator = torch.Generator().manual_seed(0)
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        for place in torch.randint(len(content), (60, ), generator=generator).tolist():
            changed = bytearray(content)
            changed[place] ^= 1 << (place % 8)
            file.write_bytes(changed)
            with pytest.raises(ValueError, match=f"'.*{file.name}' is damaged"):
                load(folder)
        for damaged in (content[:-1], content + b' ', b'', b'[]', b'{}'):
            file.write_bytes(damaged)
            with pytest.raises(ValueError, match='is damaged'):
                load(folder)
        file.write_bytes(content)
    assert_same(load(folder), trained)


def test_missing_files_and_wrong_folders(trained, tmp_path):
    folder = tmp_path / 'saved'
    trained.save(folder)
    for file in ('weights.safetensors', 'data.safetensors', 'content.json'):
        kept = (folder / file).read_bytes()
        (folder / file).unlink()
        with pytest.raises(ValueError, match=f"'.*{file}' is missing|holds no '{file}'"):
            load(folder)
        (folder / file).write_bytes(kept)
    for wrong, message in ((tmp_path / 'none', 'is no folder'), (tmp_path, 'holds no .content'),
                           (folder / 'content.json', 'is no folder'), (3, "'folder' is 3"),
                           ('', "'folder' is ''"), (None, "'folder' is None")):
        with pytest.raises(ValueError, match=message):
            load(wrong)


def rewritten(folder, change):
    content, tensors = folders.read_folder(folder, 'recommender')
    change(content, tensors)
    folders.write_folder(folder, 'recommender', content, tensors, overwrite=True)


def test_versions_kinds_and_shapes(trained, tmp_path, monkeypatch):
    folder = tmp_path / 'saved'
    trained.save(folder)
    with pytest.raises(ValueError, match='holds a recommender, but a retriever is needed'):
        folders.read_folder(folder, 'retriever')
    rewritten(folder, lambda _, t: t['weights'].update(
        {'backbone.user_embedding.weight': torch.zeros(30, 7)}))
    with pytest.raises(ValueError, match=r"user_embedding.weight' has the shape \[30, 7\], but "
                       r'Recommender needs \[30, 8\]; load it with the version'):
        load(folder)
    rewritten(folder, lambda _, t: t['weights'].pop('backbone.user_embedding.weight'))
    with pytest.raises(ValueError, match='has the shape missing'):
        load(folder)
    monkeypatch.setattr(folders, 'FORMAT', 2)
    trained.save(folder, overwrite=True)
    monkeypatch.setattr(folders, 'FORMAT', 1)
    with pytest.raises(ValueError, match=r'newer version .*format 2, known is 1\); update'):
        load(folder)


@pytest.mark.parametrize('name', ['os.system', 'builtins.eval', 'pyg_advcf.nn.mf.torch.load',
                                  'pyg_advcf.methods.Nowhere', 'never_imported.Thing', 'x'])
def test_a_folder_cannot_choose_what_runs(trained, tmp_path, name):
    folder = tmp_path / 'saved'
    trained.save(folder)

    def change(content, _):
        content['recommender']['build'] = name
        content['recommender']['arguments'] = [['command', 'touch /nowhere']]

    rewritten(folder, change)
    with pytest.raises(ValueError, match=f"built by '{name}', which is not known here; import"):
        load(folder)


def test_something_else_than_a_recommender(trained, tmp_path):
    folder = tmp_path / 'saved'
    trained.save(folder)

    def change(content, _):
        content['recommender'] = {'build': 'pyg_advcf.criteria.bpr.BPR', 'arguments': []}
        content['similarity'] = None

    rewritten(folder, change)
    with pytest.raises(ValueError, match="'folder' is BPR.*needs to be the folder of a recom"):
        load(folder)


def test_arguments_of_another_version(trained, tmp_path):
    folder = tmp_path / 'saved'
    trained.save(folder)
    rewritten(folder, lambda c, _: c['recommender']['arguments'].append(['margin', 2.]))
    with pytest.raises(ValueError, match="cannot be built as it was saved: '.*infonce' says .*"
                       'margin'):
        load(folder)


def test_what_cannot_be_saved(toy, tmp_path):
    folder = tmp_path / 'saved'
    with pytest.raises(ValueError, match="'recommender.criterion' is .* which cannot be saved"):
        Recommender(MF(toy, dim=4), torch.nn.Softplus()).save(folder)

    class Local(Steep):
        pass

    with pytest.raises(ValueError, match='Local, which cannot be found by that name; define'):
        Recommender(MF(toy, dim=4), Local()).save(folder)
    toy['user'].names = pd.Index([(k, k) for k in range(30)], tupleize_cols=False)
    with pytest.raises(ValueError, match="backbone.data.names' holds ids of the type object"):
        methods.bpr(MF(toy, dim=4)).save(folder)
    del toy['user'].names
    recommender = methods.bpr(MF(toy, dim=4))
    store = toy[EDGE_TYPE]
    store.edge_index = store.edge_index[:, 1:]
    with pytest.raises(ValueError, match='were changed since'):
        recommender.save(folder)
    assert not folder.exists() and issubclass(Local, Recorded)


def test_content_is_plain_json(trained, tmp_path):
    trained.save(tmp_path / 'saved')
    whole = json.loads((tmp_path / 'saved' / 'content.json').read_text())
    assert whole['content']['recommender']['build'] == 'pyg_advcf.methods.builders.infonce'
    assert whole['kind'] == 'recommender' and whole['format'] == 1


def test_what_was_calibrated_is_saved(trained, tmp_path):
    trained.similarity.prior, trained.similarity.norm_power = 0.7, 0.5
    trained.save(tmp_path / 'saved')
    found = load(tmp_path / 'saved')
    assert (found.similarity.prior, found.similarity.norm_power) == (0.7, 0.5)
    assert_same(found, trained)
