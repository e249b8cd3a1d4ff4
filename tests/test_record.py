import copy
import functools
import inspect
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from method_tools import Curved, num_neg

from pyg_advcf import (
    EDGE_TYPE,
    MF,
    BilevelStep,
    Cosine,
    Dot,
    InteractionLoader,
    LightGCN,
    MinMaxStep,
    Recommender,
    SAMStep,
    Step,
    criteria,
    methods,
    nn,
    transforms,
)
from pyg_advcf.record import Recorded, arguments, describe, fingerprint, recorded, target
from pyg_advcf.registry import BACKBONES, METHODS
from pyg_advcf.transforms import RandomSplit


class Scaled(Cosine):
    r"""A subclass that does nothing for being recorded."""
    def __init__(self, scale, *more, temperature=0.5, **rest):
        super().__init__(temperature * scale)


def test_arguments_with_defaults():
    assert arguments(Cosine()) == arguments(Cosine(0.1)) == {
        'temperature': 0.1, 'norm_power': None, 'prior': 0.}
    assert arguments(criteria.BSL(0.3))['neg_temperature'] == 0.1


def test_the_outermost_class_counts():
    own = Scaled(2., 'a', 'b', temperature=0.2, other=1)
    assert own.temperature == 0.4
    assert arguments(own) == {'scale': 2., 'more': ('a', 'b'), 'temperature': 0.2, 'other': 1}
    assert target(own) is Scaled
    assert describe(own)['class'].endswith('test_record.Scaled')


def test_builders_are_recorded_as_they_were_called(toy):
    backbone = MF(toy, dim=4)
    method = methods.uniform(backbone, k=8.)  # Which calls another builder.
    assert arguments(method) == {'backbone': backbone, 'temperature': 0.1, 'k': 8., 'l2': 1e-5}
    assert target(method) is methods.uniform and arguments(method)['backbone'] is backbone
    again = target(method)(**arguments(method))
    assert describe(again) == describe(method)
    assert describe(method)['class'] == 'pyg_advcf.methods.builders.uniform'


@pytest.mark.parametrize('name', sorted(METHODS))
def test_every_method_is_rebuilt_from_its_record(toy, name):
    data = RandomSplit(val=0., outer=0.1, per_user=False)(toy)
    backbone = (BACKBONES[name] if name in BACKBONES else LightGCN)(data, dim=4)
    small = {'ncl': {'num_clusters': 4}}.get(name, {})
    method = METHODS[name](backbone, **small)
    text = json.dumps(describe(method), allow_nan=False)
    assert json.loads(text) == describe(method)
    torch.manual_seed(1)
    again = target(method)(**{**arguments(method),
                              'backbone': target(backbone)(**arguments(backbone))})
    assert describe(again) == describe(method)
    again.load_state_dict(method.state_dict())
    losses = []
    for each in (method, again):
        torch.manual_seed(2)
        each.on_epoch_start(0)
        loader = InteractionLoader(data, 64, num_neg(method, 4))
        losses.append(each(next(iter(loader))))
    assert torch.equal(*losses)


@pytest.mark.parametrize('build', [
    lambda d: MF(d, dim=4), lambda d: Curved(d, dim=4), lambda d: Dot(), lambda d: criteria.BPR(),
    lambda d: criteria.InstanceWeighted(criteria.BPR(), 4), lambda d: criteria.WeightNetwork(4),
    lambda d: criteria.ViewInfoNCE(),
    lambda d: criteria.FullInfoNCE(), lambda d: criteria.InBatchInfoNCE(),
    lambda d: criteria.EmbeddingL2(0.1), lambda d: transforms.EdgeDrop(0.2),
    lambda d: transforms.RandomWalk(0.2), lambda d: transforms.FastGradient(0.1),
    lambda d: transforms.RandomNoise(0.1), lambda d: InteractionLoader(d, 64),
    lambda d: Step(methods.bpr(MF(d, dim=4))), lambda d: SAMStep(methods.bpr(MF(d, dim=4))),
    lambda d: MinMaxStep(methods.advinfonce(MF(d, dim=4))),
    lambda d: BilevelStep(methods.ACCF(MF(d, dim=4)), InteractionLoader(d, split='outer')),
    lambda d: Recommender(MF(d, dim=4), criteria.InfoNCE()),
], ids=range(20))
def test_what_defines_an_experiment_is_recorded(toy, build):
    own = build(RandomSplit(val=0., outer=0.1, per_user=False)(toy))
    assert isinstance(own, Recorded)
    text = describe(own)
    assert json.loads(json.dumps(text, allow_nan=False)) == text
    assert set(text['arguments']) == {k for k in arguments(own) if not k.startswith('_')}
    if not isinstance(own, Step):
        assert describe(copy.deepcopy(own)) == text and describe(copy.copy(own)) == text


def test_copies_name_the_parts_of_the_copy_and_share_the_data(toy):
    method = methods.bpr(LightGCN(toy, dim=4))
    other = copy.deepcopy(method)
    assert arguments(other)['backbone'] is other.backbone is not method.backbone
    assert arguments(other.backbone)['data'] is toy
    again = pickle.loads(pickle.dumps(criteria.BSL(0.3)))
    assert arguments(again) == arguments(criteria.BSL(0.3))


def test_compiled_modules(toy):
    method = methods.bpr(MF(toy, dim=4))
    assert describe(torch.compile(method)) == describe(method)
    loss = torch.compile(lambda z, batch: Cosine(0.5)(z, batch)[0].sum(), backend='eager',
                         fullgraph=True)  # Built in the midst of it.
    batch = next(iter(InteractionLoader(toy, 8)))
    assert torch.allclose(loss(method.backbone.x, batch),
                          Cosine(0.5)(method.backbone.x, batch)[0].sum())


def test_what_records_nothing_is_an_error():
    with pytest.raises(ValueError, match="'obj' is of type Linear, which does not record"):
        arguments(torch.nn.Linear(1, 1))


def test_other_modules_functions_and_values():
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Dropout(0.2))
    text = describe(net)
    assert text['class'] == 'torch.nn.modules.container.Sequential'
    assert 'p=0.2' in text['arguments']['modules']
    assert text['arguments']['parameters'] == {'0.weight': 'float32 [3, 2]',
                                               '0.bias': 'float32 [3]'}
    assert describe(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Dropout(0.3))) != text
    assert describe(torch.nn.functional.relu) == 'torch.nn.functional.relu'
    partial = functools.partial(torch.add, alpha=3)
    assert describe(partial)['arguments'] == {'alpha': 3}
    plain = [None, True, 3, 0.5, 'a', float('inf'), float('nan'), {2: (1, 2)}, {3, 1},
             np.float32(0.5), np.int64(4), torch.float64, torch.device('cpu')]
    assert describe(plain) == [None, True, 3, 0.5, 'a', 'inf', 'nan', {'2': [1, 2]}, [1, 3], 0.5, 4,
                               'torch.float64', "device(type='cpu')"]
    assert describe(object()) == 'builtins.object'
    assert describe(np.arange(3)) == describe(torch.arange(3)) != describe(torch.arange(4))


def test_fingerprints_see_every_bit_and_the_order():
    x = torch.randn(5, 4)
    seen = {fingerprint(x), fingerprint(x.t()), fingerprint(x.flip(0)), fingerprint(x.double()),
            fingerprint(x.view(4, 5)), fingerprint(torch.nextafter(x, x + 1)),
            fingerprint(x.to(torch.bfloat16)), fingerprint(x > 0), fingerprint(torch.empty(0))}
    assert len(seen) == 9
    ids = torch.tensor([[3, 1], [0, 2]])
    assert fingerprint(ids) == fingerprint(ids.to(torch.int16)) == fingerprint(ids.t().clone().t())
    sparse = torch.eye(3).to_sparse()
    assert fingerprint(sparse) == fingerprint(sparse.to_sparse_csr()) != fingerprint(2 * sparse)


def test_descriptions_of_data(toy):
    text = describe(toy)
    assert list(text) == ['users', 'items', 'interactions', 'candidate_mask', 'test_iid',
                          'test_ood', 'val']
    toy[EDGE_TYPE].val_edge_label_index = toy[EDGE_TYPE].val_edge_label_index.flip(1)
    changed = describe(toy)
    assert {k for k in text if text[k] != changed[k]} == {'val'}
    toy['item'].candidate_mask = torch.ones(40, dtype=torch.bool)
    assert describe(toy)['candidate_mask'] is not None


def test_the_same_in_every_process(toy):
    code = ("from conftest import make_toy; from pyg_advcf import *; from pyg_advcf.record import "
            "describe; print(describe(methods.bir(LightGCN(make_toy(), dim=4))))")
    found = [subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                            env={**os.environ, 'PYTHONHASHSEED': seed,
                                 'PYTHONPATH': 'tests:.'}, check=True).stdout.strip()
             for seed in ('1', '2')]
    assert found[0] == found[1] == str(describe(methods.bir(LightGCN(toy, dim=4))))


def test_own_functions_may_be_recorded():
    @recorded
    def cold(temperature=0.01):
        return Cosine(temperature / 2)

    assert arguments(cold()) == {'temperature': 0.01} and target(cold()) is cold
    assert nn.Similarity in type(cold()).__mro__


def test_signatures_are_those_of_constructors_and_of_calls():
    assert list(inspect.signature(MF).parameters) == ['data', 'dim', 'init', 'edge_type',
                                                        'user_encoder', 'item_encoder']
    assert list(inspect.signature(Scaled).parameters) == ['scale', 'more', 'temperature', 'rest']
    assert list(inspect.signature(MF).parameters) == list(MF.__signature__.parameters)
    # What documentation takes them from, and older versions of `inspect` by themselves.
    assert list(inspect.signature(criteria.BPR()).parameters) != ['reduction']


class EdgeLike(transforms.GraphView):
    r"""A view without a constructor of its own."""
    def draw(self, graph):
        return graph


def test_subclasses_without_a_constructor():
    assert list(inspect.signature(EdgeLike).parameters) == ['ratio', 'seed', 'generator',
                                                              'edge_type']
    assert arguments(EdgeLike(0.3)) == {'ratio': 0.3, 'seed': 0, 'generator': None,
                                        'edge_type': None}
