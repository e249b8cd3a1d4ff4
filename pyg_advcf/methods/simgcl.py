r"""SimGCL: two noisy passes as views."""
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf._checks import check_positive
from pyg_advcf.interactions import Batch
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Dot, LightGCN
from pyg_advcf.registry import METHODS


def check_layers(backbone: Backbone) -> None:
    r"""Raises if the backbone has no layers to add noise to."""
    if not isinstance(backbone, LightGCN) or backbone.num_layers == 0:
        raise ValueError(f"'backbone' is {backbone!r}, but noise is added after every propagation: "
                         f"use LightGCN with at least one layer (skip_input=True is published)")


@METHODS.register('simgcl')
class SimGCL(Recommender):
    r"""SimGCL, two noisy passes as views, `arXiv 2112.08679 <https://arxiv.org/abs/2112.08679>`_.

    BPR on the clean embeddings, and :class:`~pyg_advcf.criteria.ViewInfoNCE` between two passes
    with independent noise after every propagation. Published over ``LightGCN(skip_input=True)``.

    Args:
        backbone: :class:`~pyg_advcf.nn.LightGCN`.
        data: Interactions (every method takes them; this one reads nothing from them).
        temperature: :math:`\tau` of the contrast.
        weight: Weight :math:`\lambda \geq 0` of the contrast.
        epsilon: Length of the noise.
        l2: Weight of the L2 term.

    Raises:
        ValueError: If the backbone has no layers, or an argument is out of range.

    Example:
        >>> from pyg_advcf import InteractionLoader, Step, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = SimGCL(LightGCN(data, dim=8, skip_input=True), data)
        >>> history = fit(Step(method), InteractionLoader(data), epochs=2, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    pairwise = True
    skip_input = True
    needs_layers = True
    needs_backbone = LightGCN

    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        temperature: float = 0.2,
        weight: float = 0.5,
        epsilon: float = 0.1,
        l2: float = 1e-4,
    ) -> None:
        super().__init__(backbone, Dot(), criteria.BPR(), l2, l2_negatives=True)
        check_layers(backbone)
        self.contrast = criteria.ViewInfoNCE(temperature)
        self.weight = check_positive('weight', weight, zero=True)
        self.epsilon = check_positive('epsilon', epsilon, zero=True)

    def forward(self, batch: Batch) -> Tensor:
        x, f, local = self.backbone.local(batch)
        z = f(x)
        loss = self.regularised(self.criterion(*self.similarity(z, local), batch), batch, z)
        if self.weight == 0.:
            return loss
        first, second = (f(x, noise=self.epsilon) for _ in range(2))
        return loss + self.weight * self.contrast(first, second, local)
