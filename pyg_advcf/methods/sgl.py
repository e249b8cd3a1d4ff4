r"""SGL: two random parts of the graph as views."""
from typing import Union

import torch

from pyg_advcf import criteria
from pyg_advcf._checks import check_name, check_ratio, check_seed
from pyg_advcf._seeds import epoch_seed
from pyg_advcf.batch import Batch
from pyg_advcf.methods.views import ViewRecommender, Views
from pyg_advcf.nn import Backbone
from pyg_advcf.nn.backbone import Graphs
from pyg_advcf.registry import METHODS
from pyg_advcf.transforms import EdgeDrop, GraphView, NodeDrop, RandomWalk

VIEWS = {'edge_drop': EdgeDrop, 'node_drop': NodeDrop, 'random_walk': RandomWalk}


@METHODS.register('sgl')
class SGL(ViewRecommender):
    r"""SGL, two random parts of the graph as views, `arXiv 2010.10783
    <https://arxiv.org/abs/2010.10783>`_.

    .. math::
        L = L_{BPR}(Z) + \lambda\, L_{\mathrm{ViewInfoNCE}}(Z', Z'')

    where :math:`Z', Z''` are the embeddings over two views, drawn before every epoch from the
    seed and the epoch, so that a resumed run sees the same ones.

    Args:
        backbone: One that propagates; LightGCN is published.
        view: ``'edge_drop'``, ``'node_drop'`` or ``'random_walk'`` (other edges in every layer);
            see :mod:`pyg_advcf.transforms`. Or a :class:`~pyg_advcf.transforms.GraphView` of your
            own, with its own ratio.
        ratio: Share that a named view drops, in :math:`[0, 1)`; 0.1 to 0.5 in the paper.
        temperature: :math:`\tau > 0` of the contrast.
        weight: Weight :math:`\lambda \geq 0` of the contrast.
        scope: Negatives of the contrast: ``'batch'`` or ``'all'`` nodes.
        l2: Weight of the L2 term.
        seed: Seed of the views.

    Raises:
        ValueError: If the backbone does not propagate, an argument is out of range, or a view has
            no edges.

    Example:
        >>> from pyg_advcf import InteractionLoader, LightGCN, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = SGL(LightGCN(data, dim=8), ratio=0.2)
        >>> history = fit(method, InteractionLoader(data), epochs=2, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    def __init__(
        self,
        backbone: Backbone,
        view: Union[str, GraphView] = 'edge_drop',
        ratio: float = 0.1,
        temperature: float = 0.2,
        weight: float = 0.1,
        scope: str = 'batch',
        l2: float = 1e-4,
        seed: int = 0,
    ) -> None:
        super().__init__(backbone, criteria.ViewInfoNCE(temperature, scope), weight, l2=l2,
                         requires=['graph'])
        check_ratio('ratio', ratio, one=False)
        self.view = (view if isinstance(view, GraphView)
                     else VIEWS[check_name('view', view, VIEWS)](ratio))
        self.seed = check_seed('seed', seed)
        # As many graphs as propagations only where they differ: one graph propagates in one go.
        self.num_graphs = backbone.depth if self.view.per_layer else 1
        self._draw(0)

    def on_epoch_start(self, epoch: int) -> None:
        if epoch != (self.epoch or 0):
            self._draw(epoch)
        super().on_epoch_start(epoch)

    def _draw(self, epoch: int) -> None:
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, epoch))
        for k in range(2):
            graphs = self.view.graphs(self.backbone.graph, self.num_graphs, generator)
            for layer, graph in enumerate(graphs):
                # Moves with the module; a resumed run draws it again.
                self.register_buffer(f'view_{k}_{layer}', graph, persistent=False)

    def view_graphs(self) -> tuple[Graphs, Graphs]:
        r"""The two views of this epoch: each a graph, or a list of one for each propagation."""
        views = ([getattr(self, f'view_{k}_{layer}') for layer in range(self.num_graphs)]
                 for k in range(2))
        first, second = (graphs[0] if self.num_graphs == 1 else graphs for graphs in views)
        return first, second

    def views(self, batch: Batch) -> Views:
        self.current_epoch()
        encode = self.encoder(batch)
        first, second = self.view_graphs()
        return encode(), [(encode(graph=first), encode(graph=second))]
