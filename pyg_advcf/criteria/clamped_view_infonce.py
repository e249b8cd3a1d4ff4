r"""The contrast of LightGCL's code: dot products, against all nodes, with clamped positives."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_advcf._checks import check_count, check_positive
from pyg_advcf.batch import Batch
from pyg_advcf.embeddings import Embeddings, check_embeddings, check_rows
from pyg_advcf.ops.cross_entropy import product_cross_entropy
from pyg_advcf.record import Recorded

_BOUND = 5.  # Of the positives' scores, in the authors' code.


class ClampedViewInfoNCE(Recorded, nn.Module):
    r"""The contrast between two views as in the code of LightGCL's authors.

    .. math::
        \mathrm{mean}_{v} \Big[ \ln \sum_{w} e^{g_v \cdot z_w / \tau}
        - \mathrm{clamp}(g_v \cdot z_v / \tau, \pm 5) \Big]

    on dot products, over all nodes :math:`w` of the side, repeated nodes of the batch counted as
    often as they occur; users and items are added.

    Args:
        temperature: :math:`\tau > 0`.
        chunk_size: Rows scored at once; see
            :func:`~pyg_advcf.ops.cross_entropy.product_cross_entropy` for the default.

    Shapes:
        Two :class:`~pyg_advcf.Embeddings` of all nodes and a :class:`~pyg_advcf.Batch` to a scalar.

    Raises:
        ValueError: If ``temperature`` is not above 0 or ``chunk_size`` below 1.

    Example:
        >>> z = Embeddings(torch.ones(3, 2), torch.ones(4, 2))
        >>> batch = Batch(*(torch.tensor(t) for t in ([0, 2, 2], [1, 1, 1], [[3]] * 3, [0, 1, 2])))
        >>> ClampedViewInfoNCE(1.)(z, z, batch)  # ln 3 + ln 4
        tensor(2.4849)
    """
    scope = 'all'

    def __init__(self, temperature: float = 0.2, chunk_size: Optional[int] = None) -> None:
        super().__init__()
        self.temperature = check_positive('temperature', temperature)
        self.chunk_size = None if chunk_size is None else check_count('chunk_size', chunk_size)

    def forward(self, view: Embeddings, z: Embeddings, batch: Batch) -> Tensor:
        r"""Computes the loss.

        Args:
            view: The anchors' view.
            z: The embeddings that positives and negatives come from.
            batch: Its users and positive items are contrasted.

        Raises:
            ValueError: If ``view`` or ``z`` holds only the rows of a batch.
        """
        check_embeddings('view', view).check_complete('view')
        check_embeddings('z', z, view.user.size(0), view.item.size(0)).check_complete('z')
        batch = check_rows(z, batch, negatives=False)
        return (self._side(view.user, z.user, batch.user)
                + self._side(view.item, z.item, batch.item))

    def _side(self, view: Tensor, z: Tensor, ids: Tensor) -> Tensor:
        if ids.numel() == 0:
            return z.new_zeros(())
        a = F.embedding(ids, view) / self.temperature
        own = (a * F.embedding(ids, z)).sum(-1)
        # The cross entropy holds the own score unclamped: it is exchanged.
        share = torch.full_like(own, 1 / own.numel()).detach()
        entropy = product_cross_entropy(a, z, ids, share, None, self.chunk_size)
        return entropy + torch.mean(own - own.clamp(-_BOUND, _BOUND))

    def extra_repr(self) -> str:
        return f'temperature={self.temperature}'
