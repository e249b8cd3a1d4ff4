r"""Matrix factorisation."""
from typing import Optional

import torch
import torch.nn.functional as F

from pyg_advcf.interactions import Batch, Embeddings, batch_rows
from pyg_advcf.nn.backbone import Backbone, Graphs, Map
from pyg_advcf.registry import BACKBONES


@BACKBONES.register('mf')
class MF(Backbone):
    r"""Matrix factorisation: the tables themselves, :math:`Z = E^0`.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        dim: Width of the embeddings.
        init: See :class:`~pyg_advcf.nn.backbone.Backbone`.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> model = MF(SyntheticExposure(num_users=20, num_items=30)[0], dim=8)
        >>> model.recommend([0, 1], k=5).item.shape
        torch.Size([2, 5])
    """
    linear = True

    def forward(
        self,
        graph: Optional[Graphs] = None,
        x: Optional[Embeddings] = None,
    ) -> Embeddings:
        r"""Returns the tables; ``graph`` has no influence."""
        x = self.x if x is None else x
        return Embeddings(x.user, x.item)

    def local(self, batch: Batch) -> tuple[Embeddings, Map, Batch]:
        r"""See :meth:`pyg_advcf.nn.Backbone.local`: the rows that the batch reads, on CPU."""
        if torch.compiler.is_compiling() or self.x.user.device.type != 'cpu' or (
                type(self).forward is not MF.forward):
            return super().local(batch)
        rows, batch = batch_rows(batch, self.num_users, self.num_items)
        x = Embeddings(*(table if ids is None else F.embedding(ids, table)
                         for ids, table in zip(rows, self.x)))
        return x, lambda x, graph=None: x, batch
