r"""Metrics of the long tail: by the training degree of the held-out items."""
import copy
import numbers
from collections.abc import Sequence
from typing import Any, Optional

from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import shown
from pyg_advcf.interactions import (
    EDGE_TYPE,
    degrees,
    held_out,
    split_key,
    split_names,
    validate_for,
)
from pyg_advcf.metrics.evaluate import countable, evaluate


def evaluate_by_degree(
    model: Any,
    data: HeteroData,
    bounds: Sequence[float] = (0, 100, 200, 300),
    split: str = 'test',
    edge_type: Optional[EdgeType] = None,
    **kwargs: Any,
) -> dict[str, dict[str, Any]]:
    r"""Metrics where only held-out items of one range of popularity count as relevant.

    The whole catalogue is ranked as in :func:`evaluate`; only the relevant items change. A user
    counts in a group if one of the user's held-out items is in it.

    Args:
        model: As of :func:`evaluate`.
        data: As of :func:`evaluate`.
        bounds: The group between two neighbours :math:`a, b` holds the items with a training
            degree in :math:`[a, b)`; ``math.inf`` may be the last.
        split: The held-out pairs.
        **kwargs: Further arguments of :func:`evaluate`: ``k``, ``metrics``, ``protocol``, ...
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Returns:
        ``{'[0, 100)': {'recall@20': value, ...}, ...}``; groups without a held-out pair (that is
        not in training or validation too) are absent.

    Raises:
        ValueError: If ``bounds`` do not rise, the split is unknown or empty, or as
            :func:`evaluate`.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> from pyg_advcf.nn import MF
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> list(evaluate_by_degree(MF(data, dim=8), data, (0, 2, 100), 'test_ood', k=5))
        ['[0, 2)', '[2, 100)']
    """
    data = validate_for(model, data, edge_type)
    if not isinstance(bounds, (tuple, list)) or not all(
            isinstance(b, numbers.Real) and not isinstance(b, bool) for b in bounds):
        raise ValueError(f"'bounds' is {shown(bounds)}, but needs to be a list of numbers")
    bounds = list(bounds)
    if len(bounds) < 2 or any(not a < b for a, b in zip(bounds, bounds[1:])):
        raise ValueError(f"'bounds' is {bounds}, but needs at least two rising numbers")
    pairs = held_out(data, split)
    degree = degrees(data)[1][pairs[1].long()]
    results = {}
    for low, high in zip(bounds, bounds[1:]):
        inside = (degree >= low) & (degree < high)
        # Other test sets and groups stay candidates here: they are as good a guess as any.
        part = copy.copy(data)
        for name in split_names(data, 'test'):
            del part[EDGE_TYPE][split_key(name)]
        part[EDGE_TYPE][split_key(split)] = pairs[:, inside]
        if countable(part, split, kwargs.get('protocol', 'clean')):
            results[f'[{low}, {high})'] = evaluate(model, part, split, **kwargs)[split]
    return results
