r"""The base class of transforms of interactions, whatever their names are."""
from typing import Optional

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.transforms import BaseTransform
from torch_geometric.typing import EdgeType

from pyg_advcf.interactions import EDGE_TYPE, num_nodes, resolve_edge_type, validate
from pyg_advcf.transforms.edges import edge_attributes, keep_edges


class InteractionTransform(BaseTransform):
    r"""Base class: changes the interactions of ``data``, and leaves everything else as it is.

    Reverse edges, as :class:`~torch_geometric.transforms.ToUndirected` adds, follow: those of
    interactions that are removed would tell what is held out. A subclass implements :meth:`apply`
    for data with the names of this library.

    Args:
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.
    """
    def __init__(self, edge_type: Optional[EdgeType] = None) -> None:
        self.edge_type = edge_type

    def apply(self, data: HeteroData) -> HeteroData:
        r"""Changes interactions of the form of :mod:`pyg_advcf.interactions`, and returns them."""
        raise NotImplementedError

    def forward(self, data: HeteroData) -> HeteroData:
        edge_type = resolve_edge_type(data, self.edge_type)
        before = data[edge_type].edge_index
        found = self.apply(validate(data, edge_type))
        if edge_type != EDGE_TYPE:
            for ours, theirs in (('user', edge_type[0]), ('item', edge_type[2]),
                                 (EDGE_TYPE, edge_type)):
                for key in set(data[theirs].keys()) - set(found[ours].keys()):
                    del data[theirs][key]
                data[theirs].update(found[ours])
            found = data
        return _reverse_too(found, edge_type, before)


def _reverse_too(data: HeteroData, edge_type: EdgeType, before: Tensor) -> HeteroData:
    r"""Removes and adds the reverse edges of the interactions that were removed and added."""
    reverse = (edge_type[2], f'rev_{edge_type[1]}', edge_type[0])
    if reverse not in data.edge_types or 'edge_index' not in data[reverse]:
        return data
    _, num_items = num_nodes(data, edge_type)
    after, back = data[edge_type].edge_index, data[reverse].edge_index
    old, new, own = (pairs[0].long() * num_items + pairs[1]
                     for pairs in (before, after, back.flip(0)))
    removed, added = old[~torch.isin(old, new)], ~torch.isin(new, old)
    if removed.numel() > 0:
        keep_edges(data, (~torch.isin(own, removed)).nonzero().view(-1), reverse)
    if bool(added.any()):
        for key in edge_attributes(data[reverse]):
            raise ValueError(f"the edges {reverse} have the attribute '{key}', which added ones "
                             f"would lack; delete it first")
        data[reverse].edge_index = torch.cat(
            [data[reverse].edge_index, after[:, added].flip(0).to(back.dtype)], dim=1)
    return data
