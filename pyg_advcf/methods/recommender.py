r"""What all methods share: backbone, criterion and similarity composed into ``forward(batch)``."""
from collections.abc import Iterable
from typing import Any, Optional, Union

import torch
from torch import Tensor, nn

from pyg_advcf import saving
from pyg_advcf._checks import check_bool, check_count, check_names, check_positive, shown
from pyg_advcf.batch import Batch, check_batch
from pyg_advcf.criteria import Criterion, EmbeddingCriterion, EmbeddingL2
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.files import PathLike
from pyg_advcf.folders import check_new_folder
from pyg_advcf.nn import Backbone, Dot, Recommendations, Similarity
from pyg_advcf.nn.backbone import FEATURES, check_backbone
from pyg_advcf.nn.similarity import check_similarity
from pyg_advcf.record import Recorded
from pyg_advcf.retriever import Retriever


class UnsupportedBackbone(ValueError):
    r"""The backbone lacks something that the method requires."""


def described(recommender: 'Recommender') -> str:
    r"""The classes of a recommender and of its criterion, which tell methods apart."""
    return f'{recommender.__class__.__name__} with {recommender.criterion.__class__.__name__}'


class Recommender(Recorded, nn.Module):
    r"""A trainable method: ``recommender(batch) -> loss``, ``recommender.recommend(user_ids, k)``.

    .. math::
        L = L_{criterion}(s^+, s^-) + \lambda R + L_{backbone}

    with the scores of the similarity, the L2 term :math:`R` of
    :class:`~pyg_advcf.criteria.EmbeddingL2`, and what the backbone adds to any loss. Any criterion
    will do, also your own: a :class:`torch.nn.Module` that is called as ``criterion(pos, neg,
    batch)``. :func:`pyg_advcf.fit` trains it.

    Args:
        backbone: Computes the embeddings; it has the graph and the degrees.
        criterion: Turns scores into a loss.
        similarity: Scores pairs, in training and in ranking; by default the one that the criterion
            was published with.
        l2: Weight :math:`\lambda \geq 0` of the L2 term.
        l2_negatives: Whether the rows of negatives count there; by default if the criterion was
            published with one negative per positive.
        requires: What the method requires of the backbone: names of
            ``pyg_advcf.nn.backbone.FEATURES``.

    Attributes:
        negatives: ``'one'``, ``'many'`` or ``'none'``: the sampled negatives that the criterion was
            published with; see :class:`~pyg_advcf.criteria.Criterion`.
        warmup_epochs: Epochs of another training before the method begins.
        single_pass: Whether a call in training mode records something, so that a training step may
            call it only once.

    Raises:
        UnsupportedBackbone: If the backbone lacks what the method requires; a :class:`ValueError`.
        ValueError: If ``l2`` is negative.

    Example:
        >>> from pyg_advcf import InteractionLoader, LightGCN, fit
        >>> from pyg_advcf.criteria import InfoNCE
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=50, num_items=40)[0]
        >>> recommender = Recommender(LightGCN(data, dim=8), InfoNCE(), l2=1e-5)
        >>> recommender.similarity
        Cosine(temperature=0.1)
        >>> history = fit(recommender, InteractionLoader(data, num_neg=8), epochs=2, progress=False)
        >>> recommender.recommend([0, 1], k=3).item.shape
        torch.Size([2, 3])
    """
    def __init__(
        self,
        backbone: Backbone,
        criterion: nn.Module,
        similarity: Optional[Similarity] = None,
        l2: float = 0.,
        l2_negatives: Optional[bool] = None,
        requires: Iterable[str] = (),
    ) -> None:
        super().__init__()
        check_backbone('backbone', backbone)
        if isinstance(criterion, type) or not isinstance(criterion, nn.Module):
            raise ValueError(f"'criterion' is {shown(criterion)}, but needs to be a module that is "
                             f"called as criterion(pos, neg, batch), such as BPR()")
        if similarity is not None:
            check_similarity('similarity', similarity)
        if l2_negatives is not None:
            check_bool('l2_negatives', l2_negatives)
        for feature in check_names('requires', requires, FEATURES):
            if feature not in backbone.features:
                lacks, remedy = FEATURES[feature]
                raise UnsupportedBackbone(
                    f"'backbone' is {backbone!r}, which {lacks}, but {self.__class__.__name__} "
                    f"needs that; use {remedy}")
        self.backbone = backbone
        if similarity is None:
            similarity = (criterion.default_similarity() if isinstance(criterion, Criterion)
                          else Dot())
        self.similarity = similarity
        self.criterion = criterion
        self.negatives = getattr(criterion, 'negatives', Criterion.negatives)
        self.warmup_epochs = getattr(criterion, 'warmup_epochs', 0)
        self.single_pass = getattr(criterion, 'single_pass', False)
        check_positive('l2', l2, zero=True)
        self.epoch: Optional[int] = None
        self.l2 = EmbeddingL2(l2, self.negatives == 'one' if l2_negatives is None else l2_negatives)

    def __call__(self, batch: Batch) -> Tensor:
        r"""Checks the batch and computes its loss by :meth:`forward`."""
        return super().__call__(check_batch(batch, self.backbone.num_users,
                                            self.backbone.num_items, negatives=False))

    def on_epoch_start(self, epoch: int) -> None:
        r"""Starts the 0-based epoch; :func:`~pyg_advcf.training.fit` calls it before each."""
        self.epoch = check_count('epoch', epoch, minimum=0)
        if isinstance(self.criterion, Criterion):
            self.criterion.on_epoch_start(epoch, self)

    def current_epoch(self) -> int:
        r"""The 0-based epoch, for a method that changes with it; past the warm-up in evaluation.

        Raises:
            RuntimeError: If no epoch was started, so that the method would never begin.
        """
        if self.epoch is None and self.training:
            raise RuntimeError(f"{described(self)} is trained on a schedule of epochs, but "
                               f"no epoch was started: call 'on_epoch_start' of the step, or of "
                               f"the recommender, before each epoch of a custom loop, or train "
                               f"with 'fit'")
        return self.warmup_epochs if self.epoch is None else self.epoch

    def forward(self, batch: Batch) -> Tensor:
        r"""The loss of a batch."""
        if self.warmup_epochs > 0:
            self.current_epoch()
        batch = self.with_own_negatives(batch)
        z = self.backbone.encode(batch)
        return self.ranking_loss(z, batch) + self.penalty(batch, z)

    def with_own_negatives(self, batch: Batch) -> Batch:
        r"""The batch, with the negatives that the criterion chooses itself, if it does.

        Known positives of a row's user are excluded.
        """
        check_batch(batch)
        pool = self.criterion.pool(batch) if isinstance(self.criterion, Criterion) else None
        if pool is None:
            return batch
        return batch._replace(neg_item=pool, rows=None,
                              neg_mask=~self.backbone.known.among(batch.user, pool))

    def ranking_loss(self, z: Embeddings, batch: Batch) -> Tensor:
        r"""The loss of the criterion at the embeddings ``z``, which hold the rows of the batch."""
        if isinstance(self.criterion, EmbeddingCriterion):
            return self.criterion(z, batch)
        pos, neg = self.similarity(z, batch)
        return self.criterion(pos, neg, batch, **self._tables())

    def _tables(self) -> dict[str, Embeddings]:
        return {'x': self.backbone.x} if getattr(self.criterion, 'needs_tables', False) else {}

    def penalty(self, batch: Batch, z: Optional[Embeddings] = None) -> Union[Tensor, float]:
        r"""The L2 term of the batch's rows, and what the backbone adds to any loss.

        Args:
            batch: The batch of the loss.
            z: The embeddings behind the loss, which spare a backbone a second pass.
        """
        penalty = self.backbone.penalty(batch, z)
        penalty = 0. if penalty is None else penalty
        return penalty if self.l2.weight == 0. else penalty + self.l2(self.backbone.x, batch)

    def adversary_parameters(self) -> list[nn.Parameter]:
        r"""Parameters of an adversary, which :class:`~pyg_advcf.training.MinMaxStep` trains."""
        return (self.criterion.adversary_parameters() if isinstance(self.criterion, Criterion)
                else [])

    def adversary_loss(self, batch: Batch, z: Embeddings) -> tuple[Tensor, dict[str, Tensor]]:
        r"""What the adversary minimises on a batch, and what is worth logging of it.

        Args:
            batch: A fresh batch.
            z: Embeddings of the frozen recommender, put through
                :meth:`~pyg_advcf.nn.Similarity.prepare` once per pass of the adversary.
        """
        pos, neg = Dot(self.similarity.temperature)(z, batch)
        return self.criterion.adversary_loss_and_log(pos, neg, batch, **self._tables())

    def outer_parameters(self) -> list[nn.Parameter]:
        r"""Parameters of an outer problem, for :class:`~pyg_advcf.training.BilevelStep`."""
        return []

    @torch.no_grad()
    def embeddings(self) -> Embeddings:
        r"""Final embeddings of all users and items in evaluation mode, detached."""
        return self.backbone.embeddings()

    def recommend(self, user_ids: Tensor, k: int = 10, **kwargs: Any) -> Recommendations:
        r"""The ``k`` best items of each user; see :meth:`pyg_advcf.nn.Backbone.recommend`."""
        return self.backbone.recommend(user_ids, k, similarity=self.similarity, **kwargs)

    def save(self, folder: PathLike, overwrite: bool = False) -> None:
        r"""Writes all that :func:`pyg_advcf.load` needs to build this recommender again.

        The folder holds the weights and the interactions with their splits (safetensors), and the
        arguments that the backbone, the criterion, the similarity and the method were built with
        (JSON), with a digest of every file. The state of an optimizer is not part of it: that is
        what the checkpoints of :func:`~pyg_advcf.training.fit` have.

        Args:
            folder: The folder, which must not be there yet.
            overwrite: Whether to replace a folder that this method wrote.

        Raises:
            ValueError: If the folder is there already, an argument cannot be saved (a module that
                is not :class:`~pyg_advcf.record.Recorded`, a class within a function), or the
                interactions were changed after the backbone was built.
            OSError: If the folder cannot be written.
        """
        saving.save(self, folder, overwrite)

    def export(self, folder: PathLike, overwrite: bool = False) -> None:
        r"""Writes all that :meth:`pyg_advcf.Retriever.load` needs to recommend as this one does.

        The folder holds the vectors of users and items as they are ranked, the items that each
        user has seen, and the candidates; neither the model nor its graph.

        Args:
            folder: The folder, which must not be there yet.
            overwrite: Whether to replace a folder that this library wrote.

        Raises:
            ValueError: If the folder is there already (with ``overwrite``: and holds something
                else), or the scores might not be finite.
            OSError: If the folder cannot be written.
        """
        check_new_folder(folder, overwrite)  # Before any work.
        Retriever.of(self).save(folder, overwrite)
