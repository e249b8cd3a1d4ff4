r"""LightGCL: the low-rank graph as view."""
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_advcf import criteria, nn
from pyg_advcf._checks import check_positive
from pyg_advcf.interactions import Batch
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Dot
from pyg_advcf.ops.cross_entropy import product_cross_entropy
from pyg_advcf.registry import METHODS

_BOUND = 5.  # Of the positives' scores, in the authors' code.


@METHODS.register('lightgcl')
class LightGCL(Recommender):
    r"""LightGCL, the low-rank graph as view, `arXiv 2302.08191
    <https://arxiv.org/abs/2302.08191>`_.

    .. math::
        L = L_{BPR}(Z) + \lambda\, L_{\mathrm{ViewInfoNCE}}(G, Z)

    where :math:`G` are the embeddings over the graph's truncated singular value decomposition; see
    :class:`pyg_advcf.nn.LightGCL`. With ``parity``, the contrast of the authors' code instead:

    .. math::
        \mathrm{mean}_{v} \Big[ \ln \sum_{w} e^{g_v \cdot z_w / \tau}
        - \mathrm{clamp}(g_v \cdot z_v / \tau, \pm 5) \Big]

    on dot products, over all nodes :math:`w` of the side, repeated nodes of the batch counted as
    often as they occur; users and items are added.

    Args:
        backbone: :class:`pyg_advcf.nn.LightGCL`.
        data: Interactions (every method takes them; this one reads nothing from them).
        temperature: :math:`\tau > 0` of the contrast.
        weight: Weight :math:`\lambda \geq 0` of the contrast.
        scope: Negatives of the contrast without ``parity``: ``'batch'`` or ``'all'`` nodes.
        parity: Whether to contrast as the authors' code does.
        l2: Weight of the L2 term; the paper decays the whole tables with 1e-7 instead.

    Raises:
        ValueError: If the backbone has no low-rank view, or an argument is out of range.

    Example:
        >>> from pyg_advcf import InteractionLoader, Step, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = LightGCL(nn.LightGCL(data, dim=8), data)
        >>> history = fit(Step(method), InteractionLoader(data), epochs=2, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    pairwise = True
    needs_layers = True
    needs_backbone = nn.LightGCL

    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        temperature: float = 0.2,
        weight: float = 0.2,
        scope: str = 'batch',
        parity: bool = False,
        l2: float = 1e-4,
    ) -> None:
        super().__init__(backbone, Dot(), criteria.BPR(), l2, l2_negatives=True)
        if not isinstance(backbone, nn.LightGCL):
            raise ValueError(f"'backbone' is {backbone!r}, which has no low-rank view to contrast "
                             f"with; use pyg_advcf.nn.LightGCL")
        self.contrast = criteria.ViewInfoNCE(temperature, scope)
        self.weight = check_positive('weight', weight, zero=True)
        self.parity = parity

    def forward(self, batch: Batch) -> Tensor:
        if self.weight == 0.:
            return super().forward(batch)
        z = self.backbone(return_layers=True)
        view = self.backbone.low_rank_view(z)
        contrast = (self._parity(view.user, z.user, batch.user)
                    + self._parity(view.item, z.item, batch.item)
                    if self.parity else self.contrast(view, z, batch))
        loss = self.criterion(*self.similarity(z, batch), batch) + self.weight * contrast
        return self.regularised(loss, batch, z)

    def _parity(self, view: Tensor, z: Tensor, ids: Tensor) -> Tensor:
        a = F.embedding(ids, view) / self.contrast.temperature
        own = (a * F.embedding(ids, z)).sum(-1)
        # The cross entropy holds the own score unclamped: it is exchanged.
        share = torch.full_like(own, 1 / own.numel()).detach()
        entropy = product_cross_entropy(a, z, ids, share, None, self.contrast.chunk_size)
        return entropy + torch.mean(own - own.clamp(-_BOUND, _BOUND))
