r"""Backbones whose layer-0 embeddings are trainable tables, or come from features of the nodes."""
from typing import Optional, Union

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_callable, check_count, check_name
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.interactions import as_interactions
from pyg_advcf.nn.backbone import Backbone

_INITS = {
    'xavier_normal': nn.init.xavier_normal_,
    'xavier_uniform': nn.init.xavier_uniform_,
    'normal_0.1': lambda w: nn.init.normal_(w, std=0.1),
    'normal_0.01': lambda w: nn.init.normal_(w, std=0.01),
    'normal_0.0001': lambda w: nn.init.normal_(w, std=0.0001),
}


class FeatureEncoder(nn.Module):
    r"""Layer-0 embeddings from features of the nodes: one linear layer, or two with a ReLU.

    Args:
        in_channels: Width of the features.
        dim: Width :math:`D` of the embeddings.
        hidden: Width of a hidden layer; none by default.
        num_ids: Number of nodes, to add a trainable table beside the features.

    Raises:
        ValueError: If a width or a number is below 1.

    Example:
        >>> FeatureEncoder(16, dim=8, num_ids=3)(torch.ones(3, 16)).shape
        torch.Size([3, 8])
    """
    def __init__(self, in_channels: int, dim: int, hidden: Optional[int] = None,
                 num_ids: Optional[int] = None) -> None:
        super().__init__()
        check_count('in_channels', in_channels)
        check_count('dim', dim)
        if hidden is None:
            self.layers = nn.Linear(in_channels, dim)
        else:
            self.layers = nn.Sequential(nn.Linear(in_channels, check_count('hidden', hidden)),
                                        nn.ReLU(), nn.Linear(hidden, dim))
        self.table = None
        if num_ids is not None:
            self.table = nn.Embedding(check_count('num_ids', num_ids), dim)
            nn.init.xavier_normal_(self.table.weight)

    def forward(self, x: Tensor) -> Tensor:
        r"""Embeddings ``[n, D]`` of all nodes, from their features ``[n, in_channels]``."""
        out = self.layers(x)
        return out if self.table is None else out + self.table.weight

    def reset_parameters(self) -> None:
        r"""Initialises all parameters again."""
        for module in self.layers.modules():
            if isinstance(module, nn.Linear):
                module.reset_parameters()
        if self.table is not None:
            nn.init.xavier_normal_(self.table.weight)


class _FeatureTable(nn.Module):
    r"""What an encoder makes of the features, where an :class:`~torch.nn.Embedding` has a table."""
    def __init__(self, side: str, encoder: nn.Module, x: Optional[Tensor], size: int,
                 dim: int) -> None:
        super().__init__()
        check_callable(f'{side}_encoder', encoder, 'of the features of all nodes')
        if not isinstance(x, Tensor) or x.size(0) != size:
            raise ValueError(f"'{side}_encoder' is given, but 'data' has no features ``x`` with a "
                             f"row for each of {size} nodes; set them, or leave the encoder out")
        self.encoder, self.shape = encoder, (size, dim)
        self.register_buffer('x', x, persistent=False)  # The data bring them along.
        with torch.no_grad():
            found = encoder(x)
        if not isinstance(found, Tensor) or tuple(found.shape) != self.shape:
            what = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"'{side}_encoder' maps the features to {what}, but needs to map them "
                             f"to {list(self.shape)}: the number of nodes, and 'dim'")

    @property
    def weight(self) -> Tensor:
        return self.encoder(self.x)

    def reset_parameters(self) -> None:
        for module in self.encoder.modules():
            if hasattr(module, 'reset_parameters'):
                module.reset_parameters()


class TableBackbone(Backbone):
    r"""Base class of backbones that begin with layer-0 embeddings :math:`E^0` of users and items.

    These are trainable tables by default. With an encoder they are computed from the features
    ``x`` of the nodes, of any kind, also embeddings of texts; perturbations, views and the L2 term
    act on layer-0 embeddings there too.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        dim: Width :math:`D` of the embeddings.
        init: ``'xavier_normal'``, ``'xavier_uniform'``, ``'normal_0.1'``, ``'normal_0.01'`` or
            ``'normal_0.0001'``, of tables.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.
        user_encoder: Maps the features ``x`` of all users to ``[num_users, D]``, in place of a
            table; see :class:`FeatureEncoder`.
        item_encoder: The same of the items.

    Raises:
        ValueError: If ``data`` is not a valid set of interactions, ``dim`` is below 1, ``init``
            is unknown, or an encoder does not fit the features.
    """
    def __init__(
        self,
        data: HeteroData,
        dim: int = 64,
        init: str = 'xavier_normal',
        edge_type: Optional[EdgeType] = None,
        user_encoder: Optional[nn.Module] = None,
        item_encoder: Optional[nn.Module] = None,
    ) -> None:
        super().__init__(data, dim, edge_type)
        self.init = check_name('init', init, _INITS)
        stores = as_interactions(data, self.edge_type)

        def layer0(side: str, encoder: Optional[nn.Module],
                   size: int) -> Union[nn.Embedding, _FeatureTable]:
            if encoder is None:
                return nn.Embedding(size, dim)
            return _FeatureTable(side, encoder, stores[side].get('x'), size, dim)

        self.user_embedding = layer0('user', user_encoder, self.num_users)
        self.item_embedding = layer0('item', item_encoder, self.num_items)
        for table in (self.user_embedding, self.item_embedding):
            if isinstance(table, nn.Embedding):
                _INITS[init](table.weight)

    def reset_parameters(self) -> None:
        r"""Initialises all parameters again."""
        for table in (self.user_embedding, self.item_embedding):
            if isinstance(table, nn.Embedding):
                _INITS[self.init](table.weight)
            else:
                table.reset_parameters()

    @property
    def x(self) -> Embeddings:
        r"""The layer-0 embeddings :math:`E^0`."""
        return Embeddings(self.user_embedding.weight, self.item_embedding.weight)
