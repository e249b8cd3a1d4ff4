r"""NCL: neighbours in the graph and in the space as positives."""
from typing import Optional

from torch import Tensor

from pyg_advcf import criteria
from pyg_advcf._checks import check_count, check_positive, check_seed
from pyg_advcf._seeds import epoch_seed
from pyg_advcf.batch import Batch
from pyg_advcf.methods.recommender import UnsupportedBackbone
from pyg_advcf.methods.views import ViewRecommender, Views
from pyg_advcf.nn import Backbone
from pyg_advcf.nn.backbone import check_backbone
from pyg_advcf.registry import METHODS


@METHODS.register('ncl')
class NCL(ViewRecommender):
    r"""NCL, structural and semantic neighbours, `arXiv 2202.06200
    <https://arxiv.org/abs/2202.06200>`_.

    .. math::
        L = L_{BPR}(Z) + \lambda_s (L^s_U + \alpha L^s_I) + \lambda_p (L^p_U + L^p_I)

    :math:`L^s` contrasts the embeddings of layer :math:`2k`, sums over nodes of the same side,
    with each node's own of layer 0, against all nodes of the side. :math:`L^p` is
    :class:`~pyg_advcf.criteria.PrototypeInfoNCE` on the tables, clustered again before every epoch
    after ``warmup_epochs``.

    Both are means over the unique nodes of a batch. The published weights, 1e-6 to 1e-10, apply to
    sums: multiply them by the batch size.

    Args:
        backbone: One with layers, at least :math:`2k` of them; without the structural term any.
        temperature: :math:`\tau > 0` of both contrasts; 0.05 to 0.1.
        structure_weight: :math:`\lambda_s \geq 0`; by default that of a sum of 2048 times 1e-6.
        prototype_weight: :math:`\lambda_p \geq 0`; by default that of a sum of 2048 times 1e-7.
        alpha: Weight :math:`\alpha \geq 0` of items beside users; 1 to 1.5.
        hops: :math:`k \geq 1`.
        num_clusters: Clusters of users and of items each; 2000 in the paper. By default that, or a
            tenth of the nodes of a side if these are fewer.
        warmup_epochs: Epochs without prototypes.
        l2: Weight of the L2 term.
        seed: Seed of k-means.

    Raises:
        ValueError: If the backbone has too few layers, there are more clusters than nodes, or an
            argument is out of range.

    Example:
        >>> from pyg_advcf import InteractionLoader, LightGCN, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = NCL(LightGCN(data, dim=8), num_clusters=5, warmup_epochs=1)
        >>> history = fit(method, InteractionLoader(data), epochs=3, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    def __init__(
        self,
        backbone: Backbone,
        temperature: float = 0.1,
        structure_weight: float = 2e-3,
        prototype_weight: float = 2e-4,
        alpha: float = 1.,
        hops: int = 1,
        num_clusters: Optional[int] = None,
        warmup_epochs: int = 20,
        l2: float = 1e-4,
        seed: int = 0,
    ) -> None:
        check_backbone('backbone', backbone)
        check_positive('structure_weight', structure_weight, zero=True)
        check_positive('alpha', alpha, zero=True)
        contrast = criteria.ViewInfoNCE(temperature, scope='all', item_weight=alpha)
        super().__init__(backbone, contrast, structure_weight, l2=l2,
                         requires=['layers'] if structure_weight > 0 else ())
        self.prototype_weight = check_positive('prototype_weight', prototype_weight, zero=True)
        self.layer = 2 * check_count('hops', hops)
        if structure_weight > 0 and backbone.num_layers < self.layer:
            raise UnsupportedBackbone(
                f"'backbone' is {backbone!r}, which has {backbone.num_layers} layers, but "
                f"neighbours by 'hops' = {hops} need {self.layer}; give it more layers, or omit "
                f"the term with structure_weight=0")
        counts = backbone.num_users, backbone.num_items
        self.user_prototypes, self.item_prototypes = (criteria.PrototypeInfoNCE(
            n, backbone.dim, min(2000, max(n // 10, 1)) if num_clusters is None else num_clusters,
            temperature) for n in counts)
        self.warmup_epochs = check_count('warmup_epochs', warmup_epochs, minimum=0)
        self.seed = check_seed('seed', seed)

    def on_epoch_start(self, epoch: int) -> None:
        super().on_epoch_start(epoch)
        if self.prototype_weight == 0. or epoch < self.warmup_epochs:
            return
        x = self.backbone.x
        self.user_prototypes.update(x.user, epoch_seed(self.seed, epoch, 0))
        self.item_prototypes.update(x.item, epoch_seed(self.seed, epoch, 1))

    def views(self, batch: Batch) -> Views:
        if self.weight == 0.:
            return self.backbone.encode(batch), ()
        z = self.backbone(return_layers=True)
        return z, [(z.layers[self.layer], z.layers[0])]

    def forward(self, batch: Batch) -> Tensor:
        loss = super().forward(batch)
        if self.prototype_weight == 0. or self.current_epoch() < self.warmup_epochs:
            return loss
        x = self.backbone.x
        return loss + self.prototype_weight * (self.user_prototypes(x.user, batch.user)
                                               + self.item_prototypes(x.item, batch.item))
