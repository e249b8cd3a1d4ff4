r"""The base class of transforms of interactions, whatever their names are."""
from typing import Optional

from torch_geometric.data import HeteroData
from torch_geometric.transforms import BaseTransform
from torch_geometric.typing import EdgeType

from pyg_advcf.interactions import EDGE_TYPE, resolve_edge_type, validate


class InteractionTransform(BaseTransform):
    r"""Base class: changes the interactions of ``data``, and leaves everything else as it is.

    A subclass implements :meth:`apply` for data with the names of this library.

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
        found = self.apply(validate(data, edge_type))
        if edge_type == EDGE_TYPE:
            return found
        for ours, theirs in (('user', edge_type[0]), ('item', edge_type[2]),
                             (EDGE_TYPE, edge_type)):
            for key in set(data[theirs].keys()) - set(found[ours].keys()):
                del data[theirs][key]
            data[theirs].update(found[ours])
        return data
