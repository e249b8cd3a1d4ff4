r"""LightGCN."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_bool, check_count, check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.embeddings import Embeddings, Index
from pyg_advcf.nn.backbone import Encoder, Graphs, read_rows, rows_read
from pyg_advcf.nn.bipartite_conv import BipartiteConv
from pyg_advcf.nn.table_backbone import TableBackbone
from pyg_advcf.ops import layer_sums, propagate
from pyg_advcf.ops.backend import choose
from pyg_advcf.ops.layers import uniform_like
from pyg_advcf.registry import BACKBONES

# Of users and of items: the rows that are wanted; `None` for all.
Rows = tuple[Optional[Index], Optional[Index]]


@BACKBONES.register('lightgcn')
class LightGCN(TableBackbone):
    r"""LightGCN: the mean of the tables and of their linear propagations.

    .. math::
        E^{(l+1)} = \hat{A} E^{(l)}, \qquad Z = \frac{1}{L+1} \sum_{l=0}^{L} E^{(l)}, \qquad
        \hat{A} = D^{-1/2} A D^{-1/2}

    From `"LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation"
    <https://arxiv.org/abs/2002.02126>`_. Linear in the tables: :math:`f(E + \Delta) = f(E) +
    f(\Delta)`. An isolated node keeps :math:`e^0 / (L + 1)`.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        dim: Width of the embeddings.
        num_layers: :math:`L \geq 0`; 0 is matrix factorisation.
        init: See :class:`~pyg_advcf.nn.TableBackbone`.
        skip_input: Whether to leave layer 0 out of the mean, as SimGCL and XSimGCL do.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.
        user_encoder: See :class:`~pyg_advcf.nn.TableBackbone`.
        item_encoder: See :class:`~pyg_advcf.nn.TableBackbone`.

    Raises:
        ValueError: If ``num_layers`` is negative, or 0 with ``skip_input``.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> model = LightGCN(SyntheticExposure(num_users=20, num_items=30)[0], dim=8, num_layers=2)
        >>> z = model(return_layers=True)
        >>> z.user.shape, z.item.shape, len(z.layers)
        (torch.Size([20, 8]), torch.Size([30, 8]), 3)
    """
    linear = True

    def __init__(
        self,
        data: HeteroData,
        dim: int = 64,
        num_layers: int = 3,
        init: str = 'xavier_normal',
        skip_input: bool = False,
        edge_type: Optional[EdgeType] = None,
        user_encoder: Optional[nn.Module] = None,
        item_encoder: Optional[nn.Module] = None,
    ) -> None:
        super().__init__(data, dim, init, edge_type, user_encoder, item_encoder)
        self.num_layers = check_count('num_layers', num_layers, minimum=int(skip_input is True))
        self.depth = num_layers
        self.skip_input = check_bool('skip_input', skip_input)
        self.conv = BipartiteConv()

    @property
    def features(self) -> frozenset[str]:
        return super().features | ({'layers', 'noise'} if self.num_layers > 0 else set())

    def forward(
        self,
        graph: Optional[Graphs] = None,
        x: Optional[Embeddings] = None,
        return_layers: bool = False,
        noise: float = 0.,
        rows: Rows = (None, None),
    ) -> Embeddings:
        r"""Computes the final embeddings.

        Args:
            graph: What to propagate over, for example a view; the training graph by default. Any
                ``edge_index`` of shape ``[2, E]`` is accepted, and so is a sequence of one for
                each layer.
            x: Overrides the trainable tables.
            return_layers: Whether to return the embeddings of every layer too.
            noise: Length :math:`\epsilon` of the noise that SimGCL adds to every row after every
                propagation: :math:`h + \epsilon\, \mathrm{sign}(h) \odot r / \|r\|` with
                :math:`r \sim U(0, 1)^D`.
            rows: The users and the items whose embeddings are wanted, or ``None`` for all.

        Raises:
            ValueError: If ``noise`` is negative, ``graph`` a sequence of another length, or an id
                in ``rows`` out of range or repeated.
        """
        check_positive('noise', noise, zero=True)
        graph = self.graph if graph is None else graph
        if isinstance(graph, EdgeIndex):
            graph = self._graph(graph)
        check_bool('return_layers', return_layers)
        x = self._tables(x)
        if self._fuses() and isinstance(graph, EdgeIndex) and graph.is_sorted_by_row:
            layers, z = self._fused(graph, x, return_layers, noise, rows)
        else:
            layers, z = self._by_layer(graph, x, noise, rows)
        layers = [Embeddings(*layer, *rows) for layer in layers] if return_layers else ()
        return Embeddings(*z, *rows, layers=tuple(layers))

    def _by_layer(self, graph: Graphs, x: Embeddings, noise: float, rows: Rows) -> tuple:
        r"""One layer after the other: the layers and their weighted sum."""
        layers = [tuple(x)]
        for view in self.graphs(graph, self.num_layers):
            layer = self._propagate(layers[-1], view)
            if noise > 0.:
                units = (F.normalize(uniform_like(h), dim=-1) for h in layer)
                layer = tuple(h + noise * h.detach().sign() * r for h, r in zip(layer, units))
            layers.append(layer)
        layers = [tuple(map(read_rows, layer, rows)) for layer in layers]
        return layers, [sum(w * t for w, t in zip(self._layer_weights(), side))
                        for side in zip(*layers)]

    def _fused(self, graph: EdgeIndex, x: Embeddings, return_layers: bool, noise: float,
               rows: Rows) -> tuple:
        r"""All layers in one operation; the layers are missing if nobody wants them."""
        readout, count = self._layer_weights(), self.num_layers + 1
        ids = tuple(None if index is None else index.ids for index in rows)
        if not return_layers and noise == 0.:
            # The mean of all layers needs no layer for itself; what differs from it is layer 0.
            out = propagate(graph, *x, self.num_layers, ids)
            scale, rest = readout[-1] * count, readout[0] - readout[-1]
            if scale != 1.:
                out = [t * scale for t in out]
            if rest != 0.:
                out = [torch.add(t, read_rows(own, index), alpha=rest)
                       for t, own, index in zip(out, x, rows)]
            return (), out
        each = torch.eye(count).tolist()[1:] if return_layers else []
        z, *layers = layer_sums(graph, *x, [readout, *each], noise, ids)
        return (tuple(map(read_rows, x, rows)), *layers), z

    def _layer_weights(self) -> list[float]:
        r"""The weight of every layer in the readout, the tables first."""
        if self.skip_input:
            return [0., *[1. / self.num_layers] * self.num_layers]
        return [1. / (self.num_layers + 1)] * (self.num_layers + 1)

    def _fuses(self) -> bool:
        r"""Whether all layers may be summed in one operation."""
        return True

    def _propagate(self, x: tuple[Tensor, Tensor], graph: Tensor) -> tuple[Tensor, Tensor]:
        r"""One layer."""
        return self.conv(x, graph)

    def encoder(self, *batches: Batch) -> Encoder:
        r"""See :meth:`pyg_advcf.nn.Backbone.encoder`: prunes the last layer on CPU.

        On accelerators the rows would have to be counted there, which stops the queue of kernels.
        """
        if not batches or torch.compiler.is_compiling() or not self._fuses() or (
                choose('spmm', self.x.user) != 'numba'):
            return super().encoder()
        return Encoder(self, self.x, rows=rows_read(batches, self.num_users, self.num_items))

    def __repr__(self) -> str:
        skip = ', skip_input=True' if self.skip_input else ''
        return f'{super().__repr__()[:-1]}, num_layers={self.num_layers}{skip})'
