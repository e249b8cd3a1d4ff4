r"""GF-CF: two low-pass filters of the graph, without training."""
from typing import Optional

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import svds
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_count, check_positive, check_seed
from pyg_advcf.baselines.baseline import Baseline
from pyg_advcf.interactions import as_graph
from pyg_advcf.ops import spmm
from pyg_advcf.ops.spmm import inv_sqrt_degree
from pyg_advcf.registry import BASELINES


def _right_vectors(matrix: sparse.csr_matrix, rank: int, seed: int) -> np.ndarray:
    r"""The leading right singular vectors, ``[num_items, rank]``, or all where there are fewer."""
    if rank < min(matrix.shape):
        start = np.random.default_rng(seed).standard_normal(min(matrix.shape))
        _, values, vectors = svds(matrix, rank, v0=start)
    else:  # One side is no longer than the result.
        _, values, vectors = np.linalg.svd(matrix.toarray(), full_matrices=False)
    present = values > values.max() * max(matrix.shape) * np.finfo(values.dtype).eps
    return vectors[present].T


@BASELINES.register('gf_cf')
class GFCF(Baseline):
    r"""GF-CF, a linear and an ideal low-pass filter of the graph, arXiv 2108.07567.

    .. math::
        s_u = r_u \left( \tilde{R}^T \tilde{R}
        + \alpha\, D_I^{-1/2} V V^T D_I^{1/2} \right), \qquad
        \tilde{R} = D_U^{-1/2} R D_I^{-1/2}

    with the leading right singular vectors :math:`V` of :math:`\tilde{R}`. From `"How Powerful is
    Graph Convolution for Recommendation?" <https://arxiv.org/abs/2108.07567>`_, which uses a rank
    of 256 and :math:`\alpha = 0.3`, and no ideal filter (0) on Amazon-Book.

    No matrix of items by items is made: the first filter is a product of the sparse matrix and its
    transpose with the rows of some users at a time, the second one of two tables of width ``rank``.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        rank: Width of the ideal filter; all singular vectors where there are fewer.
        weight: :math:`\alpha \geq 0`.
        seed: Seed of the start of the decomposition, which is iterated to full precision.
        edge_type: See :class:`Baseline`.

    Raises:
        ValueError: If ``rank`` is below 1 or ``weight`` below 0.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> model = GFCF(SyntheticExposure(num_users=50, num_items=40)[0], rank=8)
        >>> model.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    def __init__(self, data: HeteroData, rank: int = 256, weight: float = 0.3, seed: int = 0,
                 edge_type: Optional[EdgeType] = None) -> None:
        super().__init__(data, edge_type)
        check_count('rank', rank)
        self.weight = check_positive('weight', weight, zero=True)
        check_seed('seed', seed)
        dtype = torch.get_default_dtype()
        self._graph = as_graph(self.pairs, self.num_users, self.num_items)
        scale = inv_sqrt_degree(self._graph, torch.float64)
        self._scale = tuple(factor.to(dtype) for factor in scale)
        self._ideal = None
        if weight > 0:
            user, item = self.pairs
            matrix = sparse.csr_matrix(((scale[0][user] * scale[1][item]).numpy(), (user, item)),
                                       shape=(self.num_users, self.num_items))
            vectors = torch.from_numpy(_right_vectors(matrix, rank, seed).copy())
            degree = torch.bincount(item, minlength=self.num_items)
            self._ideal = (spmm(self._graph, vectors, col_scale=scale[1]).to(dtype),
                           (weight * degree.sqrt().view(-1, 1) * vectors).to(dtype))

    def _scores(self, users: Tensor) -> Tensor:
        row, item = self.known.of_users(users)
        user_scale, item_scale = self._scale
        x = torch.zeros(self.num_items, users.numel(), dtype=user_scale.dtype)
        x[item, row] = 1.
        x = spmm(self._graph, x, col_scale=item_scale, row_scale=user_scale)
        x = spmm(self._graph, x, transpose=True, col_scale=user_scale, row_scale=item_scale)
        scores = x.t().contiguous()
        if self._ideal is not None:
            scores.addmm_(self._ideal[0][users], self._ideal[1].t())
        return scores
