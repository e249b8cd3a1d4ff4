r"""Figures of a recommender that comparisons record beside the test sets."""
from typing import Any, Optional

import torch
from torch_geometric.data import HeteroData

from pyg_advcf import Recommender, evaluate
from pyg_advcf.baselines import Baseline
from pyg_advcf.diagnostics import hardness_report
from pyg_advcf.interactions import held_out, num_nodes
from pyg_advcf.record import arguments
from pyg_advcf.transforms import MergeSplit


def hardness(recommender: Recommender, data: HeteroData, split: Optional[str] = None,
             bins: int = 4, **kwargs) -> dict[str, float]:
    r"""Hardness by popularity, and how often positives of ``split`` are down-weighted."""
    false_negatives = None
    if split is not None:
        false_negatives = torch.zeros(num_nodes(data), dtype=torch.bool)
        false_negatives[tuple(held_out(data, split))] = True
    report = hardness_report(recommender, data, false_negatives, bins=bins, **kwargs)
    return {'kl_uniform_p': report.kl_uniform_p, 'false_negatives': report.false_negative_rate,
            'chance': report.chance_rate,
            **{f'bin_{place}': float(value) for place, value in enumerate(report.hardness)}}


def refitted(baseline: Baseline, data: HeteroData, **kwargs: Any) -> dict[str, dict[str, float]]:
    r"""The test sets after a fit with the same settings on the pairs of validation, too."""
    whole = MergeSplit('val')(data)
    return evaluate(type(baseline)(**{**arguments(baseline), 'data': whole}), whole, **kwargs)
