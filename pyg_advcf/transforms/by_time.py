r"""What the splits by time share: times, the order of each user's interactions, and holding out."""
from typing import Optional

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_advcf._checks import check_numbers
from pyg_advcf.interactions import EDGE_TYPE, degrees, split_key
from pyg_advcf.transforms.edges import keep_edges


def times(data: HeteroData) -> Tensor:
    r"""The time of every training interaction, ``[E]``.

    Raises:
        ValueError: If there are none, or one is NaN.
    """
    store = data[EDGE_TYPE]
    if 'time' not in store:
        raise ValueError(f"'data' has no times; pass time=... to 'pyg_advcf.datasets.from_frame', "
                         f"or set data[{EDGE_TYPE}].time")
    time = check_numbers('time', store.time, (store.edge_index.size(1), ))
    if bool(time.isnan().any()):
        raise ValueError("'time' holds NaN; drop these interactions")
    return time


def places_from_the_end(data: HeteroData, seed: int, time: Optional[Tensor] = None) -> Tensor:
    r"""How many interactions of the same user follow each one, ``[E]``.

    In the order of ``time``; those at the same time, or all without it, in a random order.
    """
    user = data[EDGE_TYPE].edge_index[0].long()
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(user.numel(), generator=generator).to(user.device)
    if time is not None:
        order = order[torch.argsort(time[order], stable=True)]
    order = order[torch.argsort(user[order], stable=True)]
    place = torch.empty_like(order)
    last = degrees(data)[0].cumsum(0)[user[order]] - 1
    place[order] = last - torch.arange(order.numel(), device=order.device)
    return place


def hold_out(data: HeteroData, chosen: dict[str, Tensor]) -> HeteroData:
    r"""Moves interactions from the training graph to splits, by their masks ``[E]``.

    Raises:
        ValueError: If a split is there already or would be empty, or nothing is left to train on.
    """
    edge_index = data[EDGE_TYPE].edge_index
    rest = torch.ones(edge_index.size(1), dtype=torch.bool, device=edge_index.device)
    held = {}
    for name, mask in chosen.items():
        if split_key(name) in data[EDGE_TYPE]:
            raise ValueError(f"'data' already has a split '{name}'; split data without it")
        if not bool(mask.any()):
            raise ValueError(f"the split '{name}' would hold no interaction; hold out more")
        held[split_key(name)] = edge_index[:, mask]
        rest &= ~mask
    if not bool(rest.any()):
        raise ValueError(f"the splits {list(chosen)} leave nothing to train on; hold out less")
    data = keep_edges(data, rest.nonzero().view(-1))
    for key, pairs in held.items():
        data[EDGE_TYPE][key] = pairs
    return data
