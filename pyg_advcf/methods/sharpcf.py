r"""SharpCF."""
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf.interactions import EDGE_TYPE, Batch
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Dot
from pyg_advcf.registry import METHODS


@METHODS.register('sharpcf')
class SharpCF(Recommender):
    r"""BPR with the trajectory penalty, `arXiv 2308.13541 <https://arxiv.org/abs/2308.13541>`_.

    Flat minima at the cost of BPR: :class:`~pyg_advcf.criteria.TrajectoryPenalty` keeps the scores
    of the positives near those of ``lag`` epochs ago.

    Args:
        backbone: Computes the embeddings.
        data: Interactions; their number sizes the table of scores.
        weight: :math:`\lambda`; 0.001 to 10 in the paper, best from 0.1 to 1.
        lag: :math:`E` epochs; 3 in the paper, 1 to 7 alike.
        start: Epochs of plain BPR before the penalty; 200 in the paper.
        l2: Weight of the L2 term.
        dtype: ``'float32'`` or ``'float16'``, in which scores are kept.

    Example:
        >>> from pyg_advcf import InteractionLoader, MF, Step, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = SharpCF(MF(data, dim=8), data, lag=1, start=2)
        >>> history = fit(Step(method), InteractionLoader(data), epochs=4, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    pairwise = True
    single_pass = True

    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        weight: float = 0.1,
        lag: int = 3,
        start: int = 200,
        l2: float = 1e-4,
        dtype: str = 'float32',
    ) -> None:
        super().__init__(backbone, Dot(), criteria.BPR(), l2, l2_negatives=True)
        self.trajectory = criteria.TrajectoryPenalty(data[EDGE_TYPE].edge_index.size(1), weight,
                                                     lag, start, dtype)
        self.epoch = 0

    def on_epoch_start(self, epoch: int) -> None:
        self.epoch = epoch

    def forward(self, batch: Batch) -> Tensor:
        z, local = self.backbone.for_batch(batch)
        pos, neg = self.similarity(z, local)
        loss = self.criterion(pos, neg, batch) + self.trajectory(pos, batch.id, self.epoch)
        return self.regularised(loss, batch, z)
