r"""SimGCL: two noisy passes as views."""
from pyg_advcf import criteria
from pyg_advcf._checks import check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.methods.views import ViewRecommender, Views
from pyg_advcf.nn import Backbone
from pyg_advcf.registry import METHODS


@METHODS.register('simgcl')
class SimGCL(ViewRecommender):
    r"""SimGCL, two noisy passes as views, `arXiv 2112.08679 <https://arxiv.org/abs/2112.08679>`_.

    BPR on the clean embeddings, and :class:`~pyg_advcf.criteria.ViewInfoNCE` between two passes
    with independent noise after every propagation. Published over ``LightGCN(skip_input=True)``.

    Args:
        backbone: :class:`~pyg_advcf.nn.LightGCN`, or another to whose layers noise can be added.
        temperature: :math:`\tau` of the contrast.
        weight: Weight :math:`\lambda \geq 0` of the contrast.
        epsilon: Length of the noise.
        l2: Weight of the L2 term.

    Raises:
        ValueError: If the backbone has no layers, or an argument is out of range.

    Example:
        >>> from pyg_advcf import InteractionLoader, LightGCN, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = SimGCL(LightGCN(data, dim=8, skip_input=True))
        >>> history = fit(method, InteractionLoader(data), epochs=2, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    def __init__(
        self,
        backbone: Backbone,
        temperature: float = 0.2,
        weight: float = 0.5,
        epsilon: float = 0.1,
        l2: float = 1e-4,
    ) -> None:
        super().__init__(backbone, criteria.ViewInfoNCE(temperature), weight, l2=l2,
                         requires=['noise'])
        self.epsilon = check_positive('epsilon', epsilon, zero=True)

    def views(self, batch: Batch) -> Views:
        encode = self.encoder(batch)
        return encode(), [(encode(noise=self.epsilon), encode(noise=self.epsilon))]
