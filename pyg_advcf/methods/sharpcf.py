r"""SharpCF."""
from torch import Tensor

from pyg_advcf import criteria
from pyg_advcf.batch import Batch
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone
from pyg_advcf.registry import METHODS


@METHODS.register('sharpcf')
class SharpCF(Recommender):
    r"""BPR with the trajectory penalty, `arXiv 2308.13541 <https://arxiv.org/abs/2308.13541>`_.

    Flat minima at about the cost of BPR: :class:`~pyg_advcf.criteria.TrajectoryPenalty` penalises
    changes of the positives' scores since ``lag`` epochs ago.

    Args:
        backbone: Computes the embeddings.
        weight: :math:`\lambda`; 0.001 to 10 in the paper, best from 0.1 to 1.
        lag: :math:`E` epochs; 3 in the paper, 1 to 7 alike.
        warmup_epochs: Epochs of plain BPR before the penalty; 200 in the paper.
        l2: Weight of the L2 term.
        dtype: ``'float32'`` or ``'float16'``, in which scores are kept.

    Example:
        >>> from pyg_advcf import InteractionLoader, MF, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = SharpCF(MF(data, dim=8), lag=1, warmup_epochs=2)
        >>> history = fit(method, InteractionLoader(data), epochs=4, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    def __init__(
        self,
        backbone: Backbone,
        weight: float = 0.1,
        lag: int = 3,
        warmup_epochs: int = 200,
        l2: float = 1e-4,
        dtype: str = 'float32',
    ) -> None:
        super().__init__(backbone, criteria.BPR(), l2=l2)
        self.trajectory = criteria.TrajectoryPenalty(backbone.num_interactions, weight, lag,
                                                     warmup_epochs, dtype)
        self.warmup_epochs = warmup_epochs
        self.single_pass = True

    def forward(self, batch: Batch) -> Tensor:
        z = self.backbone.encode(batch)
        pos, neg = self.similarity(z, batch)
        loss = self.criterion(pos, neg, batch) + self.trajectory(
            pos, batch.id, self.current_epoch())
        return loss + self.penalty(batch, z)
