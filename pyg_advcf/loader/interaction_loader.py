r"""Mini-batches of interactions with negatives."""
from collections.abc import Iterator
from typing import Any, Optional

import torch
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import (
    check_bool,
    check_count,
    check_ids,
    check_integers,
    check_name,
    check_seed,
    reads_values,
    shown,
)
from pyg_advcf.batch import Batch
from pyg_advcf.interactions import EDGE_TYPE, held_out, num_nodes, validate
from pyg_advcf.loader.negative_sampler import NEGATIVES, NegativeSampler
from pyg_advcf.record import Recorded


class InteractionLoader(Recorded):
    r"""Mini-batches of the training interactions, with freshly sampled negatives.

    Everything is a tensor operation on the device of ``data``: no worker processes and no Python
    loop per interaction.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        batch_size: Positives per batch, :math:`B`.
        num_neg: Negatives per positive, :math:`N`; ignored for ``'in_batch'``.
        sampler: ``'interaction'``: each interaction once per epoch. ``'user'``: all users in turn,
            with a uniformly drawn positive each time, until there are as many pairs as
            interactions; this is how the authors of AdvInfoNCE sample.
        negatives: ``'uniform'`` or ``'popularity'`` over the items outside the user's training
            items (exactly); or ``'in_batch'``: the other positives of the batch, with
            :attr:`~pyg_advcf.Batch.neg_mask` ``False`` for the row's own and known positives.
        drop_last: Whether to drop the last batch if it is smaller than ``batch_size``. By default
            only the ``'user'`` sampler does, and never the only batch.
        seed: Seed of this loader's own generator.
        split: A held-out split, such as ``'outer'``, whose pairs are the positives in place of the
            training interactions; negatives are then outside these pairs too, and
            :attr:`~pyg_advcf.Batch.id` is the column among them.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Raises:
        ValueError: If an argument is out of range or unknown, if the split is empty, or if a user
            has no possible negative.

    Example:
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> loader = InteractionLoader(SyntheticExposure(num_users=99, num_items=40)[0],
        ...                            batch_size=16, num_neg=4)
        >>> batch = next(iter(loader))
        >>> batch.user.shape, batch.neg_item.shape
        (torch.Size([16]), torch.Size([16, 4]))
    """
    def __init__(
        self,
        data: HeteroData,
        batch_size: int = 2048,
        num_neg: int = 1,
        sampler: str = 'interaction',
        negatives: str = 'uniform',
        drop_last: Optional[bool] = None,
        seed: int = 0,
        split: Optional[str] = None,
        edge_type: Optional[EdgeType] = None,
    ) -> None:
        self.data = data = validate(data, edge_type)
        self.batch_size = check_count('batch_size', batch_size)
        self.num_neg = check_count('num_neg', num_neg)
        self.sampler = check_name('sampler', sampler, ('interaction', 'user'))
        self.negatives = check_name('negatives', negatives, (*NEGATIVES, 'in_batch'))
        self.drop_last = (sampler == 'user' if drop_last is None
                          else check_bool('drop_last', drop_last))
        self.split, self.seed = split, check_seed('seed', seed)
        edge_index = (data[EDGE_TYPE].edge_index if split is None else held_out(data, split)).long()
        self.user, self.item = edge_index.contiguous()
        self.num_users, self.num_items = num_nodes(data)
        self.generator = torch.Generator(edge_index.device).manual_seed(seed)
        self.negative_sampler = NegativeSampler(
            data, 'uniform' if negatives == 'in_batch' else negatives, self.generator,
            None if split is None else edge_index)
        if sampler == 'user':
            self.order = torch.argsort(self.user, stable=True)  # Interaction ids by user.
            self.count = torch.bincount(self.user, minlength=self.num_users)
            self.start = self.count.cumsum(0) - self.count
            self.active = self.count.nonzero().view(-1)

    def __len__(self) -> int:
        full, rest = divmod(self.user.numel(), self.batch_size)
        return full if rest == 0 or (self.drop_last and full > 0) else full + 1

    def __iter__(self) -> Iterator[Batch]:
        device = self.user.device
        order = torch.randperm(self.user.numel(), generator=self.generator, device=device)
        for index in order.split(self.batch_size)[:len(self)]:
            if self.sampler == 'user':
                user = self.active[index % self.active.numel()]
                draw = torch.rand(index.shape, dtype=torch.float64, device=device,
                                  generator=self.generator)
                count = self.count[user]
                place = torch.minimum((draw * count).long(), count - 1)
                index = self.order[self.start[user] + place]
            yield self.collate(index)

    def collate(self, index: torch.Tensor) -> Batch:
        r"""The batch of the interactions ``index``, with fresh negatives."""
        index = check_integers('index', index, ('B', ))
        if reads_values(index):
            check_ids('index', index, self.user.numel())
        user, item = self.user[index], self.item[index]
        if self.negatives != 'in_batch':
            return Batch(user, item, self.negative_sampler(user, self.num_neg), index)
        return Batch(user, item, item, index, ~self.negative_sampler.known.among(user, item))

    def state_dict(self) -> dict[str, Any]:
        r"""The state of the random number generator, so that a resumed run continues it."""
        return {'generator': self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if not isinstance(state, dict) or not isinstance(state.get('generator'), torch.Tensor):
            raise ValueError(f"'state' is {shown(state)}, but needs to be what state_dict() of a "
                             f"loader returned")
        self.generator.set_state(state['generator'].cpu())

    def __repr__(self) -> str:
        return (f"InteractionLoader({self.user.numel()} interactions, "
                f"batch_size={self.batch_size}, num_neg={self.num_neg}, "
                f"sampler='{self.sampler}', negatives='{self.negatives}'"
                + (')' if self.split is None else f", split='{self.split}')"))
