r"""Light graph convolution on a bipartite graph."""
from typing import Optional

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.nn import MessagePassing

from pyg_advcf._checks import check_floats, check_integers, check_pairs, reads_values, shown
from pyg_advcf.ops import spmm
from pyg_advcf.ops.spmm import inv_sqrt_degree


class BipartiteConv(MessagePassing):
    r"""One symmetric-normalised propagation step of LightGCN between users and items.

    .. math::
        x'_u = \sum_{i \in N_u} \frac{x_i}{\sqrt{d_u d_i}}, \qquad
        x'_i = \sum_{u \in N_i} \frac{x_u}{\sqrt{d_u d_i}}

    From `"LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation"
    <https://arxiv.org/abs/2002.02126>`_. An isolated node receives zeros. On the graph of
    :func:`pyg_advcf.interaction_graph` the step is fused into one sparse product a side
    (:func:`pyg_advcf.ops.spmm`); any other ``edge_index`` of shape ``[2, E]`` goes through
    :meth:`message` and the aggregation of :class:`~torch_geometric.nn.MessagePassing`, with the
    same result.

    Example:
        >>> from pyg_advcf import as_graph
        >>> graph = as_graph(torch.tensor([[0, 0], [0, 1]]), 1, 2)
        >>> user, item = BipartiteConv()((torch.ones(1, 1), torch.ones(2, 1)), graph)
        >>> user.item(), item.view(-1).tolist()  # 2 / sqrt(2) and 1 / sqrt(2)
        (1.4142135381698608, [0.7071067690849304, 0.7071067690849304])
    """
    def __init__(self, **kwargs) -> None:
        kwargs.setdefault('aggr', 'sum')
        super().__init__(**kwargs)

    def forward(
        self,
        x: tuple[Tensor, Tensor],
        edge_index: Tensor,
        edge_weight: Optional[Tensor] = None,
    ) -> tuple[Tensor, Tensor]:
        r"""Propagates the pair ``x = (user [n, D], item [m, D])``; returns the new pair.

        Args:
            x: The tables.
            edge_index: ``[2, E]``.
            edge_weight: A factor for every edge, in both directions, ``[E]``. Degrees count edges,
                whatever their weight.
        """
        if not isinstance(x, (tuple, list)) or len(x) != 2:
            raise ValueError(f"'x' is {shown(x)}, but needs to be the pair of tables (user, item)")
        x_user, x_item = (check_floats(f'x[{side}]', table, ('rows', 'D'))
                          for side, table in enumerate(x))
        if isinstance(edge_index, EdgeIndex) and edge_index.is_sorted_by_row:
            user_scale, item_scale = inv_sqrt_degree(edge_index, x_user.dtype)
            return (spmm(edge_index, x_item, row_scale=user_scale, col_scale=item_scale,
                         edge_weight=edge_weight),
                    spmm(edge_index, x_user, transpose=True, row_scale=item_scale,
                         col_scale=user_scale, edge_weight=edge_weight))

        # Flow is from row 0 to row 1: the users' messages travel to the items, and back.
        size = x_user.size(0), x_item.size(0)
        edge_index = edge_index.as_tensor() if isinstance(edge_index, EdgeIndex) else edge_index
        edge_index = check_integers('edge_index', edge_index, (2, 'E'))
        if reads_values(edge_index):
            check_pairs('edge_index', edge_index, *size)
        if edge_weight is not None:
            check_floats('edge_weight', edge_weight, (edge_index.size(1), ))
        degree = [torch.bincount(index, minlength=n).to(x_user.dtype)
                  for index, n in zip(edge_index, size)]
        norm = (degree[0][edge_index[0]] * degree[1][edge_index[1]]).rsqrt()
        norm = norm if edge_weight is None else norm * edge_weight
        # propagate_type: (x: OptPairTensor, norm: Tensor)
        item = self.propagate(edge_index, x=(x_user, x_item), norm=norm, size=size)
        user = self.propagate(edge_index.flip(0), x=(x_item, x_user), norm=norm, size=size[::-1])
        return user, item

    def message(self, x_j: Tensor, norm: Tensor) -> Tensor:
        return norm.view(-1, 1) * x_j
