r"""Matrix factorisation."""
from typing import Optional

import torch

from pyg_advcf.batch import Batch
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.nn.backbone import Encoder, Graphs, read_rows, rows_read
from pyg_advcf.nn.table_backbone import TableBackbone
from pyg_advcf.registry import BACKBONES


@BACKBONES.register('mf')
class MF(TableBackbone):
    r"""Matrix factorisation: the tables themselves, :math:`Z = E^0`.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        dim: Width of the embeddings.
        init: See :class:`~pyg_advcf.nn.TableBackbone`.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.
        user_encoder: See :class:`~pyg_advcf.nn.TableBackbone`.
        item_encoder: See :class:`~pyg_advcf.nn.TableBackbone`.

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
        r"""Returns the tables; ``graph`` is not used."""
        x = self._tables(x)
        return x.with_tables(*x)

    def encoder(self, *batches: Batch) -> Encoder:
        r"""See :meth:`pyg_advcf.nn.Backbone.encoder`: the rows that the batches read, on CPU."""
        if not batches or torch.compiler.is_compiling() or self.x.user.device.type != 'cpu':
            return super().encoder()
        index = rows_read(batches, self.num_users, self.num_items)
        return Encoder(self, Embeddings(*map(read_rows, self.x, index), *index))
