r"""Adap-tau."""
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf._checks import check_count
from pyg_advcf.criteria.adaptau import base_temperature
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Cosine
from pyg_advcf.registry import METHODS


@METHODS.register('adaptau')
class AdapTau(Recommender):
    r"""Adap-tau, a temperature for each user, `arXiv 2302.04775 <https://arxiv.org/abs/2302.04775>`_.

    Before every epoch the temperatures of :class:`~pyg_advcf.criteria.AdapTau` are set anew, from
    the embeddings as they are and from the users' losses of the epoch before.

    Args:
        backbone: Computes the embeddings.
        data: Interactions (every method takes them; the backbone's graph is the one that counts).
        beta: :math:`\beta > 0`.
        warmup: Epochs in which the gap between the cosines is taken to be 0.7; 10 to 100 are
            published.
        l2: Weight of the L2 term on users and positives.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> from pyg_advcf import InteractionLoader, MF, Step, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = AdapTau(MF(data, dim=8), data, warmup=1)
        >>> loader = InteractionLoader(data, num_neg=8)
        >>> history = fit(Step(method), loader, epochs=3, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    single_pass = True

    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        beta: float = 1.,
        warmup: int = 20,
        l2: float = 1e-5,
    ) -> None:
        super().__init__(backbone, Cosine(1.), criteria.AdapTau(backbone.num_users, beta), l2)
        self.warmup = check_count('warmup', warmup, minimum=0)
        self.criterion.update(base_temperature(backbone.graph))

    def on_epoch_start(self, epoch: int) -> None:
        z = None if epoch < self.warmup else self.embeddings()
        self.criterion.update(base_temperature(self.backbone.graph, z))
