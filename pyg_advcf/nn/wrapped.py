r"""Any PyG model as a backbone: methods, perturbations and evaluation over your own modules."""
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Optional, Union

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch_geometric import EdgeIndex
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_bool, check_callable, shown
from pyg_advcf._modes import evaluation_mode
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.interactions import as_interactions, num_nodes, resolve_edge_type
from pyg_advcf.nn.backbone import Backbone, Graphs


class _Call(nn.Module):
    r"""Calls a method of a module, so that its parameters can be replaced for the call."""
    def __init__(self, module: nn.Module, name: str) -> None:
        super().__init__()
        self.module, self.name = module, name

    def forward(self, *args: Any) -> Any:
        return getattr(self.module, self.name)(*args)


class Wrapped(Backbone):
    r"""A module that maps a table, or features, and an ``edge_index`` to embeddings.

    Whatever takes a backbone takes it: all methods that need no layers of LightGCN, adversarial
    perturbations, edge and node drop, learned instance weights, ``fit``, ``evaluate`` and
    ``recommend``.

    * A homogeneous module is called as ``module(edge_index)`` if it has its own ``table`` of users
      and items, in this order, as :class:`torch_geometric.nn.LightGCN`; else as ``module(x,
      edge_index)`` with the features. Both directions of each edge are passed, and items follow
      the users.
    * With ``hetero=True`` it is called as ``module(x_dict, edge_index_dict)``, with the rows of the
      ``table`` or the features, and returns a dictionary, as modules of
      :func:`~torch_geometric.nn.to_hetero`; the reverse edge type is named as by
      :class:`~torch_geometric.transforms.ToUndirected`.

    Args:
        module: The module.
        data: Interactions; see :mod:`pyg_advcf.interactions`. Without a ``table``, users and items
            need features ``x``.
        table: Name of the parameter of ``module`` that holds the layer-0 embeddings of all nodes,
            ``[num_users + num_items, D]``; or the names of one of users and one of items. By
            default ``'embedding.weight'`` if there is such a parameter, else the features are the
            layer-0 embeddings.
        call: The method of ``module`` that is called; by default ``get_embedding`` if it has one,
            else ``forward``.
        hetero: Whether the module takes and returns dictionaries by node type.
        linear: Whether :math:`f(E + \Delta) = f(E) + f(\Delta)` for the embeddings :math:`E`, which
            saves passes in adversarial methods.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Raises:
        ValueError: If ``data`` is not a valid set of interactions, there is no such parameter or
            method, features are missing, or the module returns something else.

    Example:
        >>> from torch_geometric.nn import LightGCN
        >>> from pyg_advcf import methods
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=99, num_items=40)[0]
        >>> model = LightGCN(139, embedding_dim=8, num_layers=2)
        >>> method = methods.APR(Wrapped(model, data, linear=True), warmup_epochs=0)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    depth = 1

    def __init__(
        self,
        module: nn.Module,
        data: HeteroData,
        table: Union[str, tuple[str, str], None] = None,
        call: Optional[str] = None,
        hetero: bool = False,
        linear: bool = False,
        edge_type: Optional[EdgeType] = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise ValueError(f"'module' is {shown(module)}, but needs to be a torch.nn.Module")
        edge_type = resolve_edge_type(data, edge_type)
        parameters = dict(module.named_parameters())
        if table is None and 'embedding.weight' in parameters:
            table = 'embedding.weight'
        names = tuple(table) if isinstance(table, (tuple, list)) else (
            () if table is None else (table, ))
        for name in names:
            if not isinstance(name, str) or name not in parameters:
                raise ValueError(f"'table' is {shown(table)}, but 'module' has no parameter "
                                 f"{name!r}; it has {', '.join(parameters)}")
        if call is None:
            call = 'get_embedding' if hasattr(module, 'get_embedding') else 'forward'
        if not isinstance(call, str) or not hasattr(module, call):
            raise ValueError(f"'call' is {call!r}, but {module.__class__.__name__} has no such "
                             f"method")
        check_callable('call', getattr(module, call), 'of the module')
        sizes = num_nodes(data, edge_type)
        self._check_tables(names, parameters, sizes)
        super().__init__(data, 1, edge_type)
        self.module, self.names, self.call = module, names, call
        self.hetero, self.linear = check_bool('hetero', hetero), check_bool('linear', linear)
        stores = as_interactions(data, edge_type)
        for side, size in zip(('user', 'item'), sizes):
            x = None if names else stores[side].get('x')
            if not names and (not isinstance(x, Tensor) or x.size(0) != size):
                raise ValueError(f"'table' names no parameter of 'module', and the {side}s of "
                                 f"'data' have no features 'x' with {size} rows either; pass one "
                                 f"of them")
            self.register_buffer(f'{side}_x', x, persistent=False)
        with torch.no_grad(), evaluation_mode(self):
            self.dim = self().user.size(1)

    @staticmethod
    def _check_tables(names: Sequence[str], parameters: dict[str, nn.Parameter],
                      sizes: tuple[int, int]) -> None:
        rows = [parameters[name].size(0) for name in names]
        if rows and rows != ([sum(sizes)] if len(rows) == 1 else list(sizes)):
            raise ValueError(f"'table' has {rows} rows, but 'data' has {sizes[0]} users and "
                             f"{sizes[1]} items, which need to be its rows in this order")

    @property
    def x(self) -> Embeddings:
        r"""The table of the module, or the features."""
        if not self.names:  # Perturbations differentiate by features too.
            return Embeddings(*(t.detach().requires_grad_(torch.is_grad_enabled())
                                for t in (self.user_x, self.item_x)))
        # Not `get_parameter`: within `functional_call` they are plain tensors.
        tables = [attrgetter(name)(self.module) for name in self.names]
        if len(tables) == 1:
            tables = tables[0].split([self.num_users, self.num_items])
        return Embeddings(*tables)

    def reset_parameters(self) -> None:
        r"""Initialises all parameters again."""
        for module in self.module.modules():
            if hasattr(module, 'reset_parameters'):
                module.reset_parameters()

    def forward(self, graph: Optional[Graphs] = None, x: Optional[Embeddings] = None) -> Embeddings:
        r"""Computes the final embeddings; see :meth:`pyg_advcf.nn.Backbone.forward`."""
        graph, = self.graphs(graph, 1)
        edges = (graph.as_tensor() if isinstance(graph, EdgeIndex) else graph).long()
        x = self.x if x is None else x
        user, _, item = self.edge_type
        if self.hetero:
            reverse = (item, f'rev_{self.edge_type[1]}', user)
            out = getattr(self.module, self.call)(
                {user: x.user, item: x.item}, {self.edge_type: edges, reverse: edges.flip(0)})
            return self._split(out)
        edges = torch.stack([edges[0], edges[1] + self.num_users])
        edges, stacked = torch.cat([edges, edges.flip(0)], dim=1), torch.cat(tuple(x))
        if not self.names:
            return self._split(getattr(self.module, self.call)(stacked, edges))
        tables = (stacked, ) if len(self.names) == 1 else tuple(x)
        swapped = {f'module.{name}': table for name, table in zip(self.names, tables)}
        return self._split(functional_call(_Call(self.module, self.call), swapped, (edges, )))

    def _split(self, out: Any) -> Embeddings:
        if isinstance(out, dict):
            missing = {self.edge_type[0], self.edge_type[2]} - set(out)
            if missing:
                raise ValueError(f"'module' returned embeddings of {list(out)}, without "
                                 f"{', '.join(missing)}")
            out = out[self.edge_type[0]], out[self.edge_type[2]]
        elif isinstance(out, Tensor) and out.size(0) == self.num_users + self.num_items:
            out = out.split([self.num_users, self.num_items])
        sizes = (self.num_users, self.num_items)
        if not isinstance(out, tuple) or len(out) != 2 or not all(
                isinstance(t, Tensor) and t.dim() == 2 and t.size(0) == size
                for t, size in zip(out, sizes)):
            raise ValueError(f"'module' returned {shown(out)}, but needs to return the embeddings "
                             f"of {sizes[0]} users and {sizes[1]} items: one tensor of all, two "
                             f"tensors, or a dictionary by node type")
        return Embeddings(*out)

    def __repr__(self) -> str:
        return f'{super().__repr__()[:-1]}, module={self.module.__class__.__name__})'
