r"""LightGCL's backbone: LightGCN, and its low-rank double."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_count, check_graph, check_ratio, check_seed
from pyg_advcf.embeddings import Embeddings, check_embeddings
from pyg_advcf.nn.lightgcn import LightGCN
from pyg_advcf.ops.spmm import inv_sqrt_degree
from pyg_advcf.registry import BACKBONES

_OVERSAMPLING, _ITERATIONS = 10, 6


def low_rank(graph: EdgeIndex, rank: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    r"""The leading singular triplets of :math:`D_U^{-1/2} R D_I^{-1/2}`: ``U, s, V``, in float64.

    By :func:`torch.svd_lowrank` on the sparse matrix: memory is that of the edges and of some more
    than ``rank`` columns. Randomised, but from a seed of its own: the same graph gives the same.

    Args:
        graph: As :func:`pyg_advcf.interaction_graph` returns it.
        rank: How many.
        seed: Seed of the random start.

    Raises:
        ValueError: If the matrix has not that rank.

    Example:
        >>> from pyg_advcf import as_graph
        >>> graph = as_graph(torch.tensor([[0, 0, 1], [0, 1, 2]]), 2, 3)
        >>> [t.shape for t in low_rank(graph, 2)]
        [torch.Size([2, 2]), torch.Size([2]), torch.Size([3, 2])]
    """
    check_graph('graph', graph)
    check_count('rank', rank)
    check_seed('seed', seed)
    shape = graph.get_sparse_size(0), graph.get_sparse_size(1)
    if rank > min(shape):
        raise ValueError(f"'rank' is {rank}, but a matrix of {shape[0]} users and {shape[1]} items "
                         f"has at most rank {min(shape)}; lower 'rank'")
    user, item = graph.as_tensor().long()
    scale = inv_sqrt_degree(graph, torch.float64)
    matrix = torch.sparse_coo_tensor(torch.stack([user, item]), scale[0][user] * scale[1][item],
                                     shape, check_invariants=False, is_coalesced=True)
    devices = [graph.device] if graph.device.type == 'cuda' else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        u, s, v = torch.svd_lowrank(matrix, min(rank + _OVERSAMPLING, *shape), _ITERATIONS)
    found = int((s > s[0] * max(shape) * torch.finfo(s.dtype).eps * 10).sum())
    if found < rank:
        raise ValueError(f"'rank' is {rank}, but the matrix of interactions has rank {found}; "
                         f"lower 'rank' to at most {found}")
    return u[:, :rank].contiguous(), s[:rank].contiguous(), v[:, :rank].contiguous()


@BACKBONES.register('lightgcl')
class LightGCL(LightGCN):
    r"""Backbone of LightGCL: the *sum* of the layers of LightGCN, and a view of low rank.

    .. math::
        Z = \sum_{l=0}^{L} E^{(l)}, \qquad
        G_U = E_U^{(0)} + \sum_{l=1}^{L} U S V^T E_I^{(l-1)}, \qquad
        G_I = E_I^{(0)} + \sum_{l=1}^{L} V S U^T E_U^{(l-1)}

    where :math:`U S V^T` is the truncated singular value decomposition of
    :math:`\hat{R} = D_U^{-1/2} R D_I^{-1/2}`; no matrix of users by items is made. From
    `"LightGCL: Simple Yet Effective Graph Contrastive Learning for Recommendation"
    <https://arxiv.org/abs/2302.08191>`_. Without the view it is usable with any method. Linear in
    the tables, except while it drops edges.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        dim: Width of the embeddings.
        num_layers: :math:`L \geq 0`.
        init: See :class:`~pyg_advcf.nn.TableBackbone`.
        rank: :math:`q`, the number of singular values; at most the rank of the matrix.
        dropout: Share of the messages of each layer that is dropped in training, in :math:`[0, 1)`;
            the others are raised in turn. The view drops nothing.
        seed: Seed of the decomposition.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.
        user_encoder: See :class:`~pyg_advcf.nn.TableBackbone`.
        item_encoder: See :class:`~pyg_advcf.nn.TableBackbone`.

    Raises:
        ValueError: If an argument is out of range, or ``rank`` above the rank of the matrix.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> model = LightGCL(SyntheticExposure(num_users=50, num_items=40)[0], dim=8)
        >>> z = model(return_layers=True)
        >>> model.low_rank_view(z).user.shape
        torch.Size([50, 8])
    """
    def __init__(
        self,
        data: HeteroData,
        dim: int = 64,
        num_layers: int = 2,
        init: str = 'xavier_normal',
        rank: int = 5,
        dropout: float = 0.,
        seed: int = 0,
        edge_type: Optional[EdgeType] = None,
        user_encoder: Optional[nn.Module] = None,
        item_encoder: Optional[nn.Module] = None,
    ) -> None:
        super().__init__(data, dim, num_layers, init, edge_type=edge_type,
                         user_encoder=user_encoder, item_encoder=item_encoder)
        self.rank, self.dropout = rank, check_ratio('dropout', dropout, one=False)
        # Not part of the `state_dict`: they follow from the graph and the seed.
        for name, factor in zip(('left', 'singular', 'right'), low_rank(self.graph, rank, seed)):
            self.register_buffer(name, factor.to(torch.get_default_dtype()), persistent=False)

    @property
    def linear(self) -> bool:
        return self._fuses()

    @property
    def features(self) -> frozenset[str]:
        return super().features | {'low_rank_view'}

    def _fuses(self) -> bool:
        return self.dropout == 0 or not self.training

    def _propagate(self, x: tuple[Tensor, Tensor], graph: Tensor) -> tuple[Tensor, Tensor]:
        if self._fuses():
            return self.conv(x, graph)
        return self.conv(x, graph, F.dropout(x[0].new_ones(graph.size(1)), self.dropout))

    def _layer_weights(self) -> list[float]:
        return [1.] * (self.num_layers + 1)

    def low_rank_view(self, z: Embeddings) -> Embeddings:
        r"""The view :math:`G_U, G_I`.

        Args:
            z: What :meth:`forward` returned with ``return_layers``.

        Raises:
            ValueError: If ``z`` has no layers, or not all rows.
        """
        check_embeddings('z', z, self.num_users, self.num_items)
        if not z.layers:
            raise ValueError("'z' has no layers; compute it with return_layers=True")
        z.check_complete('z')
        first = z.layers[0]
        if len(z.layers) == 1:
            return first
        # Linear in the layers, so their sum is multiplied once.
        user, item = (sum(side) for side in zip(*z.layers[:-1]))
        scale = self.singular.view(-1, 1)
        return Embeddings(first.user + self.left @ (scale * (self.right.t() @ item)),
                          first.item + self.right @ (scale * (self.left.t() @ user)))

    def views(self) -> tuple[Embeddings, list[tuple[Embeddings, Embeddings]]]:
        r"""The embeddings, and the low-rank view against them."""
        z = self(return_layers=True)
        return z, [(self.low_rank_view(z), z)]

    def __repr__(self) -> str:
        drop = f', dropout={self.dropout}' if self.dropout else ''
        return f'{super().__repr__()[:-1]}, rank={self.rank}{drop})'
