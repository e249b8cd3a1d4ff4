r"""UltraGCN's backbone: tables without propagation, pulled together along similar items."""
from typing import Optional

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_count, check_name, check_positive
from pyg_advcf.batch import Batch, check_batch
from pyg_advcf.co_occurrence import interaction_matrix, nearest_items
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.interactions import EDGE_TYPE, num_nodes, validate
from pyg_advcf.nn.mf import MF
from pyg_advcf.ops import sampled_product
from pyg_advcf.registry import BACKBONES


def item_neighbours(data: HeteroData, k: int = 10, variant: str = 'code',
                    edge_type: Optional[EdgeType] = None) -> tuple[Tensor, Tensor]:
    r"""The ``k`` items that co-occur most with each item, and their weights.

    With the counts :math:`G = R^T R` of common users and :math:`g_i = \sum_k G_{ik}`,

    .. math::
        \omega_{ik} = \frac{G_{ik}}{g_i} \sqrt{\frac{g_i + 1}{g_k + 1}} \;\text{('code')}, \qquad
        \omega_{ik} = \frac{G_{ik}}{g_i - G_{ii}} \sqrt{\frac{g_i}{g_k}} \;\text{('paper')}

    :math:`G` is made and cut to its largest entries some rows at a time, as a sparse product;
    ties go to the lower id.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        k: Neighbours of each item.
        variant: ``'code'``, where an item may be its own neighbour (and mostly is), or
            ``'paper'``, where it is not.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Returns:
        Ids and weights, both ``[m, k]``; where an item has fewer neighbours, 0 with weight 0.

    Raises:
        ValueError: If ``k`` is below 1 or ``variant`` unknown.

    Example:
        >>> from pyg_advcf import interaction_data
        >>> data = interaction_data(torch.tensor([[0, 0, 1], [0, 1, 1]]), 2, 3)
        >>> ids, weights = item_neighbours(data, k=2, variant='paper')
        >>> ids.tolist()
        [[1, 0], [0, 0], [0, 0]]
        >>> weights[0]  # (1 / 1) * sqrt(2 / 3)
        tensor([0.8165, 0.0000], dtype=torch.float64)
    """
    data = validate(data, edge_type)
    check_count('k', k)
    check_name('variant', variant, ('code', 'paper'))
    r = interaction_matrix(data[EDGE_TYPE].edge_index, *num_nodes(data))
    count = np.bincount(r.indices, minlength=r.shape[1])  # The diagonal of G.
    total = r.T @ np.diff(r.indptr).astype(float)  # Its row sums, without G itself.
    if variant == 'code':
        left, right = np.sqrt(total + 1) / np.maximum(total, 1), 1 / np.sqrt(total + 1)
    else:
        left = np.sqrt(total) / np.maximum(total - count, 1)
        right = 1 / np.sqrt(np.maximum(total, 1))
    return nearest_items(r, k, lambda i, j, common: common * left[i] * right[j],
                         itself=variant == 'code')


@BACKBONES.register('ultragcn')
class UltraGCN(MF):
    r"""Backbone of UltraGCN: the tables themselves, and a pull along similar items.

    :math:`Z = E^0`, without propagation. To any loss the backbone adds :math:`\lambda L_I`,

    .. math::
        L_I = \frac{1}{B} \sum_{(u, i)} \sum_{k \in S(i)} \omega_{ik}\,
              \mathrm{softplus}(-e_u \cdot e_k)

    over the most similar items :math:`S(i)` of each positive; see :func:`item_neighbours`. From
    `"UltraGCN: Ultra Simplification of Graph Convolutional Networks for Recommendation"
    <https://arxiv.org/abs/2110.15114>`_, which sums over the batch where this is the mean.
    :func:`pyg_advcf.methods.ultragcn` adds the weighted loss that stands in for propagation.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        dim: Width of the embeddings.
        init: See :class:`~pyg_advcf.nn.TableBackbone`; the paper draws from
            :math:`N(0, 10^{-4})` (standard deviation).
        weight: :math:`\lambda \geq 0`; 5e-4 for Gowalla, 2.75 for Amazon-Book.
        num_neighbours: Size of :math:`S(i)`.
        variant: ``'code'`` or ``'paper'``, the weights :math:`\omega`.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.
        user_encoder: See :class:`~pyg_advcf.nn.TableBackbone`.
        item_encoder: See :class:`~pyg_advcf.nn.TableBackbone`.

    Raises:
        ValueError: If an argument is out of range or unknown.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> model = UltraGCN(SyntheticExposure(num_users=20, num_items=30)[0], dim=8)
        >>> model.neighbours.shape, model.omega.shape
        (torch.Size([30, 10]), torch.Size([30, 10]))
    """
    def __init__(
        self,
        data: HeteroData,
        dim: int = 64,
        init: str = 'normal_0.0001',
        weight: float = 5e-4,
        num_neighbours: int = 10,
        variant: str = 'code',
        edge_type: Optional[EdgeType] = None,
        user_encoder: Optional[nn.Module] = None,
        item_encoder: Optional[nn.Module] = None,
    ) -> None:
        super().__init__(data, dim, init, edge_type, user_encoder, item_encoder)
        self.weight = check_positive('weight', weight, zero=True)
        check_count('num_neighbours', num_neighbours)
        ids, omega = item_neighbours(data, num_neighbours, variant, edge_type)
        # Not part of the `state_dict`: they follow from the data.
        self.register_buffer('neighbours', ids, persistent=False)
        self.register_buffer('omega', omega.to(torch.get_default_dtype()), persistent=False)

    def item_loss(self, batch: Batch) -> Tensor:
        r""":math:`L_I`, a scalar."""
        # Of the negatives nothing is read.
        batch = check_batch(batch, self.num_users, self.num_items, negatives=False)
        user = F.embedding(batch.user, self.x.user)
        score = sampled_product(user, self.x.item, self.neighbours[batch.item])
        return (self.omega[batch.item] * F.softplus(-score)).sum(1).mean()

    def penalty(self, batch: Batch, z: Optional[Embeddings] = None) -> Optional[Tensor]:
        r""":math:`\lambda` times :meth:`item_loss`."""
        return None if self.weight == 0 else self.weight * self.item_loss(batch)

    def __repr__(self) -> str:
        return f'{super().__repr__()[:-1]}, weight={self.weight})'
