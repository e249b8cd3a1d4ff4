r"""EASE: a linear model from items to items, in closed form."""
from typing import Optional

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import get_lapack_funcs
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_count, check_positive
from pyg_advcf.baselines.baseline import Baseline
from pyg_advcf.co_occurrence import interaction_matrix
from pyg_advcf.pairs import PairSet
from pyg_advcf.registry import BASELINES

_ROWS = 1024  # Rows that are mirrored at once.


def _inverse(matrix: np.ndarray) -> np.ndarray:
    r"""The inverse of a positive definite matrix in Fortran's order, in its memory."""
    factor, invert = get_lapack_funcs(('potrf', 'potri'), (matrix, ))
    matrix, info = factor(matrix, lower=1, overwrite_a=1)
    if info == 0:
        matrix, info = invert(matrix, lower=1, overwrite_c=1)
    if info != 0:
        raise ValueError(f"the matrix of co-occurrences is not positive definite in "
                         f"{matrix.dtype}; raise 'l2'")
    # Only the lower triangle was written.
    for start in range(0, len(matrix), _ROWS):
        block = matrix[start:start + _ROWS, start:start + _ROWS]
        block[...] = np.tril(block) + np.tril(block, -1).T
        matrix[start:start + _ROWS, start + _ROWS:] = matrix[start + _ROWS:,
                                                             start:start + _ROWS].T
    return matrix


@BASELINES.register('ease')
class EASE(Baseline):
    r"""EASE, a ridge regression of every item on all others in closed form, arXiv 1905.03375.

    .. math::
        s_u = r_u B, \qquad
        B = \arg\min_B \|R - R B\|_F^2 + \lambda \|B\|_F^2 \text{ with } B_{ii} = 0,
        \qquad B_{ij} = -P_{ij} / P_{jj} \; (i \neq j), \quad P = (R^T R + \lambda I)^{-1}

    the ridge regression of every column on the others, in closed form, from `"Embarrassingly
    Shallow Autoencoders for Sparse Data" <https://arxiv.org/abs/1905.03375>`_.

    **What it needs**: one dense matrix of :math:`m \times m` numbers for :math:`m` items, which is
    inverted where it is, in PyTorch's default type, and :math:`m^3` operations. In float32 that is
    0.4 GB for 10,000 items, 1.6 GB for 20,000 and 6.7 GB for the 40,981 items of Gowalla; at a
    hundred billion operations a second 10 seconds, 80 seconds and 12 minutes. So more than
    ``max_items`` are an error unless ``max_items`` is raised, or only the most popular ones are
    asked for.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        l2: :math:`\lambda > 0`; the paper chose 200 to 1000.
        top_items: Leave all items out but this many most popular ones (ties go to the lower id):
            the others neither explain nor are ranked, their scores are :math:`-\infty`. All items
            by default.
        max_items: The most items that are fitted without an error.
        edge_type: See :class:`Baseline`.

    Attributes:
        weight: :math:`B` of the fitted items, ``[m, m]``.
        items: Their ids, in rising order, ``[m]``.

    Raises:
        ValueError: If ``l2`` is not above 0 or too small for the type, or more than ``max_items``
            items would be fitted.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> model = EASE(SyntheticExposure(num_users=50, num_items=40)[0], l2=10.)
        >>> model.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
        >>> bool(model.weight.diagonal().eq(0).all())
        True
    """
    def __init__(self, data: HeteroData, l2: float = 500., top_items: Optional[int] = None,
                 max_items: int = 20_000, edge_type: Optional[EdgeType] = None) -> None:
        super().__init__(data, edge_type)
        check_positive('l2', l2)
        check_count('max_items', max_items)
        size = self.num_items
        if top_items is not None:
            size = min(check_count('top_items', top_items), size)
        dtype = torch.empty(0).numpy().dtype  # PyTorch's default.
        if size > max_items:
            raise ValueError(
                f"'max_items' is {max_items}, but {size} items would be fitted, which needs "
                f"{size * size * dtype.itemsize / 1e9:.1f} GB of memory for a dense matrix and "
                f"{float(size)**3:.1g} operations; raise 'max_items' if you have both, or fit "
                f"the most popular items only with 'top_items'")
        degree = torch.bincount(self.known.item, minlength=self.num_items)
        order = torch.argsort(degree, descending=True, stable=True)
        self.items = order[:size].sort()[0]
        place = torch.full((self.num_items, ), -1)
        place[self.items] = torch.arange(size)
        user, item = self.pairs[:, place[self.known.item.long()] >= 0]
        self._kept = PairSet.of(torch.stack([user, place[item]]), self.num_users, size)

        r = interaction_matrix(torch.stack([user, place[item]]), self.num_users, size).astype(dtype)
        matrix = (r.T @ r).toarray(order='F')
        np.fill_diagonal(matrix, matrix.diagonal() + l2)
        matrix = _inverse(matrix).T  # Symmetric, and its rows now lie together.
        matrix /= -matrix.diagonal()  # A copy: a divisor that changed on the way would be wrong.
        np.fill_diagonal(matrix, 0.)
        self.weight = torch.from_numpy(matrix)

    def _scores(self, users: Tensor) -> Tensor:
        row, item = self._kept.of_users(users)
        first = torch.bincount(row, minlength=users.numel()).cumsum(0).roll(1)
        first[:1] = 0
        found = F.embedding_bag(item, self.weight, first, mode='sum')
        if len(self.items) == self.num_items:
            return found
        scores = found.new_full((users.numel(), self.num_items), float('-inf'))
        scores[:, self.items] = found
        return scores
