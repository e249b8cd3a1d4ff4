import os
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    # Read when the kernels are defined, so before anything imports them.
    os.environ.setdefault('TRITON_INTERPRET', '1')

from pyg_advcf import interaction_data

if os.environ.get('PYTEST_XDIST_WORKER'):
    torch.set_num_threads(1)  # One process per core: more threads would wait for each other.


def make_toy(num_users=30, num_items=40, num_edges=200, seed=0, held_out=True):
    r"""Random interactions, with splits ``val``, ``test_iid`` and ``test_ood`` of 40 pairs each."""
    generator = torch.Generator().manual_seed(seed)
    total = num_edges + (120 if held_out else 0)
    keys = torch.randperm(num_users * num_items, generator=generator)[:total]
    pairs = torch.stack([keys // num_items, keys % num_items])
    splits = {}
    if held_out:
        pairs, val, iid, ood = pairs.split([num_edges, 40, 40, 40], dim=1)
        splits = dict(val=val, test_iid=iid, test_ood=ood)
    return interaction_data(pairs.contiguous(), num_users, num_items,
                            **{k: v.contiguous() for k, v in splits.items()})


@pytest.fixture
def toy():
    return make_toy()


@pytest.fixture
def toy_factory():
    return make_toy


@pytest.fixture
def mirror():
    path = os.environ.get('PYG_ADVCF_MIRROR')
    if not path:
        pytest.skip('PYG_ADVCF_MIRROR does not name a folder with real data')
    return Path(path).resolve()


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
