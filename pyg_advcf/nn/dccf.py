r"""DCCF's backbone: propagation, latent intents, and adaptive masks."""
from dataclasses import dataclass
from typing import NamedTuple, Optional

import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_bool, check_count, check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.interactions import as_graph
from pyg_advcf.nn.backbone import Graphs
from pyg_advcf.nn.bipartite_conv import BipartiteConv
from pyg_advcf.nn.table_backbone import TableBackbone
from pyg_advcf.ops import sddmm, spmm
from pyg_advcf.ops.normalize import normalize
from pyg_advcf.registry import BACKBONES

Pair = tuple[Tensor, Tensor]


class LayerViews(NamedTuple):
    r"""What one layer of :class:`DCCF` adds up.

    Attributes:
        propagated: :math:`G`.
        intents: :math:`I`.
        masked: :math:`\hat{G}`.
        masked_intents: :math:`\hat{I}`.
    """
    propagated: Embeddings
    intents: Embeddings
    masked: Embeddings
    masked_intents: Embeddings


@dataclass(eq=False)
class DCCFEmbeddings(Embeddings):
    r"""Embeddings of :class:`DCCF`.

    Attributes:
        views: The four views of every layer, where they were requested; else empty.
    """
    views: tuple[LayerViews, ...] = ()


def adaptive_mask(graph: EdgeIndex, y: Pair) -> tuple[Tensor, Tensor, Tensor]:
    r"""How alike the ends of every edge are, and the inverse sums of that over each node's edges.

    :math:`\alpha_e = (\cos(y_u, y_i) + 1) / 2`. A row of the mask is :math:`\alpha_e` times the
    inverse sum of its node: it sums to 1, or is 0 if there is no edge with a weight.

    Returns:
        ``[E]``, ``[n]``, ``[m]``.

    Example:
        >>> graph = as_graph(torch.tensor([[0, 0, 1], [0, 1, 1]]), 2, 2)
        >>> adaptive_mask(graph, (torch.ones(2, 1), torch.tensor([[1.], [-1.]])))
        (tensor([1., 0., 0.]), tensor([1., 0.]), tensor([1., 0.]))
    """
    # Rounding may leave the cosine a little outside of its range.
    alpha = ((sddmm(graph, *(normalize(t) for t in y)) + 1) / 2).clamp(0, 1)
    inverse = []
    for side in (0, 1):
        ones = alpha.new_ones(graph.get_sparse_size(1 - side), 1)
        total = spmm(graph, ones, transpose=side == 1, edge_weight=alpha).squeeze(1)
        some = total > 0
        inverse.append(torch.where(some, 1 / total.where(some, 1.), 0.))
    return alpha, *inverse


@BACKBONES.register('dccf')
class DCCF(TableBackbone):
    r"""Backbone of DCCF: every layer adds four views of the embeddings to them.

    .. math::
        X^{(l+1)} = G + I + \hat{G} + \hat{I} + X^{(l)}, \qquad Z = \sum_{l=0}^{L} X^{(l)}

    with the propagation :math:`G = \hat{A} X`, the intents :math:`I = \mathrm{softmax}(X C) C^T`
    of each side, and :math:`\hat{G} = M(G) X`, :math:`\hat{I} = M(I) X` over adaptive masks:
    :math:`M(Y)` weighs every edge by :math:`(\cos(y_u, y_i) + 1) / 2` and divides by the sum of
    these over the node's edges. From `"Disentangled Contrastive Collaborative Filtering"
    <https://arxiv.org/abs/2305.02759>`_.

    To any loss the backbone adds ``intent_l2`` times
    :math:`\|C_U\|^2 + \|C_I\|^2`. Not linear in the tables.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        dim: Width :math:`D` of the embeddings; 32 in the paper.
        num_layers: :math:`L \geq 0`; 2 in the paper.
        init: See :class:`~pyg_advcf.nn.TableBackbone`.
        num_intents: Number :math:`H` of intents of each side; 128 in the paper.
        intent_l2: Weight :math:`\lambda_c \geq 0` of the squared intents; 0.005 in the paper.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.
        user_encoder: See :class:`~pyg_advcf.nn.TableBackbone`.
        item_encoder: See :class:`~pyg_advcf.nn.TableBackbone`.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=20, num_items=30)[0]
        >>> model = DCCF(data, dim=8, num_intents=4)
        >>> z = model(return_views=True)
        >>> z.user.shape, len(z.views), len(z.views[0])  # Four views in each of two layers.
        (torch.Size([20, 8]), 2, 4)
    """
    def __init__(
        self,
        data: HeteroData,
        dim: int = 32,
        num_layers: int = 2,
        init: str = 'xavier_normal',
        num_intents: int = 128,
        intent_l2: float = 5e-3,
        edge_type: Optional[EdgeType] = None,
        user_encoder: Optional[nn.Module] = None,
        item_encoder: Optional[nn.Module] = None,
    ) -> None:
        super().__init__(data, dim, init, edge_type, user_encoder, item_encoder)
        self.num_layers = self.depth = check_count('num_layers', num_layers, minimum=0)
        self.num_intents = check_count('num_intents', num_intents)
        self.intent_l2 = check_positive('intent_l2', intent_l2, zero=True)
        self.conv = BipartiteConv()
        self.user_intent = nn.Parameter(torch.empty(dim, num_intents))
        self.item_intent = nn.Parameter(torch.empty(dim, num_intents))
        self._reset_intents()

    def _reset_intents(self) -> None:
        for intent in (self.user_intent, self.item_intent):
            nn.init.xavier_normal_(intent)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self._reset_intents()

    @property
    def features(self) -> frozenset[str]:
        return super().features | {'intents', *(('layers', ) if self.num_layers > 0 else ())}

    def layer_views(self, x: Pair, graph: Tensor) -> tuple[Pair, Pair, Pair, Pair]:
        r"""The views :math:`G, I, \hat{G}, \hat{I}` of the pair ``x`` over ``graph``."""
        if not isinstance(graph, EdgeIndex) or not graph.is_sorted_by_row:
            graph = as_graph(graph, self.num_users, self.num_items)
        propagated = self.conv(x, graph)
        intents = tuple((t @ c).softmax(dim=1) @ c.t()
                        for t, c in zip(x, (self.user_intent, self.item_intent)))
        return (propagated, intents, self._masked(x, propagated, graph),
                self._masked(x, intents, graph))

    @staticmethod
    def _masked(x: Pair, y: Pair, graph: EdgeIndex) -> Pair:
        alpha, user, item = adaptive_mask(graph, y)
        return (spmm(graph, x[1], row_scale=user, edge_weight=alpha),
                spmm(graph, x[0], transpose=True, row_scale=item, edge_weight=alpha))

    def forward(
        self,
        graph: Optional[Graphs] = None,
        x: Optional[Embeddings] = None,
        return_layers: bool = False,
        return_views: bool = False,
    ) -> Embeddings:
        r"""Computes the final embeddings.

        Args:
            graph: What to propagate over, for example a view; the training graph by default. A
                sequence has one for each layer.
            x: Overrides the trainable tables.
            return_layers: Whether to return :math:`X^{(l)}` of every layer too.
            return_views: Whether to return the four views of every layer too.

        Returns:
            A :class:`DCCFEmbeddings`.
        """
        check_bool('return_layers', return_layers)
        check_bool('return_views', return_views)
        x = self._tables(x)
        layers, kept = [tuple(x)], []
        for view in self.graphs(graph, self.num_layers):
            views = self.layer_views(layers[-1], view)
            kept.append(LayerViews(*(Embeddings(*pair) for pair in views)))
            layers.append(tuple(sum(side) for side in zip(*views, layers[-1])))
        z = (sum(side) for side in zip(*layers))
        layers = tuple(Embeddings(*layer) for layer in layers) if return_layers else ()
        return DCCFEmbeddings(*z, layers=layers, views=tuple(kept) if return_views else ())

    def views(self) -> tuple[Embeddings, list[tuple[Embeddings, Embeddings]]]:
        r"""The embeddings, and of every layer what is propagated against its three other views."""
        z = self(return_views=True)
        return z, [(propagated, other) for propagated, *others in z.views for other in others]

    def penalty(self, batch: Batch, z: Optional[Embeddings] = None) -> Optional[Tensor]:
        r"""``intent_l2`` times the squared length of all intents."""
        if self.intent_l2 == 0:
            return None
        return self.intent_l2 * (self.user_intent.square().sum() + self.item_intent.square().sum())

    def __repr__(self) -> str:
        return (f'{super().__repr__()[:-1]}, num_layers={self.num_layers}, '
                f'num_intents={self.num_intents})')
