r"""Dot products along the edges of a graph."""
from typing import Optional

from torch import Tensor
from torch_geometric import EdgeIndex

from pyg_advcf.ops.backend import choose
from pyg_advcf.ops.spmm import _sddmm, compressed


def sddmm(graph: EdgeIndex, user: Tensor, item: Tensor,
          backend: Optional[str] = None) -> Tensor:
    r""":math:`x_u \cdot y_i` of every edge :math:`(u, i)`, in the order of the graph's columns.

    Differentiable any number of times: it and the weighted :func:`~pyg_advcf.ops.spmm` are each
    other's gradients. No ``[E, D]`` tensor is made, except by the backend ``'torch'``.

    Args:
        graph: As :func:`pyg_advcf.interaction_graph` returns it.
        user: ``[n, D]``.
        item: ``[m, D]``.
        backend: See :func:`pyg_advcf.ops.backend.choose`.

    Returns:
        ``[E]``.

    Raises:
        ValueError: If the tables do not fit the graph or each other, or ``backend`` is unknown.

    Example:
        >>> import torch
        >>> from pyg_advcf import as_graph
        >>> graph = as_graph(torch.tensor([[0, 0, 1], [0, 1, 1]]), 2, 2)
        >>> sddmm(graph, torch.tensor([[1.], [2.]]), torch.tensor([[1.], [10.]]))
        tensor([ 1., 10., 20.])
    """
    sizes = graph.get_sparse_size(0), graph.get_sparse_size(1)
    if (user.size(0), item.size(0)) != sizes or user.size(1) != item.size(1):
        raise ValueError(f"'user' and 'item' have shapes {list(user.shape)} and "
                         f"{list(item.shape)}, but the graph has shape {sizes} and both need the "
                         f"same width")
    (colptr, row), order = graph.get_csc()
    return _sddmm(user.contiguous(), item.contiguous(), *compressed(graph, False), colptr, row,
                  order, choose('spmm', user, backend))
