r"""The ranking metrics of one split, gathered over chunks of users."""
from typing import Any, Optional

import torch
from torch import Tensor
from torch_geometric.metrics import (
    LinkPredCoverage,
    LinkPredHitRatio,
    LinkPredMAP,
    LinkPredMRR,
    LinkPredNDCG,
    LinkPredPrecision,
    LinkPredRecall,
)
from torch_geometric.metrics.link_pred import LinkPredMetricData

from pyg_advcf.pairs import PairSet

_PER_USER = {
    'recall': LinkPredRecall,
    'ndcg': LinkPredNDCG,
    'precision': LinkPredPrecision,
    'hr': LinkPredHitRatio,
    'map': LinkPredMAP,
    'mrr': LinkPredMRR,
}
WEIGHTED = ('recall_ips', 'ndcg_ips')
METRICS = (*_PER_USER, 'map_hits', *WEIGHTED, 'coverage', 'popularity')


def _ndcg(k: int) -> LinkPredNDCG:
    # Its discounts are built in the default dtype; the per-user values here are float64.
    metric = LinkPredNDCG(k)
    metric.discount = torch.arange(2, k + 2, dtype=torch.float64).log2()
    metric.idcg = torch.cat([torch.zeros(1, dtype=torch.float64), (1 / metric.discount).cumsum(0)])
    return metric


class Collector:
    r"""Per-user values and list statistics of one split, gathered over chunks of users.

    Args:
        ks: Lengths of lists.
        metrics: Names of :data:`METRICS`.
        truth: The pairs that count.
        popularity: Training degree of every item.
        propensity_power: As of :func:`evaluate`.
        max_weight: As of :func:`evaluate`.
    """
    def __init__(self, ks: list[int], metrics: list[str], truth: PairSet, popularity: Tensor,
                 propensity_power: float = 1., max_weight: Optional[float] = None) -> None:
        self.ks, self.names, self.popularity = ks, metrics, popularity.double()
        self.metrics = {f'{m}@{k}': (_ndcg(k) if m == 'ndcg' else _PER_USER[m](k)).to(
            popularity.device) for m in metrics if m in _PER_USER for k in ks}
        self.coverage = {k: LinkPredCoverage(k=k, num_dst_nodes=truth.num_items).to(
            popularity.device) for k in ks if 'coverage' in metrics}
        self.weight: Optional[Tensor] = None
        if any(m in WEIGHTED for m in metrics):
            weight = (self.popularity + 1)**-propensity_power
            weight = weight / weight[truth.item].mean()
            self.weight = weight if max_weight is None else weight.clamp(max=max_weight)
        self.users: list[Tensor] = []
        self.values: dict[str, list[Tensor]] = {}
        self.totals: dict[str, list[Tensor]] = {}
        self.truth = truth

    def update(self, user: Tensor, ranked: Tensor, truth: tuple[Tensor, Tensor]) -> None:
        listed = ranked >= 0
        # An empty place holds an id that no truth contains.
        pred = ranked.where(listed, self.popularity.numel())
        weight = torch.ones(truth[0].numel(), dtype=torch.float64, device=ranked.device)
        data = LinkPredMetricData(pred, truth, edge_label_weight=weight)
        values = {key: metric._compute(data) for key, metric in self.metrics.items()}
        for k in self.ks:
            if 'map_hits' in self.names:
                hit = data.pred_rel_mat[:, :k]
                rank = torch.arange(1, hit.size(1) + 1, device=hit.device)
                precision = (hit.cumsum(1) / rank * hit).sum(1)
                values[f'map_hits@{k}'] = precision / hit.sum(1).clamp(min=1)
            if 'popularity' in self.names:
                degree = self.popularity[ranked[:, :k].clamp(min=0)] * listed[:, :k]
                values[f'popularity@{k}'] = degree.sum(1) / listed[:, :k].sum(1).clamp(min=1)
            if 'coverage' in self.names:
                self.coverage[k].update(ranked[:, :k][listed[:, :k]].view(-1, 1), truth)
        if self.weight is not None:
            gain = data.pred_rel_mat * self.weight[ranked.clamp(min=0)]
            values |= self._weighted(gain, truth, user.numel())
        self.users.append(user)
        for key, value in values.items():
            self.values.setdefault(key, []).append(value.double())

    def _weighted(self, gain: Tensor, truth: tuple[Tensor, Tensor],
                  num: int) -> dict[str, Tensor]:
        r"""Weighted hits of every user, not normalised yet; the totals are kept beside."""
        row, weight = truth[0], self.weight[truth[1]]
        found = {}
        # The ideal list has the pairs by falling weight; `place` counts from 1 within a user.
        order = torch.argsort(weight, descending=True, stable=True)
        order = order[torch.argsort(row[order], stable=True)]
        count = torch.bincount(row, minlength=num)
        first = count.cumsum(0) - count
        place = torch.arange(row.numel(), device=row.device) - first[row[order]] + 1
        for k in self.ks:
            discount = torch.arange(2, gain[:, :k].size(1) + 2, device=gain.device).double().log2()
            if 'recall_ips' in self.names:
                found[f'recall_ips@{k}'] = gain[:, :k].sum(1)
                self.totals.setdefault(f'recall_ips@{k}', []).append(weight.sum())
            if 'ndcg_ips' in self.names:
                found[f'ndcg_ips@{k}'] = (gain[:, :k] / discount).sum(1)
                ideal = (weight[order] / (place + 1).double().log2())[place <= k].sum()
                self.totals.setdefault(f'ndcg_ips@{k}', []).append(ideal)
        return found

    def compute(self, per_user: bool) -> dict[str, Any]:
        values = {key: torch.cat(parts) for key, parts in self.values.items()}
        for key, parts in self.totals.items():
            # So that the mean over the users is the ratio of the sums.
            values[key] = values[key] * (values[key].numel() / torch.stack(parts).sum())
        order = [f'{m}@{k}' for m in self.names for k in self.ks]
        if per_user:
            return {'user': torch.cat(self.users),
                    **{key: values[key] for key in order if key in values}}
        for k, metric in self.coverage.items():
            values[f'coverage@{k}'] = metric.compute()
        found = {key: float(values[key].mean()) for key in order}
        if self.weight is not None:
            weight = self.weight[self.truth.item]
            found['ips_sample_size'] = float(weight.sum()**2 / weight.square().sum())
        return found
