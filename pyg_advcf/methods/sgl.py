r"""SGL: two random parts of the graph as views."""
from functools import partial
from typing import Union

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from pyg_advcf import criteria
from pyg_advcf._checks import check_count, check_name, check_positive
from pyg_advcf._seeds import epoch_seed
from pyg_advcf.interactions import Batch
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn import Backbone, Dot
from pyg_advcf.nn.backbone import Graphs
from pyg_advcf.registry import METHODS
from pyg_advcf.transforms import EdgeDrop, GraphView, NodeDrop, RandomWalk

VIEWS = {'edge_drop': EdgeDrop, 'node_drop': NodeDrop, 'random_walk': RandomWalk}


@METHODS.register('sgl')
class SGL(Recommender):
    r"""SGL, two random parts of the graph as views, `arXiv 2010.10783
    <https://arxiv.org/abs/2010.10783>`_.

    .. math::
        L = L_{BPR}(Z) + \lambda\, L_{\mathrm{ViewInfoNCE}}(Z', Z'')

    where :math:`Z', Z''` are the embeddings over two views, drawn anew before every epoch. They
    follow from the seed and the epoch, so a resumed run sees the same.

    Args:
        backbone: One that propagates; LightGCN is published.
        data: Interactions (every method takes them; this one reads nothing from them).
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
        >>> from pyg_advcf import InteractionLoader, LightGCN, Step, fit
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> method = SGL(LightGCN(data, dim=8), data, ratio=0.2)
        >>> history = fit(Step(method), InteractionLoader(data), epochs=2, progress=False)
        >>> method.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    pairwise = True
    needs_layers = True

    def __init__(
        self,
        backbone: Backbone,
        data: HeteroData,
        view: Union[str, GraphView] = 'edge_drop',
        ratio: float = 0.1,
        temperature: float = 0.2,
        weight: float = 0.1,
        scope: str = 'batch',
        l2: float = 1e-4,
        seed: int = 0,
    ) -> None:
        super().__init__(backbone, Dot(), criteria.BPR(), l2, l2_negatives=True)
        if backbone.depth == 0:
            raise ValueError(f"'backbone' is {backbone!r}, which does not propagate, so that all "
                             f"views of the graph are alike; use one with layers, as LightGCN")
        self.view = (view if isinstance(view, GraphView)
                     else VIEWS[check_name('view', view, VIEWS)](ratio))
        self.contrast = criteria.ViewInfoNCE(temperature, scope)
        self.weight = check_positive('weight', weight, zero=True)
        self.seed = check_count('seed', seed, minimum=0)
        # As many graphs as propagations only where they differ: one graph propagates in one go.
        self.num_graphs = backbone.depth if self.view.per_layer else 1
        self.epoch = -1
        self.on_epoch_start(0)

    def on_epoch_start(self, epoch: int) -> None:
        if epoch == self.epoch:
            return
        self.epoch = epoch
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, epoch))
        for k in range(2):
            graphs = self.view.graphs(self.backbone.graph, self.num_graphs, generator)
            for layer, graph in enumerate(graphs):
                # Moves with the module; a resumed run draws it again.
                self.register_buffer(f'view_{k}_{layer}', graph, persistent=False)

    def views(self) -> tuple[Graphs, Graphs]:
        r"""The two views of this epoch: each a graph, or a list of one for each propagation."""
        views = ([getattr(self, f'view_{k}_{layer}') for layer in range(self.num_graphs)]
                 for k in range(2))
        first, second = (graphs[0] if self.num_graphs == 1 else graphs for graphs in views)
        return first, second

    def forward(self, batch: Batch) -> Tensor:
        if self.contrast.scope == 'all':  # The views are needed whole.
            f, local = self.backbone, batch
        else:
            x, f, local = self.backbone.local(batch)
            f = partial(f, x)
        z = f()
        loss = self.regularised(self.criterion(*self.similarity(z, local), batch), batch, z)
        if self.weight == 0.:
            return loss
        first, second = (f(graph=graph) for graph in self.views())
        return loss + self.weight * self.contrast(first, second, local)
