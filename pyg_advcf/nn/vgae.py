r"""A variational graph autoencoder for collaborative filtering."""
from dataclasses import dataclass
from typing import Optional

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_instance, check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.nn.backbone import Backbone, Encoder, Graphs
from pyg_advcf.nn.lightgcn import LightGCN
from pyg_advcf.registry import BACKBONES

_MAX_LOG_STD = 10.


class _Divergence(torch.autograd.Function):
    r"""Sum of the divergences, and its gradient, in few passes over the tables."""
    @staticmethod
    def forward(ctx, mean, log_std):
        excess = torch.expm1(2 * log_std)  # Of the variance; without it small ones would cancel.
        ctx.save_for_backward(mean, log_std, excess)
        return 0.5 * (mean.square().sum() + excess.sum()) - log_std.sum()

    @staticmethod
    def backward(ctx, grad):
        mean, log_std, excess = ctx.saved_tensors
        if torch.is_grad_enabled():  # The gradient will be differentiated itself.
            excess = torch.expm1(2 * log_std)
        return grad * mean, grad * excess


@dataclass(eq=False)
class Posterior(Embeddings):
    r"""Embeddings of :class:`VGAE` with the normal distributions that they were drawn from.

    Attributes:
        mean: :math:`\mu` of users and of items.
        log_std: :math:`\log \sigma` of users and of items.
    """
    mean: Optional[Embeddings] = None
    log_std: Optional[Embeddings] = None


@BACKBONES.register('vgae')
class VGAE(LightGCN):
    r"""Variational graph autoencoder over :class:`LightGCN`, after `arXiv 1611.07308
    <https://arxiv.org/abs/1611.07308>`_.

    .. math::
        \mu = \hat{A} H W_\mu, \qquad \log \sigma = \min(\hat{A} H W_\sigma, 10), \qquad
        Z = \mu + \sigma \odot \xi, \quad \xi \sim N(0, 1)

    where :math:`H` are the embeddings of LightGCN. The decoder is the similarity of the method;
    ranking uses :math:`Z = \mu`. To any loss the backbone adds :math:`\beta` times

    .. math::
        KL = -\frac{1}{2 (n + m)} \sum_v \sum_d \left(1 + 2 \log \sigma_{vd} - \mu_{vd}^2
             - \sigma_{vd}^2\right)

    Not linear in the tables, since a pass draws noise. An isolated node has :math:`\mu = 0`.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        dim: Width of the embeddings.
        num_layers: Layers :math:`L \geq 0` of LightGCN, to which one propagation is added.
        init: See :class:`~pyg_advcf.nn.TableBackbone`.
        beta: Weight :math:`\beta \geq 0` of the KL divergence; :math:`1 / (n + m)` by default.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.
        user_encoder: See :class:`~pyg_advcf.nn.TableBackbone`.
        item_encoder: See :class:`~pyg_advcf.nn.TableBackbone`.

    Raises:
        ValueError: If ``num_layers`` or ``beta`` is negative.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> model = VGAE(SyntheticExposure(num_users=20, num_items=30)[0], dim=8)
        >>> z = model()
        >>> z.user.shape, torch.equal(z.user, model().user), model.kl_loss(z).shape
        (torch.Size([20, 8]), False, torch.Size([]))
        >>> torch.equal(model.eval()().user, model().user)
        True
    """
    linear = False

    def __init__(
        self,
        data: HeteroData,
        dim: int = 64,
        num_layers: int = 2,
        init: str = 'xavier_normal',
        beta: Optional[float] = None,
        edge_type: Optional[EdgeType] = None,
        user_encoder: Optional[nn.Module] = None,
        item_encoder: Optional[nn.Module] = None,
    ) -> None:
        super().__init__(data, dim, num_layers, init, edge_type=edge_type,
                         user_encoder=user_encoder, item_encoder=item_encoder)
        self.depth = num_layers + 1
        self.mean = nn.Linear(dim, dim, bias=False)
        self.log_std = nn.Linear(dim, dim, bias=False)
        self.beta = (1 / (self.num_users + self.num_items) if beta is None
                     else check_positive('beta', beta, zero=True))
        self._reset_maps()

    def _reset_maps(self) -> None:
        for layer in (self.mean, self.log_std):
            nn.init.xavier_uniform_(layer.weight)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self._reset_maps()

    def forward(
        self,
        graph: Optional[Graphs] = None,
        x: Optional[Embeddings] = None,
        return_layers: bool = False,
        noise: float = 0.,
    ) -> Embeddings:
        r"""Draws embeddings in training, and gives their means in evaluation.

        Args:
            graph: As of :meth:`LightGCN.forward`; a sequence has one graph more than layers.
            x: Overrides the trainable tables.
            return_layers: Whether to return the layers of LightGCN too.
            noise: As of :meth:`LightGCN.forward`, inside LightGCN.

        Returns:
            A :class:`Posterior`.
        """
        last = self.graphs(graph, self.depth)[-1]
        if graph is not None and not isinstance(graph, Tensor):
            graph = graph[:-1]
        h = super().forward(graph, x, return_layers, noise)
        h_last = self.conv(tuple(h), last)
        mean = Embeddings(*map(self.mean, h_last))
        log_std = Embeddings(*(self.log_std(t).clamp(max=_MAX_LOG_STD) for t in h_last))
        z = mean
        if self.training:
            z = mean.map(lambda m, s: torch.addcmul(m, s.exp(), torch.randn_like(s)), log_std)
        return Posterior(*z, layers=h.layers, mean=mean, log_std=log_std)

    def encoder(self, *batches: Batch) -> Encoder:
        r"""All rows: each draws noise, and the divergence is over all of them."""
        return Backbone.encoder(self)

    def kl_loss(self, z: Optional[Posterior] = None) -> Tensor:
        r"""Divergence of the posterior from :math:`N(0, 1)`, a scalar.

        Args:
            z: What :meth:`forward` returned; computed if absent.
        """
        z = self() if z is None else check_instance(
            'z', z, Posterior, 'what the backbone returned, with the distributions')
        total = sum(_Divergence.apply(*side) for side in zip(z.mean, z.log_std))
        return total / (self.num_users + self.num_items)

    def penalty(self, batch: Batch, z: Optional[Embeddings] = None) -> Optional[Tensor]:
        r""":math:`\beta` times :meth:`kl_loss`."""
        return None if self.beta == 0 else self.beta * self.kl_loss(z)

    def __repr__(self) -> str:
        return f'{super().__repr__()[:-1]}, beta={self.beta:.3g})'
