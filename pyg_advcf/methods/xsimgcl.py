r"""XSimGCL: one noisy pass, contrasted with one of its layers."""
from pyg_advcf import criteria
from pyg_advcf._checks import check_count, check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.methods.views import ViewRecommender, Views
from pyg_advcf.nn import Backbone
from pyg_advcf.registry import METHODS


@METHODS.register('xsimgcl')
class XSimGCL(ViewRecommender):
    r"""XSimGCL, one noisy pass against a layer, `arXiv 2209.02544
    <https://arxiv.org/abs/2209.02544>`_.

    One pass with noise after every propagation serves both parts: BPR on its embeddings, and
    :class:`~pyg_advcf.criteria.ViewInfoNCE` between these and those of one layer. Ranking is free
    of noise. Published over ``LightGCN(skip_input=True)``.

    Args:
        backbone: :class:`~pyg_advcf.nn.LightGCN`, or another to whose layers noise can be added.
        temperature: :math:`\tau` of the contrast.
        weight: Weight :math:`\lambda \geq 0` of the contrast.
        epsilon: Length of the noise.
        layer: The layer to contrast with, from 1 on.
        l2: Weight of the L2 term.

    Raises:
        ValueError: If the backbone has no such layer, or an argument is out of range.

    Example:
        >>> from pyg_advcf import InteractionLoader, LightGCN, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = XSimGCL(LightGCN(data, dim=8, skip_input=True))
        >>> history = fit(method, InteractionLoader(data), epochs=2, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    def __init__(
        self,
        backbone: Backbone,
        temperature: float = 0.15,
        weight: float = 0.2,
        epsilon: float = 0.2,
        layer: int = 1,
        l2: float = 1e-4,
    ) -> None:
        super().__init__(backbone, criteria.ViewInfoNCE(temperature), weight, l2=l2,
                         requires=['noise'])
        self.epsilon = check_positive('epsilon', epsilon, zero=True)
        self.layer = check_count('layer', layer)
        if layer > backbone.num_layers:
            raise ValueError(f"'layer' is {layer}, but the backbone has {backbone.num_layers}")

    def views(self, batch: Batch) -> Views:
        z = self.encoder(batch)(return_layers=True, noise=self.epsilon)
        return z, [(z, z.layers[self.layer])]
