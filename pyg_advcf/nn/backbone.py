r"""What all backbones share: the trainable tables, the training graph, and recommendation."""
from collections.abc import Callable, Sequence
from typing import NamedTuple, Optional, Union

import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.data import HeteroData

from pyg_advcf._checks import check_count, check_ids, check_name
from pyg_advcf.interactions import (
    Batch,
    Embeddings,
    as_graph,
    candidate_mask,
    interaction_graph,
    known_pairs,
    num_nodes,
    split_names,
    validate,
)
from pyg_advcf.nn.ranking import PairMask, rank
from pyg_advcf.nn.similarity import Dot, Similarity
from pyg_advcf.ops.spmm import compressed

_INITS = {
    'xavier_normal': nn.init.xavier_normal_,
    'xavier_uniform': nn.init.xavier_uniform_,
    'normal_0.1': lambda w: nn.init.normal_(w, std=0.1),
    'normal_0.01': lambda w: nn.init.normal_(w, std=0.01),
    'normal_0.0001': lambda w: nn.init.normal_(w, std=0.0001),
}


Map = Callable[..., Embeddings]
# What to propagate over: one graph, or one for each propagation.
Graphs = Union[Tensor, Sequence[Tensor]]


class Recommendations(NamedTuple):
    r"""Ranked items of some users.

    Attributes:
        item: Item ids, best first, ``[B, k]``; ``-1`` where fewer than ``k`` candidates exist.
        score: Their scores, ``[B, k]``; :math:`-\infty` where ``item`` is ``-1``.
    """
    item: Tensor
    score: Tensor


class Backbone(nn.Module):
    r"""Base class: the table :math:`E^0` of users and items, and the graph they are trained on.

    Args:
        data: Interactions; see :mod:`pyg_advcf.interactions`.
        dim: Width :math:`D` of the embeddings.
        init: ``'xavier_normal'``, ``'xavier_uniform'``, ``'normal_0.1'``, ``'normal_0.01'`` or
            ``'normal_0.0001'``.

    Attributes:
        linear: Whether :math:`f(E + \Delta) = f(E) + f(\Delta)`, so that a perturbation can be
            propagated on its own.
        layered: Whether the graph has an influence, in layers that ``return_layers`` makes
            :meth:`forward` return.
        depth: Number of propagations of a pass; 0 where the graph has no influence.
    """
    linear = False
    layered = False
    depth = 0

    def __init__(self, data: HeteroData, dim: int = 64, init: str = 'xavier_normal') -> None:
        super().__init__()
        validate(data)
        self.init = check_name('init', init, _INITS)
        self.dim = check_count('dim', dim)
        self.num_users, self.num_items = num_nodes(data)
        self.user_embedding = nn.Embedding(self.num_users, dim)
        self.item_embedding = nn.Embedding(self.num_items, dim)
        # Not part of the `state_dict`: the data bring the graph along.
        self.register_buffer('graph', interaction_graph(data), persistent=False)
        self.register_buffer('candidate_mask', candidate_mask(data),
                             persistent=False)
        # What is not recommended: the graph's own pairs, or those of the split `outer` too.
        self.register_buffer('_known', as_graph(known_pairs(data), self.num_users, self.num_items)
                             if 'outer' in split_names(data) else None, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Draws the tables anew."""
        _INITS[self.init](self.user_embedding.weight)
        _INITS[self.init](self.item_embedding.weight)

    @property
    def x(self) -> Embeddings:
        r"""The trainable tables :math:`E^0`."""
        return Embeddings(self.user_embedding.weight, self.item_embedding.weight)

    @property
    def known(self) -> EdgeIndex:
        r"""The training graph, and the pairs of the split ``outer`` if there is one."""
        return self.graph if self._known is None else self._known

    def forward(
        self,
        graph: Optional[Graphs] = None,
        x: Optional[Embeddings] = None,
    ) -> Embeddings:
        r"""Computes the final embeddings :math:`Z = f(E^0)`.

        Args:
            graph: What to propagate over, for example a view; the training graph by default. A
                sequence of ``depth`` graphs gives each propagation its own.
            x: Overrides the trainable tables, so that a perturbed table takes the same path.
        """
        raise NotImplementedError

    def graphs(self, graph: Optional[Graphs], count: int) -> list[Tensor]:
        r"""The graph of each of ``count`` propagations.

        Raises:
            ValueError: If ``graph`` is a sequence of another length.
        """
        graph = self.graph if graph is None else graph
        if isinstance(graph, Tensor):
            return [graph] * count
        if len(graph) != count:
            raise ValueError(f"'graph' holds {len(graph)} graphs, but {self!r} propagates {count} "
                             f"times; pass one graph, or one for each propagation")
        return list(graph)

    def penalty(self, batch: Batch, z: Optional[Embeddings] = None) -> Optional[Tensor]:
        r"""What this backbone adds to the loss of any method, or ``None``.

        Args:
            batch: As the loader gave it.
            z: What :meth:`forward` returned for it, if anything is to be read from that instead
                of being computed anew.
        """
        return None

    def local(self, batch: Batch) -> tuple[Embeddings, Map, Batch]:
        r"""The part of the model that ``batch`` sees: ``x, f, batch``.

        ``f(x)`` are final embeddings that suffice to score the batch, and the batch has ids into
        them. ``f`` takes the keywords of :meth:`forward` too, such as ``graph``. ``x`` are the
        tables, or those rows of them that the returned batch names. A backbone may compute the
        rows that the batch reads and no others, with the same scores and gradients; by default
        ``f`` computes all, and the batch stays as it is.
        """
        return self.x, lambda x, **kwargs: self(x=x, **kwargs), batch

    def for_batch(self, batch: Batch) -> tuple[Embeddings, Batch]:
        r"""Final embeddings that suffice to score ``batch``, and the batch with ids into them."""
        x, f, batch = self.local(batch)
        return f(x), batch

    @torch.no_grad()
    def recommend(
        self,
        user_ids: Tensor,
        k: int = 10,
        similarity: Optional[Similarity] = None,
        batch_size: int = 1024,
        z: Optional[Embeddings] = None,
    ) -> Recommendations:
        r"""The ``k`` best items of each user, training items (and non-candidates) left out.

        Args:
            user_ids: ``[B]``.
            k: Length of the lists.
            similarity: :class:`~pyg_advcf.nn.Dot` by default; give the one of training.
            batch_size: Users scored at once; memory grows with ``batch_size * num_items``.
            z: Embeddings to rank with; computed if absent.

        Raises:
            ValueError: If a user id is out of range, or if ``k`` or ``batch_size`` is below 1.
        """
        check_count('k', k)
        check_count('batch_size', batch_size)
        device = self.user_embedding.weight.device
        user_ids = torch.as_tensor(user_ids, device=device).view(-1)
        user_ids = user_ids.long() if user_ids.numel() == 0 else user_ids
        check_ids('user_ids', user_ids, self.num_users)
        if z is None:
            training = self.training
            z = self.eval()()
            self.train(training)
        similarity = Dot() if similarity is None else similarity
        z = similarity.prepare(z)
        seen = PairMask(*compressed(self.known, False))
        parts = [rank(z.user[chunk], z.item, k, seen(chunk), self.candidate_mask)
                 for chunk in user_ids.split(batch_size)]  # One empty part for no users.
        item, score = zip(*parts)
        return Recommendations(torch.cat(item), torch.cat(score) / similarity.temperature)

    def __repr__(self) -> str:
        return (f'{self.__class__.__name__}({self.num_users} users, {self.num_items} items, '
                f'dim={self.dim})')
