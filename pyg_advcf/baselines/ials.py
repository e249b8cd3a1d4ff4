r"""iALS: matrix factorisation of all pairs by alternating least squares."""
from collections.abc import Iterator
from typing import Optional

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_count, check_positive, check_seed
from pyg_advcf.baselines.baseline import Baseline
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.pairs import PairSet
from pyg_advcf.registry import BASELINES

_ENTRIES = 2**22  # Of gathered rows and of normal equations, held at once.


def _chunks(count: Tensor, dim: int) -> Iterator[Tensor]:
    r"""Rows that have pairs, those of like number together, as many at once as fit."""
    order = torch.argsort(count, stable=True)
    order = order[count[order] > 0]
    start = 0
    while start < order.numel():
        length = count[order[start:]].clamp(min=dim) * dim
        width = length * torch.arange(1, length.numel() + 1)
        stop = start + max(int(torch.searchsorted(width, _ENTRIES, right=True)), 1)
        yield order[start:stop]
        start = stop


def solve_side(known: PairSet, other: Tensor, unobserved_weight: float, l2: Tensor) -> Tensor:
    r"""The rows of one side that minimise the loss of :class:`IALS` given those of the other.

    .. math::
        w_u = \left( \sum_{i \in I_u} h_i h_i^T + \alpha_0 H^T H + \lambda_u I \right)^{-1}
        \sum_{i \in I_u} h_i

    Args:
        known: The pairs, grouped by what is solved for.
        other: :math:`H`, ``[known.num_items, D]``.
        unobserved_weight: :math:`\alpha_0`.
        l2: :math:`\lambda_u` of every row, above 0, ``[known.num_users]``.
    """
    dim = other.size(1)
    gram = unobserved_weight * (other.t() @ other)
    padded = torch.cat([other, other.new_zeros(1, dim)])
    solved = other.new_zeros(known.num_users, dim)
    for rows in _chunks(known.count, dim):
        row, item = known.of_users(rows)
        count = known.count[rows]
        place = torch.arange(row.numel()) - (count.cumsum(0) - count)[row]
        ids = torch.full((rows.numel(), int(count.max())), other.size(0))
        ids[row, place] = item
        h = padded[ids]
        equations = torch.baddbmm(gram.expand(rows.numel(), dim, dim), h.transpose(1, 2), h)
        equations.diagonal(dim1=1, dim2=2).add_(l2[rows].view(-1, 1))
        factor = torch.linalg.cholesky(equations)
        solved[rows] = torch.cholesky_solve(h.sum(1).unsqueeze(2), factor).squeeze(2)
    return solved


@BASELINES.register('ials')
class IALS(Baseline):
    r"""iALS, matrix factorisation of all pairs by alternating least squares, arXiv 2110.14037.

    A pair that was not observed counts as a weak 0:

    .. math::
        L = \sum_{(u, i) \in S} (1 - w_u \cdot h_i)^2 + \alpha_0 \sum_{u, i} (w_u \cdot h_i)^2
        + \lambda \left( \sum_u (|I_u| + \alpha_0 m)^\nu \|w_u\|^2
        + \sum_i (|U_i| + \alpha_0 n)^\nu \|h_i\|^2 \right)

    over the observed pairs :math:`S` of :math:`n` users and :math:`m` items. Every epoch solves the
    normal equations of all users, then those of all items, so the loss never rises. From
    `"Collaborative Filtering for Implicit Feedback Datasets"
    <https://doi.org/10.1109/ICDM.2008.22>`_ (Hu et al., 2008), in the form and with the settings of
    `"Revisiting the Performance of iALS on Item Recommendation Benchmarks"
    <https://arxiv.org/abs/2110.14037>`_, which finds it level with the best once the three numbers
    below are searched.

    An epoch takes about :math:`|S| D^2 + (n + m) D^3 / 3` operations.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        dim: Width :math:`D` of the embeddings.
        unobserved_weight: :math:`\alpha_0 > 0`.
        l2: :math:`\lambda > 0`.
        exponent: :math:`\nu`; 1 in the revisited settings, where frequent nodes are regularised
            more, 0 in the original.
        epochs: Sweeps over both sides; 16 in the revisited settings.
        std: Standard deviation of the initial embeddings, times :math:`\sqrt{D}`.
        seed: Seed of the initial embeddings.
        edge_type: See :class:`Baseline`.

    Raises:
        ValueError: If an argument is out of range, or the normal equations can't be solved in
            PyTorch's default type.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> model = IALS(SyntheticExposure(num_users=50, num_items=40)[0], dim=8)
        >>> model.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
        >>> model.embeddings().item.shape
        torch.Size([40, 8])
    """
    def __init__(self, data: HeteroData, dim: int = 64, unobserved_weight: float = 0.1,
                 l2: float = 0.003, exponent: float = 1., epochs: int = 16, std: float = 0.1,
                 seed: int = 0, edge_type: Optional[EdgeType] = None) -> None:
        super().__init__(data, edge_type)
        check_count('dim', dim)
        check_positive('unobserved_weight', unobserved_weight)
        check_positive('l2', l2)
        check_positive('exponent', exponent, zero=True)
        check_count('epochs', epochs)
        check_positive('std', std)
        generator = torch.Generator().manual_seed(check_seed('seed', seed))
        by_item = PairSet.of(self.pairs.flip(0), self.num_items, self.num_users)
        user_l2, item_l2 = (
            l2 * (known.count + unobserved_weight * known.num_items).to(
                torch.get_default_dtype())**exponent for known in (self.known, by_item))
        # Users are solved for first, so they need no start. The same numbers in every type.
        item = torch.randn(self.num_items, dim, generator=generator, dtype=torch.float64)
        item = (item * (std / dim**0.5)).to(torch.get_default_dtype())
        try:
            for _ in range(epochs):
                user = solve_side(self.known, item, unobserved_weight, user_l2)
                item = solve_side(by_item, user, unobserved_weight, item_l2)
        except torch.linalg.LinAlgError as error:
            raise ValueError(f"'l2' is {l2}, which is too small to solve the normal equations in "
                             f"{torch.get_default_dtype()}; raise it") from error
        self._z = Embeddings(user, item)

    def embeddings(self) -> Embeddings:
        r"""The tables, whose dot products are the scores."""
        return self._z

    def _scores(self, users: Tensor) -> Tensor:
        return self._z.user[users] @ self._z.item.t()
