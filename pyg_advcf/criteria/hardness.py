r"""Hardness models of AdvInfoNCE: raw hardness ``g [B, N]`` of the negatives of a batch.

A model is called as ``model(batch, x)``, where ``x`` holds the layer-0 tables for the models that
use them. What it returns goes through a softmax over the row's negatives.
"""
from typing import Optional

import torch
from torch import Tensor, nn

from pyg_advcf._checks import check_count, check_degrees, check_finite
from pyg_advcf.batch import Batch
from pyg_advcf.embeddings import Embeddings, check_embeddings
from pyg_advcf.ops import sampled_product
from pyg_advcf.record import Recorded


class EmbedHardness(Recorded, nn.Module):
    r""":math:`g_{uj} = a_u \cdot b_j` with separate tables of the adversary, Xavier-normal.

    Args:
        num_users: Number of users.
        num_items: Number of items.
        dim: Width of the tables; the paper uses the width of the recommender.
    """
    def __init__(self, num_users: int, num_items: int, dim: int) -> None:
        super().__init__()
        check_count('dim', dim)
        self.user = nn.Embedding(check_count('num_users', num_users), dim)
        self.item = nn.Embedding(check_count('num_items', num_items), dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.xavier_normal_(self.user.weight)
        nn.init.xavier_normal_(self.item.weight)

    def forward(self, batch: Batch, x: Optional[Embeddings] = None) -> Tensor:
        if batch.neg_item.dim() == 1:
            return self.user(batch.user) @ self.item(batch.neg_item).t()
        return sampled_product(self.user(batch.user), self.item.weight, batch.neg_item)


class MLPHardness(Recorded, nn.Module):
    r""":math:`g_{uj} = \phi_U(e_u) \cdot \phi_I(e_j)`, one linear layer and ReLU a side.

    The features are the layer-0 tables of the recommender, detached, as in the authors' code.

    Args:
        dim: Width of the features.
        hidden: Width of the product; 4 in the authors' code.
    """
    def __init__(self, dim: int, hidden: int = 4) -> None:
        super().__init__()
        check_count('hidden', hidden)
        self.user = nn.Linear(check_count('dim', dim), hidden)
        self.item = nn.Linear(dim, hidden)

    def reset_parameters(self) -> None:
        self.user.reset_parameters()
        self.item.reset_parameters()

    def forward(self, batch: Batch, x: Optional[Embeddings] = None) -> Tensor:
        if x is None:
            raise ValueError("hardness 'mlp' needs the layer-0 embeddings: call "
                             "criterion(pos, neg, batch, x=backbone.x)")
        check_embeddings('x', x)
        if x.user.size(1) != self.user.in_features:
            raise ValueError(f"'x' has width {x.user.size(1)}, but the hardness model was made for "
                             f"'dim' = {self.user.in_features}")
        user = self.user(x.user.detach()[x.user_rows(batch.user)]).relu()
        item, neg_item = self.item(x.item.detach()).relu(), x.item_rows(batch.neg_item)
        if neg_item.dim() == 1:
            return user @ item[neg_item].t()
        return sampled_product(user, item, neg_item)


class UniformHardness(Recorded, nn.Module):
    r""":math:`g = 0`: no adversary, so that only the constant :math:`\ln k` remains."""
    def forward(self, batch: Batch, x: Optional[Embeddings] = None) -> Tensor:
        return torch.zeros(batch.user.numel(), batch.neg_item.size(-1),
                           device=batch.neg_item.device)


class RandomHardness(Recorded, nn.Module):
    r""":math:`p = r / \sum r` with :math:`r \sim U(0, 1)`, drawn at every call."""
    def forward(self, batch: Batch, x: Optional[Embeddings] = None) -> Tensor:
        r = torch.rand(batch.user.numel(), batch.neg_item.size(-1), device=batch.neg_item.device)
        return r.clamp(min=torch.finfo(r.dtype).tiny).log()


class BucketHardness(Recorded, nn.Module):
    r""":math:`g_j = \mathrm{bucket}_j / (3 \max_k \mathrm{bucket}_k)`, the authors' control.

    A bucket is the rank of an item's training degree among the distinct degrees.

    Args:
        popularity: Training degree of every item, ``[num_items]``.
    """
    def __init__(self, popularity: Tensor) -> None:
        super().__init__()
        check_degrees('popularity', popularity)
        bucket = torch.unique(popularity, return_inverse=True)[1]
        self.register_buffer('bucket', bucket.float())

    def forward(self, batch: Batch, x: Optional[Embeddings] = None) -> Tensor:
        bucket = self.bucket[batch.neg_item]
        highest = bucket.amax(dim=-1, keepdim=True).clamp(min=1)
        return (bucket / (3 * highest)).expand(batch.user.numel(), -1)


class PopularityHardness(Recorded, nn.Module):
    r""":math:`g_j = a \log(d_j + 1)`: popular negatives are harder, with :math:`a < 0` rare ones.

    The hardness is that of negatives drawn from :math:`(d_j + 1)^a` times the distribution that
    they were drawn from. With in-batch negatives, which are drawn in proportion to :math:`d_j`,
    :math:`a = -1` is the correction of sampled softmax by :math:`\log q`
    (:class:`~pyg_advcf.criteria.InfoNCE`, ``log_q=1``).

    Args:
        popularity: Training degree :math:`d` of every item, ``[num_items]``.
        exponent: :math:`a`.
    """
    def __init__(self, popularity: Tensor, exponent: float = 0.5) -> None:
        super().__init__()
        check_degrees('popularity', popularity)
        self.exponent = check_finite('exponent', exponent)
        log = (popularity.double().log1p() * self.exponent).to(torch.get_default_dtype())
        self.register_buffer('log_weight', log, persistent=False)

    def forward(self, batch: Batch, x: Optional[Embeddings] = None) -> Tensor:
        return self.log_weight[batch.neg_item].expand(batch.user.numel(), -1)
