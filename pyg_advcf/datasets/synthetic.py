r"""Synthetic interactions whose false negatives are known."""
from collections.abc import Callable
from typing import Optional

import torch
from torch import Tensor
from torch_geometric.data import HeteroData, InMemoryDataset

from pyg_advcf._checks import check_callable, check_count, check_positive
from pyg_advcf.interactions import interaction_data
from pyg_advcf.registry import DATASETS


def _calibrate(rate: Callable[[float], Tensor], target: float) -> float:
    # Bisection on the log of the factor: `rate` is increasing.
    low, high = -40., 40.
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rate(2.**middle) < target else (low, middle)
    return 2.**high


@DATASETS.register('synthetic')
class SyntheticExposure(InMemoryDataset):
    r"""Planted preferences seen through popularity-skewed exposure.

    A user likes an item if a low-rank affinity plus the item's quality lies among the highest
    ``relevance`` share of all pairs. An interaction takes place if the item is liked *and* the
    user is exposed to it, and exposure follows item popularity (log-normal, correlated with
    quality) and user activity (log-normal). So training data miss most liked pairs, and they are
    known: ``data.relevant [users, items]``.

    Held-out splits, all disjoint: ``val`` and ``test_iid`` are drawn from the interactions,
    ``test_ood`` holds the liked items among ``ood_exposure`` of the catalogue, shown uniformly at
    random.

    The defaults were set once, by the statistics of Coat and Yahoo!R3 (density 1.6 % and 0.6 %,
    Gini index of item degrees 0.45 and 0.63, of user degrees 0.36 and 0.45; of item degrees in the
    unbiased test set 0.41 and 0.42, their correlation with popularity 0.41 and 0.57), and not by
    the result of any method; ``tests/datasets/test_synthetic.py`` holds them there.

    Args:
        num_users: Number of users.
        num_items: Number of items.
        density: Expected share of all pairs that are interactions, before the split.
        rank: Rank of the affinities.
        relevance: Share of all pairs that are liked.
        ood_exposure: Share of the catalogue shown to each user for ``test_ood``.
        val_ratio: Share of the interactions held out as ``val``.
        test_ratio: Share of the interactions held out as ``test_iid``.
        seed: Seed of everything.
        transform: Applied at every access.

    Raises:
        ValueError: If an argument is out of range, or if the result has an empty split.

    Example:
        >>> data = SyntheticExposure(num_users=100, num_items=50)[0]
        >>> data.relevant.shape
        torch.Size([100, 50])
    """
    def __init__(
        self,
        num_users: int = 2000,
        num_items: int = 800,
        density: float = 0.014,
        rank: int = 8,
        relevance: float = 0.1,
        ood_exposure: float = 0.05,
        val_ratio: float = 0.1,
        test_ratio: float = 0.2,
        seed: int = 0,
        transform: Optional[Callable] = None,
    ) -> None:
        super().__init__(None, check_callable('transform', transform))
        check_count('num_users', num_users, minimum=2)
        check_count('num_items', num_items, minimum=2)
        check_count('rank', rank)
        check_count('seed', seed, minimum=0)
        for argument, value in (('density', density), ('relevance', relevance),
                                ('ood_exposure', ood_exposure), ('val_ratio', val_ratio),
                                ('test_ratio', test_ratio)):
            check_positive(argument, value)
        if not density < relevance < 1 or ood_exposure > 1 or val_ratio + test_ratio >= 1:
            raise ValueError(f"needs 'density' < 'relevance' < 1, 'ood_exposure' <= 1 and "
                             f"'val_ratio' + 'test_ratio' < 1 (got {density}, {relevance}, "
                             f"{ood_exposure}, {val_ratio}, {test_ratio})")
        generator = torch.Generator().manual_seed(seed)

        def normal(*size: int) -> Tensor:
            return torch.randn(*size, generator=generator)

        def uniform(*size: int) -> Tensor:
            return torch.rand(*size, generator=generator)

        quality = normal(num_items)
        affinity = normal(num_users, rank) @ normal(rank, num_items) / rank**0.5
        appeal = affinity + 0.3 * quality
        cut = int((1 - relevance) * appeal.numel())
        relevant = appeal > appeal.view(-1).kthvalue(max(cut, 1)).values

        popularity = (0.5 * normal(num_items) + 0.3 * quality).exp()
        activity = (0.6 * normal(num_users)).exp()
        exposure = activity.view(-1, 1) * popularity

        def observed_rate(factor: float) -> Tensor:
            return ((factor * exposure).clamp(max=1) * relevant).mean()

        factor = _calibrate(observed_rate, density)
        observed = relevant & (uniform(num_users, num_items) < factor * exposure)
        pairs = observed.nonzero().t()
        pairs = pairs[:, torch.randperm(pairs.size(1), generator=generator)]
        num_val, num_test = (int(ratio * pairs.size(1)) for ratio in (val_ratio, test_ratio))
        val, test, train = pairs.split(
            [num_val, num_test, pairs.size(1) - num_val - num_test], dim=1)
        shown = uniform(num_users, num_items) < ood_exposure
        ood = (shown & relevant & ~observed).nonzero().t()
        if 0 in (train.size(1), val.size(1), test.size(1), ood.size(1)):
            raise ValueError(f"{num_users} users and {num_items} items at density {density} leave "
                             f"an empty split; raise 'num_users', 'num_items' or 'density'")
        data: HeteroData = interaction_data(
            train.contiguous(), num_users, num_items, val=val.contiguous(),
            test_iid=test.contiguous(), test_ood=ood.contiguous())
        data.relevant = relevant
        self.data, self.slices = self.collate([data])
