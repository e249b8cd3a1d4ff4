r"""Which popularity prior and norm power rank best, chosen on validation pairs."""
import inspect
import math
import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional, Union

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import (
    check_bool,
    check_count,
    check_finite,
    check_instance,
    check_name,
    check_positive,
    check_seed,
    shown,
)
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.interactions import (
    candidate_mask,
    degrees,
    held_out,
    num_nodes,
    split_names,
    validate_for,
)
from pyg_advcf.metrics.collector import METRICS, Collector
from pyg_advcf.metrics.evaluate import (
    build_split,
    final_embeddings,
    trained_popularity,
)
from pyg_advcf.nn.similarity import Dot, Similarity, check_similarity
from pyg_advcf.ops.top_k import top_k
from pyg_advcf.ranking import BATCH_SIZE, map_scores, rankable

PRIORS = (0., 0.2, 0.4, 0.6, 0.8, 1., 1.2)


class Calibration(NamedTuple):
    r"""What :func:`calibrate` chose.

    Attributes:
        prior: :math:`\beta`.
        norm_power: :math:`\gamma`.
        value: The metric there, over the users that were looked at.
        table: All that was tried: ``(norm_power, prior, value)``.
    """
    prior: float
    norm_power: float
    value: float
    table: list[tuple[float, float, float]]


def _numbers(argument: str, values: Union[float, Sequence[float]]) -> list[float]:
    values = [values] if isinstance(values, numbers.Real) else values
    values = values.tolist() if isinstance(values, np.ndarray) else values
    if not isinstance(values, (list, tuple)) or not values:
        raise ValueError(f"'{argument}' is {shown(values)}, but needs to be a list of finite "
                         f"numbers")
    return list(dict.fromkeys(check_finite(argument, value) for value in values))


def parse_metric(argument: str, metric: str) -> tuple[str, int]:
    r"""``('recall', 20)`` of ``'recall@20'``.

    Raises:
        ValueError: If it is not of that form, or the metric is unknown.
    """
    check_instance(argument, metric, str, "the name of a metric, such as 'recall@20'")
    name, _, k = metric.partition('@')
    if not (k.isascii() and k.isdigit() and int(k) > 0):
        raise ValueError(f"'{argument}' is {metric!r}, but needs the form 'recall@20'")
    return check_name(argument, name, METRICS), int(k)


def check_calibration(model: Any, data: HeteroData, **arguments: Any) -> HeteroData:
    r"""Raises what :func:`calibrate` would raise before it ranks; returns the data it would use."""
    _, _, *own = inspect.signature(calibrate).parameters.values()
    for name in arguments:
        check_name('argument of calibrate', name, [parameter.name for parameter in own])
    given = {**{parameter.name: parameter.default for parameter in own}, **arguments}
    data = validate_for(model, data, given['edge_type'])
    check_similarity('model.similarity', getattr(model, 'similarity', None))
    split = check_name('split', given['split'], split_names(data))
    if split.startswith('test'):
        raise ValueError(f"'split' is {split!r}, but a test set must choose nothing; hold out "
                         f"validation pairs, for example with RandomSplit(val=0.1)")
    held_out(data, split)
    parse_metric('metric', given['metric'])
    _numbers('priors', given['priors'])
    if given['norm_powers'] is not None:
        _numbers('norm_powers', given['norm_powers'])
    if given['max_users'] is not None:
        check_count('max_users', given['max_users'])
    check_seed('seed', given['seed'])
    check_count('batch_size', given['batch_size'])
    check_bool('progress', given['progress'])
    check_positive('propensity_power', given['propensity_power'], zero=True)
    if given['max_weight'] is not None:
        check_positive('max_weight', given['max_weight'])
    return data


def calibrate(
    model: Any,
    data: HeteroData,
    split: str = 'val',
    metric: str = 'recall@20',
    priors: Sequence[float] = PRIORS,
    norm_powers: Optional[Sequence[float]] = None,
    max_users: Optional[int] = 5000,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    progress: bool = True,
    edge_type: Optional[EdgeType] = None,
    propensity_power: float = 1.,
    max_weight: Optional[float] = None,
) -> Calibration:
    r"""Sets prior and norm power of a recommender's ranking to those that are best on ``split``.

    Every combination is ranked from one set of scores, over the same users. Nothing is trained; see
    :class:`pyg_advcf.nn.Similarity` for what the two numbers mean. With ``metric='recall_ips@20'``
    they are chosen for data that are not as popular as the training data, without having any.

    Args:
        model: A recommender, whose ``similarity`` is set.
        data: Interactions with the split.
        split: A split that may choose: not a test set.
        metric: The metric to maximise, of :func:`pyg_advcf.evaluate`. Of equal values the prior
            next to 0 is taken.
        priors: Values of :math:`\beta` to try.
        norm_powers: Values of :math:`\gamma` to try; by default only the present one.
        max_users: Most users to look at, a random choice; all if ``None``.
        seed: Seed of that choice.
        batch_size: As of :func:`pyg_advcf.evaluate`.
        progress: As of :func:`pyg_advcf.evaluate`.
        edge_type: As of :func:`pyg_advcf.evaluate`.
        propensity_power: As of :func:`pyg_advcf.evaluate`.
        max_weight: As of :func:`pyg_advcf.evaluate`.

    Raises:
        ValueError: If ``split`` is a test set, or unknown or empty, ``metric`` unknown, an argument
            out of range, or the embeddings not finite.

    Example:
        >>> from pyg_advcf import MF, InteractionLoader, fit, methods
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=99, num_items=40)[0]
        >>> recommender = methods.infonce(MF(data, dim=8))
        >>> loader = InteractionLoader(data, negatives='in_batch')
        >>> history = fit(recommender, loader, epochs=2, progress=False)
        >>> found = calibrate(recommender, data, priors=(0, 0.5, 1))
        >>> recommender.similarity.prior == found.prior
        True
    """
    data = check_calibration(**locals())
    similarity, (name, k) = model.similarity, parse_metric('metric', metric)
    priors = _numbers('priors', priors)
    powers = [similarity.norm_power] if norm_powers is None else _numbers('norm_powers',
                                                                          norm_powers)
    num_users, num_items = num_nodes(data)
    task = build_split(data, split, 'clean')
    users = task.users
    if max_users is not None and users.numel() > max_users:
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(users.numel(), generator=generator)[:max_users]
        users = users[chosen.sort().values.to(users.device)]

    settings = [(power, prior) for power in powers for prior in priors]
    scores_of = _Settings(similarity, final_embeddings(model), trained_popularity(model, data),
                          settings, num_users, num_items)
    popularity = degrees(data)[1]
    collected = {setting: Collector([k], [name], task.truth, popularity, propensity_power,
                                   max_weight) for setting in settings}

    def rank(chunk: Tensor, scores: Tensor) -> tuple[Tensor, list[Tensor]]:
        masked = task.masked.of_users(chunk)
        lists = []
        for setting in settings:
            own = scores_of(scores, setting)
            own[masked] = -math.inf
            lists.append(top_k(own, k)[0])
        return chunk, lists

    for chunk, lists in map_scores(rank, scores_of.z, users, batch_size, candidate_mask(data),
                                   progress):
        truth = task.truth.of_users(chunk)
        for setting, ranked in zip(settings, lists):
            collected[setting].update(chunk, ranked, truth)
    table = [(*setting, found.compute(False)[metric]) for setting, found in collected.items()]
    power, prior, value = max(
        table, key=lambda row: (row[2], -abs(row[1]), -abs(row[0] - similarity.own_norm_power)))
    similarity.norm_power, similarity.prior = power, prior
    return Calibration(prior, power, value, table)


class _Settings:
    r"""Scores of each setting from those of training, without another product."""
    def __init__(self, similarity: Similarity, z: Embeddings, popularity: Tensor,
                 settings: list[tuple[float, float]], num_users: int, num_items: int) -> None:
        dtype = torch.promote_types(z.user.dtype, torch.float32)
        z = z.map(lambda t: t.to(dtype))
        self.z = rankable('model', similarity.prepare(z), Dot(), num_users, num_items)
        self.factor = {power: similarity.item_factor(z, power) for power, _ in settings}
        self.prior = {prior: similarity.item_prior(popularity, prior).to(z.item.device, dtype)
                      for _, prior in settings}

    def __call__(self, scores: Tensor, setting: tuple[float, float]) -> Tensor:
        factor, prior = self.factor[setting[0]], self.prior[setting[1]]
        return scores + prior if factor is None else torch.addcmul(prior, scores, factor)
