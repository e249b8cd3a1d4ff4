r"""Contrast of nodes with the prototypes of their clusters."""
import warnings
from typing import Optional

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from pyg_advcf._checks import (
    check_count,
    check_floats,
    check_ids,
    check_integers,
    check_positive,
    check_seed,
    reads_values,
)
from pyg_advcf.criteria.grouping import first_occurrence
from pyg_advcf.ops.cross_entropy import product_cross_entropy
from pyg_advcf.record import Recorded

_BATCH = 4096  # Points of a step of k-means.


class PrototypeInfoNCE(Recorded, nn.Module):
    r"""InfoNCE of nodes against the centroids of all clusters, their own the positive.

    .. math::
        L = -\frac{1}{|V_B|} \sum_{v \in V_B} \log
            \frac{e^{\cos(x_v, c_{k(v)}) / \tau}}{\sum_{k} e^{\cos(x_v, c_k) / \tau}}

    over the unique nodes :math:`V_B` of a batch. Every cluster is in the sum once, so that nodes
    of one cluster are never each other's negatives. From `"Improving Graph Collaborative Filtering
    with Neighborhood-enriched Contrastive Learning" <https://arxiv.org/abs/2202.06200>`_.

    Centroids come from :meth:`update`, by mini-batch k-means; before its first call the loss is 0.
    They are part of the ``state_dict``, and where the next update starts.

    Args:
        num_nodes: Number of nodes.
        dim: Width of their embeddings.
        num_clusters: Most clusters. Where there are fewer distinct points, each is its own.
        temperature: :math:`\tau > 0`.
        chunk_size: Rows scored at once, so that memory is ``chunk_size`` times the clusters; see
            :func:`~pyg_advcf.ops.cross_entropy.product_cross_entropy` for the default.

    Shapes:
        ``x [num_nodes, dim]`` and ids ``[B]``, which may repeat, to a scalar.

    Raises:
        ValueError: If there are more clusters than nodes, or an argument is out of range.

    Example:
        >>> x = torch.tensor([[1., 0.], [1., 0.], [-1., 0.]])
        >>> criterion = PrototypeInfoNCE(num_nodes=3, dim=2, num_clusters=2, temperature=1.)
        >>> criterion.update(x)
        >>> criterion(x, torch.tensor([0, 1]))  # ln(1 + exp(-2))
        tensor(0.1269)
    """
    def __init__(
        self,
        num_nodes: int,
        dim: int,
        num_clusters: int = 2000,
        temperature: float = 0.1,
        chunk_size: Optional[int] = None,
    ) -> None:
        super().__init__()
        check_count('num_nodes', num_nodes)
        check_count('dim', dim)
        check_count('num_clusters', num_clusters)
        if num_clusters > num_nodes:
            raise ValueError(f"'num_clusters' is {num_clusters}, but there are only {num_nodes} "
                             f"nodes to cluster; lower it to at most {num_nodes}")
        self.num_clusters = num_clusters
        self.temperature = check_positive('temperature', temperature)
        self.chunk_size = None if chunk_size is None else check_count('chunk_size', chunk_size)
        self.register_buffer('centroid', torch.zeros(num_clusters, dim))
        # At first one cluster of all: nothing to tell apart.
        self.register_buffer('cluster', torch.zeros(num_nodes, dtype=torch.long))
        size = torch.zeros(num_clusters, dtype=torch.long)
        size[0] = num_nodes
        self.register_buffer('size', size)

    @torch.no_grad()
    def update(self, x: Tensor, seed: int = 0) -> None:
        r"""Clusters the nodes again, starting from the last centroids.

        Args:
            x: Embeddings of all nodes, ``[num_nodes, dim]``.
            seed: Seed of k-means.
        """
        self._check_table(x)
        check_seed('seed', seed)
        x = x.detach().to('cpu', torch.float32)
        points, inverse = x.numpy(), None
        # A projection tells cheaply whether any two points may be equal.
        probe = np.random.default_rng(0).standard_normal(points.shape[1])
        if np.unique(points @ probe).size < len(points):
            points, inverse, count = np.unique(points, axis=0, return_inverse=True,
                                               return_counts=True)
        if len(points) <= self.num_clusters:
            centroid, cluster = points, np.arange(len(points))
        else:
            known = bool((self.size > 0).sum() > 1)
            model = MiniBatchKMeans(
                self.num_clusters,
                init=self.centroid.to('cpu', torch.float32).numpy() if known else 'random',
                n_init=1, max_iter=1 if known else 5, batch_size=_BATCH, random_state=seed,
                reassignment_ratio=0)
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', ConvergenceWarning)
                model.fit(points, sample_weight=None if inverse is None else count)
            centroid, cluster = model.cluster_centers_, model.labels_
        if inverse is not None:
            cluster = cluster[inverse.reshape(-1)]
        cluster = torch.from_numpy(cluster).long()
        size = torch.bincount(cluster, minlength=self.num_clusters)
        # Mini-batches leave running averages behind: each centroid becomes the mean of its members.
        mean = x.new_zeros(self.num_clusters, x.size(1)).index_add_(0, cluster, x)
        mean /= size.clamp(min=1).view(-1, 1)
        empty = (size[:len(centroid)] == 0).nonzero().view(-1)
        mean[empty] = torch.from_numpy(centroid)[empty].to(mean)
        for buffer, value in ((self.centroid, mean), (self.cluster, cluster), (self.size, size)):
            buffer.copy_(value)

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        r"""The loss of the nodes ``ids`` with the embeddings ``x`` of all nodes."""
        self._check_table(x)
        ids = check_integers('ids', ids, ('B', ))
        if reads_values(ids):
            check_ids('ids', ids, x.size(0))
        if ids.numel() == 0:
            return x.new_zeros(())
        if x.dtype in (torch.float16, torch.bfloat16):
            x = x.float()
        once = first_occurrence(ids) == torch.arange(ids.numel(), device=ids.device)
        a = F.normalize(F.embedding(ids, x), dim=-1) / self.temperature
        b = F.normalize(self.centroid.to(a.dtype), dim=-1)
        # A cluster without members is no prototype.
        bias = torch.zeros_like(b[:, 0]).masked_fill(self.size == 0, float('-inf'))
        share = once.to(a.dtype) / once.sum()
        return product_cross_entropy(a, b, self.cluster[ids], share, bias, self.chunk_size)

    def _check_table(self, x: Tensor) -> None:
        check_floats('x', x, (self.cluster.numel(), self.centroid.size(1)))

    def extra_repr(self) -> str:
        return f'num_clusters={self.num_clusters}, temperature={self.temperature}'
