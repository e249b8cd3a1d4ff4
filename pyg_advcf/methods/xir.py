r"""XIR."""
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf.interactions import Batch, degrees
from pyg_advcf.methods.bir import BIR
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Dot
from pyg_advcf.registry import METHODS


@METHODS.register('xir')
class XIR(BIR):
    r"""XIR, resampled negatives of the batch and of a cache, `arXiv 2205.14859
    <https://arxiv.org/abs/2205.14859>`_.

    On dot products. The negatives are the items of the batch and those of the cache, a user's
    training items left out; those of the loader are not looked at, so ``num_neg=1`` is the
    cheapest. The counts of draws start anew with every epoch. See
    :class:`~pyg_advcf.criteria.XIR`.

    Args:
        backbone: Computes the embeddings.
        data: Interactions; their degrees are the popularity.
        cache_size: Items in the cache; the published one is as large as a batch.
        weight: :math:`\lambda \in [0, 1]` of the loss against the cache.
        l2: Weight of the L2 term on users and positives.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> from pyg_advcf import InteractionLoader, MF, Step, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = XIR(MF(data, dim=8), data, cache_size=64)
        >>> history = fit(Step(method), InteractionLoader(data), epochs=2, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    single_pass = True

    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        cache_size: int = 2048,
        weight: float = 0.5,
        l2: float = 1e-4,
    ) -> None:
        criterion = criteria.XIR(degrees(data)[1], cache_size, weight)
        Recommender.__init__(self, backbone, Dot(), criterion, l2)

    def on_epoch_start(self, epoch: int) -> None:
        self.criterion.forget()

    def pool(self, batch: Batch) -> Tensor:
        return self.criterion.pool(batch)
