r"""Dot products along the edges of a graph."""
from typing import Optional

from torch import Tensor
from torch_geometric import EdgeIndex

from pyg_advcf.ops.backend import choose
from pyg_advcf.ops.spmm import _sddmm, check_tables
from pyg_advcf.ops.structure import structure


def sddmm(graph: EdgeIndex, user: Tensor, item: Tensor,
          backend: Optional[str] = None) -> Tensor:
    r""":math:`x_u \cdot y_i` of every edge :math:`(u, i)`, in the order of the graph's columns.

    Differentiable any number of times: it and the weighted :func:`~pyg_advcf.ops.spmm` are each
    other's gradients. No ``[E, D]`` tensor is made, except by the backend ``'torch'``.

    Args:
        graph: See :func:`~pyg_advcf.ops.spmm`.
        user: ``[n, D]``.
        item: ``[m, D]``.
        backend: See :func:`pyg_advcf.ops.backend.choose`.

    Returns:
        ``[E]``.

    Raises:
        ValueError: If ``graph`` is none or holds ids beyond its size, the tables do not fit it or
            each other, or ``backend`` is unknown or not available.

    Example:
        >>> import torch
        >>> from pyg_advcf import as_graph
        >>> graph = as_graph(torch.tensor([[0, 0, 1], [0, 1, 1]]), 2, 2)
        >>> sddmm(graph, torch.tensor([[1.], [2.]]), torch.tensor([[1.], [10.]]))
        tensor([ 1., 10., 20.])
    """
    forms = structure(graph)
    check_tables(forms, user, item)
    out = _sddmm(user.contiguous(), item.contiguous(), *forms.weighted(),
                 choose('spmm', user, backend))
    return out if forms.place is None else out[forms.place]
