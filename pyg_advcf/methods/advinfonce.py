r"""AdvInfoNCE."""
import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf.interactions import Batch, Embeddings, degrees
from pyg_advcf.methods.recommender import AdversarialRecommender
from pyg_advcf.nn import Backbone, Cosine
from pyg_advcf.registry import METHODS


@METHODS.register('advinfonce')
class AdvInfoNCE(AdversarialRecommender):
    r"""Adversarial InfoNCE, `arXiv 2310.18700 <https://arxiv.org/abs/2310.18700>`_.

    Train it with :class:`~pyg_advcf.training.MinMaxStep`: the recommender minimises
    :class:`~pyg_advcf.criteria.AdvInfoNCE` with the hardness frozen, and every few epochs the
    hardness model maximises it with the recommender frozen.

    Args:
        backbone: Computes the embeddings.
        data: Interactions; hardness ``'popularity'`` reads the items' degrees.
        temperature: :math:`\tau`.
        k: Stand-in for the negatives that are not sampled.
        hardness: See :class:`~pyg_advcf.criteria.AdvInfoNCE`.
        l2: Weight of the L2 term on users and positives.
        adversary_l2: Weight of the L2 term on the hardness tables; 0 is published.

    Example:
        >>> from pyg_advcf import InteractionLoader, LightGCN, MinMaxStep, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = AdvInfoNCE(LightGCN(data, dim=8), data, temperature=0.2)
        >>> loader = InteractionLoader(data, num_neg=8, sampler='user')
        >>> history = fit(MinMaxStep(method, max_passes=1), loader, epochs=3, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        temperature: float = 0.1,
        k: float = 64.,
        hardness: str = 'embed',
        l2: float = 1e-5,
        adversary_l2: float = 0.,
    ) -> None:
        criterion = criteria.AdvInfoNCE(backbone.num_users, backbone.num_items, backbone.dim, k,
                                        hardness, popularity=degrees(data)[1],
                                        adversary_l2=adversary_l2)
        super().__init__(backbone, Cosine(temperature), criterion, l2)

    def forward(self, batch: Batch) -> Tensor:
        with torch.no_grad():  # The hardness is frozen while the recommender moves.
            delta = self.criterion.delta(batch, self.backbone.x)
        z, local = self.backbone.for_batch(batch)
        pos, neg = self.similarity(z, local)
        return self.regularised(self.criterion(pos, neg, batch, delta=delta), batch, z)

    def adversary_parameters(self) -> list[nn.Parameter]:
        return list(self.criterion.hardness.parameters())

    def adversary_loss(self, batch: Batch, z: Embeddings) -> tuple[Tensor, dict[str, Tensor]]:
        pos, neg = self.similarity.prepared(z, batch)
        delta = self.criterion.delta(batch, self.backbone.x)
        loss = self.criterion.adversary_loss(pos, neg, batch, delta=delta)
        with torch.no_grad():
            log = {
                'kl_uniform_p': -delta.mean(),  # KL(P0 || P), the one of the paper's theorem.
                'kl_p_uniform': (delta.exp() * delta).mean(),  # KL(P || P0).
            }
        return loss, log


@METHODS.register('uniform')
class UniformAdvInfoNCE(AdvInfoNCE):
    r"""The control of AdvInfoNCE: :math:`\delta = 0`, only the constant :math:`\ln k` is left.

    Args:
        backbone: Computes the embeddings.
        data: Interactions.
        temperature: :math:`\tau`.
        k: Stand-in for the negatives that are not sampled.
        l2: Weight of the L2 term on users and positives.
    """
    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        temperature: float = 0.1,
        k: float = 64.,
        l2: float = 1e-5,
    ) -> None:
        super().__init__(backbone, data, temperature, k, hardness='uniform', l2=l2)
