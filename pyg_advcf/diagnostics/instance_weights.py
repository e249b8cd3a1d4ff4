r"""What learned instance weights prefer: easy or hard triplets, popular or rare items."""
from typing import Any, Optional

import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_count, check_instance, check_seed
from pyg_advcf._modes import evaluation_mode
from pyg_advcf.interactions import EDGE_TYPE, degrees, validate_for
from pyg_advcf.loader import InteractionLoader
from pyg_advcf.methods import ACCF
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn.backbone import check_fits


@torch.no_grad()
def weight_report(
    method: ACCF,
    data: HeteroData,
    size: int = 8192,
    bins: int = 4,
    seed: int = 12345,
    edge_type: Optional[EdgeType] = None,
) -> dict[str, Any]:
    r"""Weights of a fixed sample of triplets against their losses and their items' popularity.

    Args:
        method: A method with learned weights, as :class:`~pyg_advcf.methods.ACCF`.
        data: What it is trained on. Where ``injected`` marks false interactions, their mean
            weight is reported too.
        size: Triplets to draw.
        bins: Groups of equally many triplets.
        seed: Seed of the draw; the same triplets each time.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Returns:
        ``weight_std`` (the weights average 1; 0 is no preference), the rank correlations
        ``weight_loss`` and ``weight_popularity`` (of the positive item; ``nan`` for equal
        weights), mean weights ``by_loss`` and ``by_popularity`` from low to high, and, with
        injected interactions, the mean weight ``of_injected``.

    Raises:
        ValueError: If the method learns no weights, or an argument is out of range.

    Example:
        >>> from pyg_advcf import MF, methods
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=99, num_items=40)[0]
        >>> method = methods.ACCF(MF(data, dim=8), weighting='joint')
        >>> len(weight_report(method, data)['by_loss'])
        4
    """
    data = validate_for(method, data, edge_type)
    check_instance('method', method, Recommender, 'a recommender with weights, as methods.ACCF')
    if not hasattr(method.criterion, 'network') or not hasattr(method, 'perturb'):
        raise ValueError(f"'method' is {method.__class__.__name__}, which learns no weights")
    check_fits(method.backbone, data)
    check_seed('seed', seed)
    check_count('bins', bins)
    batch = next(iter(InteractionLoader(data, check_count('size', size), seed=seed)))
    with evaluation_mode(method):
        found = method.perturb(batch)
        weight = method.weights(found).double()
        loss = method.instance_losses(found).double()
    popularity = degrees(data)[1][batch.item].double()

    def grouped(by: Tensor) -> list[float]:
        parts = torch.tensor_split(weight[torch.argsort(by, stable=True)], bins)
        return [float(part.mean()) for part in parts]

    def correlation(other: Tensor) -> float:
        if float(weight.std()) < 1e-9:
            return float('nan')
        return float(spearmanr(weight.cpu(), other.cpu()).statistic)

    report = {
        'weight_std': float(weight.std()), 'weight_loss': correlation(loss),
        'weight_popularity': correlation(popularity),
        'by_loss': grouped(loss), 'by_popularity': grouped(popularity)}
    injected = data[EDGE_TYPE].get('injected')
    if injected is not None and bool(injected[batch.id].any()):
        report['of_injected'] = float(weight[injected[batch.id]].mean())
    return report
