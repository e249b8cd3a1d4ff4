r"""BC loss."""
from torch import Tensor

from pyg_advcf import criteria
from pyg_advcf._checks import check_count, check_ratio
from pyg_advcf.batch import Batch
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone
from pyg_advcf.nn.backbone import check_backbone
from pyg_advcf.registry import METHODS


@METHODS.register('bc')
class BC(Recommender):
    r"""BC loss, a bias-aware angular margin, `arXiv 2210.11054 <https://arxiv.org/abs/2210.11054>`_.

    In the first epochs only the popularity branch learns; from then on it is frozen and sets
    the margins of :class:`~pyg_advcf.criteria.BCLoss`, with which the backbone learns:

    .. math::
        w L_{pop} \quad \text{(warm-up)}, \qquad (1 - w) L_{main} + \lambda R
        \quad \text{afterwards}

    In the warm-up the backbone keeps its initial weights, so :func:`~pyg_advcf.training.fit` does
    not select an epoch of it.

    Args:
        backbone: Computes the embeddings.
        temperature: :math:`\tau_1 > 0`; 0.05 to 3 are published.
        branch_temperature: :math:`\tau_2 > 0` of the branch.
        weight: :math:`w` in (0, 1).
        warmup_epochs: Epochs in which the branch learns.
        l2: Weight :math:`\lambda` of the L2 term on users and positives.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> from pyg_advcf import InteractionLoader, MF, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = BC(MF(data, dim=8), warmup_epochs=1)
        >>> loader = InteractionLoader(data, num_neg=8)
        >>> history = fit(method, loader, epochs=3, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    def __init__(
        self,
        backbone: Backbone,
        temperature: float = 0.07,
        branch_temperature: float = 0.1,
        weight: float = 0.5,
        warmup_epochs: int = 5,
        l2: float = 1e-5,
    ) -> None:
        check_backbone('backbone', backbone)
        criterion = criteria.BCLoss(*backbone.degrees, backbone.dim, temperature,
                                    branch_temperature)
        super().__init__(backbone, criterion, l2=l2)
        self.weight = check_ratio('weight', weight, zero=False, one=False,
                                  why='the branch and the backbone both have to learn')
        self.warmup_epochs = check_count('warmup_epochs', warmup_epochs, minimum=0)

    def on_epoch_start(self, epoch: int) -> None:
        super().on_epoch_start(epoch)
        if epoch >= self.warmup_epochs:
            # Without a gradient, an optimizer leaves them alone. With one of zeros, Adam's momentum
            # would go on moving them.
            for p in self.criterion.branch.parameters():
                p.grad = None

    def forward(self, batch: Batch) -> Tensor:
        if self.current_epoch() < self.warmup_epochs:
            return self.weight * self.criterion.branch_loss(batch)
        z = self.backbone.encode(batch)
        return (1 - self.weight) * self.ranking_loss(z, batch) + self.penalty(batch, z)
