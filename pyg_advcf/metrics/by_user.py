r"""Metrics over groups of users."""
from collections.abc import Mapping
from typing import Any, Optional

from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_instance, check_mask
from pyg_advcf.interactions import num_nodes, validate_for
from pyg_advcf.metrics.evaluate import evaluate


def evaluate_by_user(
    model: Any,
    data: HeteroData,
    groups: Mapping[str, Tensor],
    edge_type: Optional[EdgeType] = None,
    **kwargs: Any,
) -> dict[str, dict[str, dict[str, float]]]:
    r"""The ranking of :func:`evaluate`, averaged over groups of users.

    Args:
        model: As of :func:`evaluate`.
        data: As of :func:`evaluate`.
        groups: By name, which users belong to the group, boolean ``[num_users]``.
        edge_type: As of :func:`evaluate`.
        **kwargs: Further arguments of :func:`evaluate`: ``splits``, ``k``, ``metrics``, ...

    Returns:
        ``{group: {split: {'recall@20': value, ...}}}``.

    Raises:
        ValueError: If a group is not a boolean mask over the users, or if none of its users has a
            held-out item.

    Example:
        >>> from pyg_advcf import degrees
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> from pyg_advcf.nn import MF
        >>> data = SyntheticExposure(num_users=500, num_items=100)[0]
        >>> few = degrees(data)[0] < 2
        >>> list(evaluate_by_user(MF(data, dim=8), data, {'few': few, 'many': ~few}))
        ['few', 'many']
    """
    data = validate_for(model, data, edge_type)
    check_instance('groups', groups, Mapping, 'a dictionary from names to boolean masks of users')
    for name, mask in groups.items():
        check_mask(f"groups[{name!r}]", mask, (num_nodes(data)[0], ))
    values = evaluate(model, data, per_user=True, **kwargs)
    results: dict[str, dict[str, dict[str, float]]] = {}
    for name, mask in groups.items():
        results[name] = {}
        for split, columns in values.items():
            inside = mask[columns['user']]
            if not inside.any():
                raise ValueError(f"no user of the group '{name}' has an item in the split "
                                 f"'{split}'")
            results[name][split] = {key: float(column[inside].mean())
                                    for key, column in columns.items() if key != 'user'}
    return results
