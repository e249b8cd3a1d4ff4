r"""APR: adversarial personalised ranking."""
import math
import numbers
from typing import Optional

from torch import Tensor

from pyg_advcf import criteria
from pyg_advcf._checks import check_count, shown
from pyg_advcf.batch import Batch
from pyg_advcf.methods.perturbed import perturbed
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone
from pyg_advcf.registry import METHODS
from pyg_advcf.transforms import FastGradient, Perturbation
from pyg_advcf.transforms.perturb import check_perturbation


@METHODS.register('apr')
class APR(Recommender):
    r"""Adversarial personalised ranking, `arXiv 1808.03908 <https://arxiv.org/abs/1808.03908>`_.

    .. math::
        L = L_{BPR}(\Theta) + \alpha\, L_{BPR}(\Theta + \Delta) + \lambda R, \qquad
        \Delta = \arg\max_{\|\Delta\| \leq \epsilon} L_{BPR}(\Theta + \Delta)

    to first order, on the same batch, with :math:`\Delta` held fixed.

    Args:
        backbone: Computes the embeddings.
        alpha: Weight :math:`\alpha \geq 0` of the adversarial loss; ``math.inf`` uses
            it without the clean loss.
        epsilon: Size of the shift; 0.5 is published, per row.
        norm: ``'row'`` (the authors' code), ``'global'`` (their formula) or ``'sign'``.
        warmup_epochs: Epochs of plain BPR before; the published runs start from a trained BPR,
            those in the paper of SharpCF after 200 epochs.
        restrict_to_batch: Whether to shift only the rows that the batch names.
        perturbation: Finds the shift in place of the fast gradient of the arguments above.
        l2: Weight of the L2 term, on the clean tables.

    Raises:
        ValueError: If ``alpha`` or ``epsilon`` is negative or ``norm`` unknown.

    Example:
        >>> from pyg_advcf import InteractionLoader, MF, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = APR(MF(data, dim=8), epsilon=0.1, warmup_epochs=1)
        >>> history = fit(method, InteractionLoader(data), epochs=3, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    def __init__(
        self,
        backbone: Backbone,
        alpha: float = 1.,
        epsilon: float = 0.5,
        norm: str = 'row',
        warmup_epochs: int = 200,
        restrict_to_batch: bool = False,
        perturbation: Optional[Perturbation] = None,
        l2: float = 1e-4,
    ) -> None:
        super().__init__(backbone, criteria.BPR(), l2=l2)
        if not isinstance(alpha, numbers.Real) or isinstance(alpha, bool) or not alpha >= 0:
            raise ValueError(f"'alpha' is {shown(alpha)}, but needs to be a number of at least 0; "
                             f"math.inf uses the adversarial loss without the clean one")
        self.alpha = alpha
        self.warmup_epochs = check_count('warmup_epochs', warmup_epochs, minimum=0)
        # Built in any case, which checks its arguments.
        fast = FastGradient(epsilon, norm, restrict_to_batch=restrict_to_batch)
        self.perturbation = (fast if perturbation is None
                             else check_perturbation('perturbation', perturbation))

    def forward(self, batch: Batch) -> Tensor:
        if self.alpha == 0 or (self.warmup_epochs > 0
                               and self.current_epoch() < self.warmup_epochs):
            return super().forward(batch)
        found = perturbed(self.backbone, lambda z: self.ranking_loss(z, batch), self.perturbation,
                          batch)
        loss = self.ranking_loss(found.z_adv, batch)
        if not math.isinf(self.alpha):
            loss = self.ranking_loss(found.z, batch) + self.alpha * loss
        return loss + self.penalty(batch, found.z)
