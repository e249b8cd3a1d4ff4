r"""XSimGCL: one noisy pass, contrasted with one of its layers."""
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf._checks import check_count, check_positive
from pyg_advcf.interactions import Batch, Embeddings
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.methods.simgcl import check_layers
from pyg_advcf.nn import Backbone, Dot, LightGCN
from pyg_advcf.registry import METHODS


@METHODS.register('xsimgcl')
class XSimGCL(Recommender):
    r"""XSimGCL, one noisy pass against a layer, `arXiv 2209.02544
    <https://arxiv.org/abs/2209.02544>`_.

    One pass with noise after every propagation serves both parts: BPR on its embeddings, and
    :class:`~pyg_advcf.criteria.ViewInfoNCE` between these and those of one layer. Ranking is free
    of noise. Published over ``LightGCN(skip_input=True)``.

    Args:
        backbone: :class:`~pyg_advcf.nn.LightGCN`.
        data: Interactions (every method takes them; this one reads nothing from them).
        temperature: :math:`\tau` of the contrast.
        weight: Weight :math:`\lambda \geq 0` of the contrast.
        epsilon: Length of the noise.
        layer: The layer to contrast with, from 1 on.
        l2: Weight of the L2 term.

    Raises:
        ValueError: If the backbone has no such layer, or an argument is out of range.

    Example:
        >>> from pyg_advcf import InteractionLoader, Step, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = XSimGCL(LightGCN(data, dim=8, skip_input=True), data)
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
        temperature: float = 0.15,
        weight: float = 0.2,
        epsilon: float = 0.2,
        layer: int = 1,
        l2: float = 1e-4,
    ) -> None:
        super().__init__(backbone, Dot(), criteria.BPR(), l2, l2_negatives=True)
        check_layers(backbone)
        self.contrast = criteria.ViewInfoNCE(temperature)
        self.weight = check_positive('weight', weight, zero=True)
        self.epsilon = check_positive('epsilon', epsilon, zero=True)
        self.layer = check_count('layer', layer)
        if layer > backbone.num_layers:
            raise ValueError(f"'layer' is {layer}, but the backbone has {backbone.num_layers}")

    def forward(self, batch: Batch) -> Tensor:
        x, f, local = self.backbone.local(batch)
        z = f(x, return_layers=True, noise=self.epsilon)
        loss = self.criterion(*self.similarity(z, local), batch)
        loss = loss + self.weight * self.contrast(z, Embeddings(*z.layers[self.layer]), local)
        return self.regularised(loss, batch, z)
