import pytest
import torch

from pyg_advcf import EDGE_TYPE, validate
from pyg_advcf.transforms import SampleUsers


def test_whole_users_and_their_items(toy):
    toy[EDGE_TYPE].time = torch.arange(200)
    data = SampleUsers(0.4, seed=2)(toy)
    validate(data)
    users, items = data['user'].raw_id, data['item'].raw_id
    assert users.numel() == 12 and data['user'].num_nodes == 12
    old, new = toy[EDGE_TYPE].edge_index, data[EDGE_TYPE].edge_index
    inside = torch.isin(old[0], users)
    assert torch.equal(torch.stack([users[new[0]], items[new[1]]]), old[:, inside])
    assert torch.equal(data[EDGE_TYPE].time, inside.nonzero().view(-1))
    held, kept = (d[EDGE_TYPE].val_edge_label_index for d in (toy, data))
    inside = torch.isin(held[0], users) & torch.isin(held[1], items)
    assert torch.equal(torch.stack([users[kept[0]], items[kept[1]]]), held[:, inside])
    assert toy[EDGE_TYPE].edge_index.size(1) == 200


def test_seeds_all_and_bad_arguments(toy):
    one, same, other = (SampleUsers(0.4, seed=s)(toy)['user'].raw_id for s in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(SampleUsers(1.)(toy)[EDGE_TYPE].edge_index, toy[EDGE_TYPE].edge_index)
    for ratio in (0., -1., 1.5):
        with pytest.raises(ValueError, match="'ratio' is"):
            SampleUsers(ratio)
    with pytest.raises(ValueError, match='keeps no interaction'):
        SampleUsers(0.01)(toy)
