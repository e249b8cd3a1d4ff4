import pytest
import torch

from pyg_advcf import (
    EDGE_TYPE,
    MF,
    InteractionLoader,
    degrees,
    evaluate,
    interaction_data,
    known_pairs,
)
from pyg_advcf.transforms import RandomSplit


def pairs(data, key):
    return {tuple(p) for p in data[EDGE_TYPE][key].t().tolist()}


@pytest.mark.parametrize('per_user', [True, False])
def test_exact_and_disjoint(toy_factory, per_user):
    data = toy_factory(held_out=False)
    data[EDGE_TYPE].time = torch.arange(200)
    split = RandomSplit(val=0.2, test=0.3, per_user=per_user, seed=4)(data)
    parts = [pairs(split, k) for k in ('edge_index', 'val_edge_label_index',
                                       'test_edge_label_index')]
    assert sum(map(len, parts)) == 200 and set.union(*parts) == pairs(data, 'edge_index')
    if per_user:
        before = degrees(data)[0]
        val = torch.bincount(split[EDGE_TYPE].val_edge_label_index[0], minlength=30)
        test = torch.bincount(split[EDGE_TYPE].test_edge_label_index[0], minlength=30)
        assert torch.equal(val, (before * 2) // 10) and torch.equal(test, (before * 3) // 10)
    else:
        assert [len(p) for p in parts] == [100, 40, 60]
    # Attributes stay with their edges; the input is not changed.
    time = split[EDGE_TYPE].time
    assert torch.equal(split[EDGE_TYPE].edge_index, data[EDGE_TYPE].edge_index[:, time])
    assert data[EDGE_TYPE].edge_index.size(1) == 200


def test_seeded(toy_factory):
    data = toy_factory(held_out=False)
    key = 'val_edge_label_index'
    one, two, other = (RandomSplit(val=0.3, seed=s)(data) for s in (1, 1, 2))
    assert torch.equal(one[EDGE_TYPE][key], two[EDGE_TYPE][key])
    assert pairs(one, key) != pairs(other, key)


def test_ten_percent_of_ten_is_one():
    data = interaction_data(torch.stack([torch.zeros(10).long(), torch.arange(10)]), 1, 11)
    assert RandomSplit(val=0.1)(data)[EDGE_TYPE].val_edge_label_index.size(1) == 1


def test_keeps_another_test_set(toy_factory):
    data = toy_factory()
    del data[EDGE_TYPE]['val_edge_label_index']
    split = RandomSplit(val=0.3)(data)
    assert torch.equal(split[EDGE_TYPE].test_ood_edge_label_index,
                       data[EDGE_TYPE].test_ood_edge_label_index)


@pytest.mark.parametrize('kwargs, message', [
    (dict(val=0, test=0), 'their sum'), (dict(val=0.5, test=0.5), 'their sum'),
    (dict(val=-0.1), "'val' is -0.1"),
])
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        RandomSplit(**kwargs)


def test_bad_data(toy, toy_factory):
    with pytest.raises(ValueError, match="already has a split 'val'"):
        RandomSplit(val=0.3)(toy)
    with pytest.raises(ValueError, match='holds out no interaction of any user.*per_user=False'):
        RandomSplit(val=0.01)(toy_factory(held_out=False))
    assert repr(RandomSplit()) == (
        'RandomSplit(val=0.1, test=0.0, outer=0.0, per_user=True, seed=0)')


def test_outer_pairs_are_known_but_not_in_the_graph(toy):
    data = RandomSplit(val=0., outer=0.2, per_user=False, seed=1)(toy)
    outer = pairs(data, 'outer_edge_label_index')
    assert len(outer) == 40 and outer | pairs(data, 'edge_index') == pairs(toy, 'edge_index')
    assert outer <= {tuple(p) for p in known_pairs(data).t().tolist()}
    # No list holds them, and no draw of either level hits them.
    model = MF(data, dim=4)
    item = model.recommend(torch.arange(30), k=40).item
    listed = {(u, i) for u, row in enumerate(item.tolist()) for i in row if i >= 0}
    assert not outer & listed and not pairs(data, 'edge_index') & listed
    assert len(listed) == 30 * 40 - 200
    for split in (None, 'outer'):
        loader = InteractionLoader(data, 16, 50, split=split)
        assert loader.user.numel() == (160 if split is None else 40)
        for batch in loader:
            drawn = zip(batch.user.repeat_interleave(50).tolist(),
                        batch.neg_item.view(-1).tolist())
            assert not set(drawn) & pairs(toy, 'edge_index')
            if split:
                assert {*zip(batch.user.tolist(), batch.item.tolist())} <= outer
    # Ranking is as if they were trained on.
    ours, whole = (evaluate(model, d, k=5)['test_iid'] for d in (data, toy))
    assert ours == whole


def test_positives_of_any_held_out_split(toy):
    loader = InteractionLoader(toy, 16, 50, split='val')
    val = pairs(toy, 'val_edge_label_index')
    for batch in loader:
        drawn = {*zip(batch.user.repeat_interleave(50).tolist(), batch.neg_item.view(-1).tolist())}
        assert not drawn & (val | pairs(toy, 'edge_index'))
    assert "split='val'" in repr(loader)
    with pytest.raises(ValueError, match="'split' is 'outer', which is not known"):
        InteractionLoader(toy, 16, split='outer')
