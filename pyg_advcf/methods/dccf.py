r"""DCCF: contrast with intents and adaptive masks."""
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_advcf import criteria, nn
from pyg_advcf._checks import check_positive
from pyg_advcf.interactions import Batch, Embeddings
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Dot
from pyg_advcf.registry import METHODS


@METHODS.register('dccf')
class DCCF(Recommender):
    r"""DCCF, contrast with intents and adaptive masks, `arXiv 2305.02759
    <https://arxiv.org/abs/2305.02759>`_.

    .. math::
        L = L_{BPR}(Z) + \lambda \sum_{l} \sum_{Y \in \{I, \hat{G}, \hat{I}\}}
            L_{\mathrm{ViewInfoNCE}}(G^{(l)}, Y^{(l)})

    over the views of every layer of :class:`pyg_advcf.nn.DCCF`, whose intents are regularised
    there.

    Args:
        backbone: :class:`pyg_advcf.nn.DCCF`.
        data: Interactions (every method takes them; this one reads nothing from them).
        temperature: :math:`\tau > 0` of the contrast.
        weight: Weight :math:`\lambda \geq 0` of the contrast.
        l2: Weight of the L2 term. The paper's :math:`\lambda_e` = 2.5e-5 applies to the sum over a
            batch of :math:`B`, which is ``l2`` = :math:`2 B \lambda_e`: 0.1 for 2048.

    Raises:
        ValueError: If the backbone has no intents, or an argument is out of range.

    Example:
        >>> from pyg_advcf import InteractionLoader, Step, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = DCCF(nn.DCCF(data, dim=8, num_intents=4), data)
        >>> history = fit(Step(method), InteractionLoader(data), epochs=2, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    pairwise = True
    needs_layers = True
    needs_backbone = nn.DCCF

    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        temperature: float = 1.,
        weight: float = 0.1,
        l2: float = 0.1,
    ) -> None:
        super().__init__(backbone, Dot(), criteria.BPR(), l2, l2_negatives=True)
        if not isinstance(backbone, nn.DCCF):
            raise ValueError(f"'backbone' is {backbone!r}, which has no intents and masks to "
                             f"contrast; use pyg_advcf.nn.DCCF")
        self.contrast = criteria.ViewInfoNCE(temperature)
        self.weight = check_positive('weight', weight, zero=True)

    def forward(self, batch: Batch) -> Tensor:
        if self.weight == 0.:
            return super().forward(batch)
        z = self.backbone(return_views=True)
        loss = self.criterion(*self.similarity(z, batch), batch)
        for propagated, *others in z.extra:
            for other in others:
                loss = loss + self.weight * self.contrast(Embeddings(*propagated),
                                                          Embeddings(*other), batch)
        return self.regularised(loss, batch, z)
