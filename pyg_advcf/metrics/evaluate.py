r"""Full-ranking evaluation on held-out interactions."""
import numbers
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Optional, Union

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import (
    check_bool,
    check_count,
    check_name,
    check_names,
    check_positive,
    shown,
)
from pyg_advcf._modes import evaluation_mode
from pyg_advcf.embeddings import Embeddings, check_embeddings
from pyg_advcf.interactions import (
    EDGE_TYPE,
    candidate_mask,
    degrees,
    held_out,
    known_pairs,
    num_nodes,
    split_key,
    split_names,
    validate_for,
)
from pyg_advcf.metrics.collector import METRICS, Collector
from pyg_advcf.nn.similarity import Dot, Similarity, check_similarity
from pyg_advcf.ops.top_k import top_k
from pyg_advcf.pairs import PairSet
from pyg_advcf.ranking import BATCH_SIZE, Scorer, map_scores, rankable

PROTOCOLS = ('clean', 'official')


class _Split(NamedTuple):
    truth: PairSet
    masked: PairSet
    users: Tensor


def _truth(data: HeteroData, split: str, protocol: str) -> tuple[PairSet, PairSet]:
    r"""The pairs that count, and those that were trained or validated on."""
    num_users, num_items = num_nodes(data)
    seen = [known_pairs(data)]
    if split != 'val' and 'val' in split_names(data):
        seen.append(data[EDGE_TYPE][split_key('val')])
    seen = PairSet.of(torch.cat(seen, dim=1), num_users, num_items)
    pairs = data[EDGE_TYPE][split_key(split)]
    truth = PairSet.of(pairs, num_users, num_items)
    if protocol == 'clean':
        truth = truth.minus(seen)
        candidates = candidate_mask(data)
        if candidates is not None:
            truth = truth.where(candidates)
    return truth, seen


def countable(data: HeteroData, split: str, protocol: str = 'clean') -> bool:
    r"""Whether any pair of ``split`` counts under ``protocol``."""
    return len(_truth(data, split, protocol)[0]) > 0


def build_split(data: HeteroData, split: str, protocol: str) -> _Split:
    held_out(data, split)
    truth, seen = _truth(data, split, protocol)
    if len(truth) == 0:
        raise ValueError(f"every pair of the split '{split}' also occurs in train or validation "
                         f"(or is no candidate), so nothing is left to rank; use "
                         f"protocol='official' if that is what you want to measure")
    masked = seen
    if split.startswith('test'):
        others = [PairSet.of(held_out(data, name), *num_nodes(data))
                  for name in split_names(data, 'test') if name != split]
        # What is left in the truth is re-admitted to the candidates.
        masked = masked.union(*others).minus(truth)
    return _Split(truth, masked, truth.count.nonzero().view(-1))


def evaluate(
    model: Any,
    data: HeteroData,
    splits: Union[str, Sequence[str], None] = None,
    k: Union[int, Sequence[int]] = (20, ),
    metrics: Union[str, Iterable[str]] = ('recall', 'ndcg', 'hr'),
    protocol: str = 'clean',
    similarity: Optional[Similarity] = None,
    batch_size: int = BATCH_SIZE,
    per_user: bool = False,
    progress: bool = True,
    edge_type: Optional[EdgeType] = None,
    propensity_power: float = 1.,
    max_weight: Optional[float] = None,
) -> dict[str, dict[str, Any]]:
    r"""Ranks the whole catalogue for every user with held-out items, several splits in one pass.

    For a user with held-out items :math:`T` and the list of the first :math:`K` candidates:

    * ``recall``: hits over :math:`|T|`; ``precision``: hits over :math:`K`; ``hr``: 1 if any hit.
    * ``ndcg``: :math:`\sum hit_r / \log_2(r + 1)` over its ideal for
      :math:`\min(K, |T|)` hits.
    * ``map``: :math:`\sum hit_r P@r / \min(K, |T|)`; ``map_hits``: the same over the number of
      hits, as the evaluator of AdvInfoNCE's authors has it.
    * ``mrr``: one over the rank of the first hit, else 0.
    * ``recall_ips``, ``ndcg_ips``: hits and held-out pairs are weighted by the inverse of an item's
      propensity to be observed, :math:`w_i = \min(v_i / \overline{v}, w_{max})` with
      :math:`v_i = (d_i + 1)^{-\alpha}`, the training degree :math:`d_i`, the mean over the held-out
      pairs and :math:`\alpha` of ``propensity_power``. Self-normalised over all users:
      :math:`\sum_u \sum_{hits} w` over :math:`\sum_u \sum_T w`, and the same with discounts over
      the ideal. If interactions are observed with such a propensity, they estimate the metric of
      a test set without a bias by popularity. ``ips_sample_size`` comes with them, the effective
      number of pairs :math:`(\sum w)^2 / \sum w^2`; where it is small, the estimate varies much.
    * ``coverage``: share of all items that occur in some list; ``popularity``: mean training
      degree of the listed items.

    Averages are over the users with :math:`|T| \geq 1`. Ties go to the lower item id.

    **Candidates.** All items (of ``data['item'].candidate_mask``, if present), minus the user's
    training items (with those of the split ``outer``), minus, on test sets, the validation items
    and the items of *other* test sets.
    Some published splits hold test pairs that also occur in training or validation. Under
    ``protocol='clean'`` such pairs are taken out of :math:`T` (as are non-candidates); under
    ``protocol='official'`` they are re-admitted to the candidates of test sets and count as
    hits, as in the code of AdvInfoNCE.

    Args:
        model: A recommender, a backbone, :class:`~pyg_advcf.Embeddings`, or a
            :class:`~pyg_advcf.ranking.Scorer`, as all of :mod:`pyg_advcf.baselines` are.
        data: Interactions with held-out splits.
        splits: Names of splits; all test sets by default.
        k: List lengths.
        metrics: Names from the list above.
        protocol: ``'clean'`` or ``'official'``.
        similarity: How to compare; that of the recommender, else :class:`~pyg_advcf.nn.Dot`. Not
            for a scorer.
        batch_size: Users scored at once; memory grows with ``batch_size * num_items`` for each
            thread of PyTorch, which all rank. The values do not depend on their number.
        per_user: Whether to return float64 values per user instead of averages, for significance
            tests; ``'user'`` then holds the ids. Without ``coverage``, which has none.
        progress: Whether to show a progress bar, if ranking takes longer than some seconds.
        edge_type: Which edges are the interactions, by default those that the model was built for;
            see :func:`~pyg_advcf.interactions.resolve_edge_type`.
        propensity_power: :math:`\alpha` of the weighted metrics; 0 weights all pairs alike, 1
            supposes that an item is observed in proportion to its training degree.
        max_weight: :math:`w_{max}`, in units of the mean weight; not clipped by default.

    Returns:
        ``{split: {'recall@20': value, ...}}``.

    Raises:
        ValueError: If ``data`` are not well-formed (any more), a split, metric or protocol is
            unknown, a split is empty, a ``k`` is below 1, or the embeddings do not fit the data,
            are not finite, or are so large that scores might not be.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> from pyg_advcf.nn import MF
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> sorted(evaluate(MF(data, dim=8), data, k=5))
        ['test_iid', 'test_ood']
    """
    data = validate_for(model, data, edge_type)
    splits = split_names(data, 'test') if splits is None else check_names(
        'splits', splits, split_names(data))
    ks = [k] if isinstance(k, numbers.Integral) else k
    if isinstance(ks, (str, Tensor)) or not isinstance(ks, Iterable):
        raise ValueError(f"'k' is {shown(k)}, but needs to be a length of lists or several of them")
    ks = sorted({int(check_count('k', v)) for v in ks})
    metrics = check_names('metrics', metrics, METRICS)
    check_name('protocol', protocol, PROTOCOLS)
    check_count('batch_size', batch_size)
    check_bool('per_user', per_user)
    check_positive('propensity_power', propensity_power, zero=True)
    if max_weight is not None:
        check_positive('max_weight', max_weight)
    if not splits:
        raise ValueError("'data' has no test set; split it (see 'pyg_advcf.transforms') or name "
                         "the 'splits' to evaluate")
    if not ks or not metrics:
        raise ValueError(f"nothing to measure: 'k' is {ks} and 'metrics' is {metrics}")

    popularity = degrees(data)[1]
    z = _source(model, data, similarity)
    candidates = candidate_mask(data)
    barred = None if candidates is None else (~candidates).nonzero().view(-1)
    tasks = {split: build_split(data, split, protocol) for split in splits}
    collected = {split: Collector(ks, metrics, task.truth, popularity, propensity_power, max_weight)
                 for split, task in tasks.items()}

    def rank(chunk: Tensor, scores: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        found = {}
        for split, task in tasks.items():
            inside = torch.isin(chunk, task.users)
            user = chunk[inside]
            if user.numel() == 0:
                continue
            # With a single split all rows are its own, and the scores are not needed again.
            own = scores if len(tasks) == 1 else scores[inside]
            if barred is not None:
                pairs = task.truth.of_users(user)
                kept = own[pairs]
                own.index_fill_(1, barred, float('-inf'))
                if protocol == 'official' and split.startswith('test'):
                    own[pairs] = kept
            own[task.masked.of_users(user)] = float('-inf')
            found[split] = user, top_k(own, max(ks))[0]
        return found

    users = torch.unique(torch.cat([task.users for task in tasks.values()]))
    for found in map_scores(rank, z, users, batch_size, progress=progress):
        for split, (user, ranked) in found.items():
            collected[split].update(user, ranked, tasks[split].truth.of_users(user))
    return {split: collected[split].compute(per_user) for split in splits}


def final_embeddings(model: Any) -> Embeddings:
    r"""Of a recommender, a backbone, another module that returns :class:`~pyg_advcf.Embeddings`, or
    these themselves: in evaluation mode, detached.
    """
    if isinstance(model, Embeddings):
        return check_embeddings('model', model).detach()
    if isinstance(model, type) or not (hasattr(model, 'embeddings') or isinstance(model, Module)):
        raise ValueError(f"'model' is {shown(model)}, but needs to be a recommender, a backbone, "
                         f"Embeddings, or a module that returns these")
    if callable(getattr(model, 'embeddings', None)):
        return check_embeddings('model.embeddings()', model.embeddings())
    try:
        with torch.no_grad(), evaluation_mode(model):
            z = model()
    except TypeError as error:
        raise ValueError(f"'model' is {shown(model)}, which cannot be called without arguments, "
                         f"but needs to return Embeddings then") from error
    return check_embeddings('model()', z).detach()


def _source(model: Any, data: HeteroData,
            similarity: Optional[Similarity]) -> Union[Embeddings, Scorer]:
    r"""What ranks: the model itself if it scores, else its embeddings as they are ranked."""
    num_users, num_items = num_nodes(data)
    if isinstance(model, Scorer) and not isinstance(model, type):
        if similarity is not None:
            raise ValueError(f"'similarity' is {shown(similarity)}, but 'model' scores by itself; "
                             f"leave it out, or pass embeddings of the model if it has any")
        if (model.num_users, model.num_items) != (num_users, num_items):
            raise ValueError(f"'model' scores {model.num_items} items for {model.num_users} users, "
                             f"but 'data' has {num_items} items and {num_users} users; fit it to "
                             f"these data")
        return model
    return rankable('model', final_embeddings(model), similarity_of(model, similarity), num_users,
                    num_items, trained_popularity(model, data))


def similarity_of(model: Any, similarity: Optional[Similarity] = None) -> Similarity:
    r"""``similarity`` if it is given, else that of a recommender, else dot products."""
    if similarity is None:
        similarity = getattr(model, 'similarity', None)
        similarity = similarity if isinstance(similarity, Similarity) else Dot()
    return check_similarity('similarity', similarity)


def trained_popularity(model: Any, data: HeteroData) -> Tensor:
    r"""Degree of every item in the graph that the model was trained on, or else in the data."""
    backbone = getattr(model, 'backbone', model)
    return degrees(data)[1] if not hasattr(backbone, 'degrees') else backbone.degrees[1]
