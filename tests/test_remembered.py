import gc

import torch

from pyg_advcf._remembered import Remembered


def test_what_is_known_lives_as_long_as_the_tensor():
    looks = []
    facts = Remembered(lambda t: looks.append(1) or int(t.sum()))
    ids = torch.arange(4)
    assert facts(ids) == facts(ids) == 6 and len(looks) == 1
    ids[0] = 5
    assert facts(ids) == 11 and len(looks) == 2
    ids.data = torch.ones(4, dtype=torch.long)  # Other memory, the same version.
    assert facts(ids) == 4
    other = facts.put(torch.arange(3), 0)  # That tensor is gone at once.
    del ids
    gc.collect()
    assert other == 0 and not facts._entries
    with torch.inference_mode():
        ids = torch.arange(4)
        assert facts(ids) == 6
        ids[0] = 1  # Not counted.
        assert facts(ids) == 7 and not facts._entries
    sparse = torch.eye(2).to_sparse()
    assert facts(sparse) == 2 and not facts._entries  # It has no address.
