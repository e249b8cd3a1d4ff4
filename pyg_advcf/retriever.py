r"""What serves recommendations: vectors and seen items, without the model and its graph."""
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_advcf import ranking
from pyg_advcf._checks import (
    check_bool,
    check_count,
    check_floats,
    check_instance,
    check_mask,
    check_positive,
    check_user_ids,
    shown,
)
from pyg_advcf._modes import evaluation_mode
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.files import PathLike
from pyg_advcf.folders import read_folder, write_folder
from pyg_advcf.nn import LightGCN, SampledLightGCN
from pyg_advcf.nn.backbone import Backbone
from pyg_advcf.ops.spmm import inv_sqrt
from pyg_advcf.pairs import PairSet
from pyg_advcf.ranking import Recommendations

if TYPE_CHECKING:
    from pyg_advcf.methods import Recommender

KIND = 'retriever'


@torch.no_grad()
def _layer_sums(backbone: Backbone, like: Tensor) -> Optional[Tensor]:
    r"""What each item adds to the embedding of a new user over LightGCN; ``None`` over others."""
    if type(backbone) not in (LightGCN, SampledLightGCN) or backbone.num_layers == 0:
        return None
    with evaluation_mode(backbone):
        layers = backbone(return_layers=True).layers
    # All layers but the tables have the same weight in the readout.
    weight = 1. / (backbone.num_layers + (not backbone.skip_input))
    total = weight * sum(layer.item.to(like.dtype) for layer in layers[:-1])
    return total * inv_sqrt(backbone.degrees[1], like.dtype).view(-1, 1)


class Retriever:
    r"""Recommends as a trained recommender does, without the model, its graph and its data.

    It holds the vectors of users and items as they are ranked, the items that each user has seen,
    and which items are candidates. :meth:`pyg_advcf.Recommender.export` writes one as a folder of
    safetensors and JSON, and :meth:`load` reads it in any process, on CPU.

    Args:
        z: The vectors, whose dot products rank the items: users ``[num_users, D]``, items
            ``[num_items, D]``.
        seen: The pairs that are not recommended.
        temperature: :math:`\tau > 0`, which scores are divided by.
        cosine: Whether the vectors are of unit length, so that those of new users have to be.
        candidates: The items that may be recommended, boolean ``[num_items]``; all by default.
        layer_sums: What each item adds to the embedding of a new user, ``[num_items, D]``; see
            :meth:`recommend_for`.
        prior_column: Whether the last column of the vectors is a popularity prior, as
            :meth:`pyg_advcf.nn.Similarity.rank` adds it: 1 for users. ``D`` does not count it.

    Attributes:
        num_users: Number of users.
        num_items: Number of items.

    Raises:
        ValueError: If the parts do not fit each other, or a score might not be finite.

    Example:
        >>> import tempfile
        >>> from pyg_advcf import LightGCN, methods
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> recommender = methods.infonce(LightGCN(data, dim=8), temperature=0.2)
        >>> folder = tempfile.mkdtemp() + '/service'
        >>> recommender.export(folder)
        >>> retriever = Retriever.load(folder)
        >>> retriever
        Retriever(50 users, 40 items, 8 dimensions)
        >>> torch.equal(retriever.recommend([3, 5], k=4).item,
        ...             recommender.recommend([3, 5], k=4).item)
        True
    """
    def __init__(
        self,
        z: Embeddings,
        seen: PairSet,
        temperature: float = 1.,
        cosine: bool = False,
        candidates: Optional[Tensor] = None,
        layer_sums: Optional[Tensor] = None,
        prior_column: bool = False,
    ) -> None:
        self.z = ranking.check_scorable('z', z)
        self.num_users, self.num_items = z.user.size(0), z.item.size(0)
        check_instance('seen', seen, PairSet, 'a PairSet, as backbone.known')
        if (seen.num_users, seen.num_items) != (self.num_users, self.num_items):
            raise ValueError(f"'seen' is of {seen.num_users} users and {seen.num_items} items, but "
                             f"'z' is of {self.num_users} and {self.num_items}")
        self.seen = seen
        self.temperature = check_positive('temperature', temperature)
        self.cosine = check_bool('cosine', cosine)
        if candidates is not None:
            check_mask('candidates', candidates, (self.num_items, ))
        self.candidates = candidates
        self.prior_column = check_bool('prior_column', prior_column)
        width = z.item.size(1) - prior_column
        # Without the prior, which says nothing of who is like whom.
        self.vectors = z if not prior_column else z.map(lambda table: table[:, :width])
        if layer_sums is not None:
            check_floats('layer_sums', layer_sums, (self.num_items, width))
        self.layer_sums = layer_sums

    @classmethod
    def of(cls, recommender: 'Recommender') -> 'Retriever':
        r"""The retriever of a recommender, on CPU.

        Raises:
            ValueError: If it is no recommender, or its scores might not be finite.
        """
        from pyg_advcf.methods import Recommender
        check_instance('recommender', recommender, Recommender, 'a Recommender')
        backbone, similarity = recommender.backbone, recommender.similarity
        z = ranking.rankable('z', recommender.embeddings(), similarity, backbone.num_users,
                             backbone.num_items, backbone.degrees[1])
        sums = _layer_sums(backbone, z.item)
        known, mask = backbone.known, backbone.candidate_mask
        return cls(Embeddings(z.user.cpu(), z.item.cpu()),
                   PairSet(known.indptr.cpu(), known.item.cpu(), known.num_items),
                   similarity.temperature, similarity.kind == 'cosine',
                   None if mask is None else mask.cpu(), None if sums is None else sums.cpu(),
                   similarity.prior != 0.)

    def save(self, folder: PathLike, overwrite: bool = False) -> None:
        r"""Writes the folder that :meth:`load` reads.

        Args:
            folder: The folder, which must not be there yet.
            overwrite: Whether to replace a folder that this library wrote.

        Raises:
            ValueError: If the folder is there already (with ``overwrite``: and holds something
                else).
            OSError: If it cannot be written.
        """
        from pyg_advcf import __version__
        tensors = {'user': self.z.user, 'item': self.z.item, 'seen_indptr': self.seen.indptr,
                   'seen_item': self.seen.item, 'candidates': self.candidates,
                   'layer_sums': self.layer_sums}
        tensors = {name: value for name, value in tensors.items() if value is not None}
        content = {'version': __version__, 'temperature': float(self.temperature),
                   'cosine': bool(self.cosine), 'prior_column': bool(self.prior_column)}
        write_folder(folder, KIND, content, {'retriever': tensors}, overwrite)

    @classmethod
    def load(cls, folder: PathLike) -> 'Retriever':
        r"""Reads a folder of :meth:`pyg_advcf.Recommender.export`, after every byte was verified.

        Raises:
            ValueError: If the folder is none of a retriever, lacks a file, is damaged, or was
                written by a newer version of this library.
        """
        content, tensors = read_folder(folder, KIND)
        own = tensors['retriever']
        return cls(Embeddings(own['user'], own['item']),
                   PairSet(own['seen_indptr'], own['seen_item'], own['item'].size(0)),
                   content['temperature'], content['cosine'], own.get('candidates'),
                   own.get('layer_sums'), content['prior_column'])

    def recommend(
        self,
        user_ids: Any,
        k: int = 10,
        exclude: Any = None,
        candidates: Any = None,
    ) -> Recommendations:
        r"""The ``k`` best items of each user, seen items (and non-candidates) left out.

        Without ``exclude`` and ``candidates`` these are the lists of
        :meth:`pyg_advcf.Recommender.recommend`, with the same scores.

        Args:
            user_ids: ``[B]``, integers of any width, or a list of them.
            k: Length of the lists.
            exclude: Ids of items that nobody gets, ``[N]``: those that are out of stock, or bought
                since.
            candidates: Ids of the only items that may be recommended, ``[N]``; items that are no
                candidates of the data stay left out.

        Raises:
            ValueError: If an id is out of range, ``k`` is below 1, or a score is not finite.
        """
        user_ids = check_user_ids('user_ids', user_ids, self.num_users)
        return self._ranked(self.z, user_ids, k, self.seen, exclude, candidates)

    def recommend_for(
        self,
        items: Sequence[Any],
        k: int = 10,
        exclude: Any = None,
        candidates: Any = None,
        ridge: float = 1.,
    ) -> Recommendations:
        r"""The ``k`` best items of users who were not in training, their own items left out.

        Over LightGCN the embedding of a user with the items :math:`N` is what the forward pass
        gives if the user's edges lead to the user only, so that the items stay as they are, and if
        the user's row of the table is zero:

        .. math::
            z = \frac{1}{\sqrt{|N|}} \sum_{i \in N} s_i, \qquad
            s_i = \frac{w}{\sqrt{d_i}} \sum_{l=0}^{L-1} e_i^{(l)}

        with the degree :math:`d_i` in the training graph and the weight :math:`w` of a layer in the
        readout. Items without training interactions add nothing. Over other backbones it is
        the ridge regression of the user's interactions on the vectors :math:`v_i` of all items,
        which stay as they are; scores are then on a scale of their own, and a prior counts only if
        vectors are of unit length:

        .. math::
            z = \Big( \sum_j v_j v_j^\top + \lambda I \Big)^{-1} \sum_{i \in N} v_i, \qquad
            \lambda = \frac{\mathrm{ridge}}{D} \sum_j \| v_j \|^2

        Args:
            items: The ids of the items of each user: a list of ``B`` lists or tensors, none of them
                empty. Repeated ids count once.
            k: Length of the lists.
            exclude: As of :meth:`recommend`.
            candidates: As of :meth:`recommend`.
            ridge: Strength of the penalty, above 0; not used over LightGCN.

        Raises:
            ValueError: If a user has no item (over LightGCN: none with training interactions), an
                id is out of range, ``k`` is below 1, or ``ridge`` is not above 0.

        Example:
            >>> z = Embeddings(torch.eye(2), torch.tensor([[1., 0.], [.9, .1], [0., 1.]]))
            >>> retriever = Retriever(z, PairSet.of(torch.empty(2, 0, dtype=torch.long), 2, 3))
            >>> retriever.recommend_for([[0], [0, 1]], k=1).item
            tensor([[1],
                    [2]])
        """
        check_positive('ridge', ridge)
        check_count('k', k)
        pairs = self._pairs_of(items)
        own = PairSet.of(pairs, len(items), self.num_items)
        user, item = own.of_users(torch.arange(len(items)))
        source = self.vectors.item if self.layer_sums is None else self.layer_sums
        total = source.new_zeros(len(items), source.size(1)).index_add_(0, user, source[item])
        if self.layer_sums is None:
            z = self._ridge(total, ridge)
        else:
            silent = (total == 0).all(1).nonzero().view(-1).tolist()
            if silent:
                raise ValueError(f"'items[{silent[0]}]' holds no item with training interactions, "
                                 f"from which the user could be embedded; leave the user out")
            z = total / own.count.view(-1, 1).to(total.dtype).sqrt()
        if self.cosine:
            z = F.normalize(z, dim=-1)
        if self.prior_column:
            counts = self.cosine or self.layer_sums is not None
            z = torch.cat([z, z.new_full((z.size(0), 1), float(counts))], dim=1)
        return self._ranked(Embeddings(z, self.z.item), torch.arange(len(items)), k, own, exclude,
                            candidates)

    def similar_items(self, item_ids: Any, k: int = 10) -> Recommendations:
        r"""The ``k`` items whose vectors have the largest cosine with that of each item.

        The item itself is left out; items that are no candidates are not.

        Args:
            item_ids: ``[B]``, integers of any width, or a list of them.
            k: Length of the lists.

        Returns:
            Items and cosines, both ``[B, k]``; ``-1`` and :math:`-\infty` beyond the last item.

        Raises:
            ValueError: If an id is out of range, or ``k`` is below 1.

        Example:
            >>> z = Embeddings(torch.eye(2), torch.tensor([[1., 0.], [2., 1.], [0., 3.]]))
            >>> retriever = Retriever(z, PairSet.of(torch.tensor([[0], [0]]), 2, 3))
            >>> retriever.similar_items([0, 2], k=2).item
            tensor([[1, 2],
                    [1, 0]])
        """
        ids = check_user_ids('item_ids', item_ids, self.num_items)
        return self._similar(self.vectors.item, ids, k)

    def similar_users(self, user_ids: Any, k: int = 10) -> Recommendations:
        r"""The ``k`` users whose vectors have the largest cosine with that of each user.

        The user is left out.

        Args:
            user_ids: ``[B]``, integers of any width, or a list of them.
            k: Length of the lists.

        Returns:
            Users (as ``item``) and cosines, both ``[B, k]``; ``-1`` and :math:`-\infty` beyond the
            last user.

        Raises:
            ValueError: If an id is out of range, or ``k`` is below 1.

        Example:
            >>> z = Embeddings(torch.tensor([[1., 0.], [2., 1.], [0., 3.]]), torch.eye(2))
            >>> retriever = Retriever(z, PairSet.of(torch.tensor([[0], [0]]), 3, 2))
            >>> retriever.similar_users([0], k=1).item
            tensor([[1]])
        """
        ids = check_user_ids('user_ids', user_ids, self.num_users)
        return self._similar(self.vectors.user, ids, k)

    def _similar(self, table: Tensor, ids: Tensor, k: int) -> Recommendations:
        unit, size = F.normalize(table, dim=-1), table.size(0)
        itself = PairSet(torch.arange(size + 1), torch.arange(size), size)
        return ranking.recommend(Embeddings(unit, unit), ids, k, itself)

    def _ranked(self, z: Embeddings, users: Tensor, k: int, seen: PairSet, exclude: Any,
                candidates: Any) -> Recommendations:
        mask = self.candidates
        if candidates is not None:
            only = torch.zeros(self.num_items, dtype=torch.bool)
            only[check_user_ids('candidates', candidates, self.num_items)] = True
            mask = only if mask is None else mask & only
        if exclude is not None:
            mask = torch.ones(self.num_items, dtype=torch.bool) if mask is None else mask.clone()
            mask[check_user_ids('exclude', exclude, self.num_items)] = False
        found = ranking.recommend(z, users, k, seen, mask)
        score = found.score / self.temperature
        if not bool((score.isfinite() | (found.item < 0)).all()):
            raise ValueError(f"'temperature' is {self.temperature}, with which scores exceed the "
                             f"largest {score.dtype}; raise it")
        return Recommendations(found.item, score)

    def _pairs_of(self, items: Any) -> Tensor:
        r"""The pairs ``[2, E]`` of new users, numbered along ``items``, and their items."""
        if not isinstance(items, (list, tuple)) or len(items) == 0:
            raise ValueError(f"'items' is {shown(items)}, but needs to be a list with the item ids "
                             f"of each user: [[3, 5], [8]]")
        ids = []
        for number, own in enumerate(items):
            name = f'items[{number}]'
            check_instance(name, own, (list, tuple, np.ndarray, Tensor),
                           'the item ids of one user, as a list or a tensor')
            ids.append(check_user_ids(name, own, self.num_items))
            if ids[-1].numel() == 0:
                raise ValueError(f"'{name}' is empty, but nothing is known of a user without "
                                 f"items; leave the user out")
        count = torch.tensor([each.numel() for each in ids])
        return torch.stack([torch.repeat_interleave(torch.arange(len(ids)), count), torch.cat(ids)])

    def _ridge(self, total: Tensor, ridge: float) -> Tensor:
        item = self.vectors.item.double()
        gram = item.t() @ item
        # Without any length the solution is zero, whatever the penalty.
        penalty = float(gram.trace()) / gram.size(0) * ridge or 1.
        gram.diagonal().add_(penalty)
        return torch.linalg.solve(gram, total.double().t()).t().to(total.dtype).contiguous()

    def __repr__(self) -> str:
        return (f'{self.__class__.__name__}({self.num_users} users, {self.num_items} items, '
                f'{self.vectors.user.size(1)} dimensions)')
