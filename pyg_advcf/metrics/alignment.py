r"""Alignment and uniformity of embeddings."""
from typing import Any, Optional

import torch
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_bool, check_count, check_seed
from pyg_advcf.criteria.directau import alignment, uniformity
from pyg_advcf.interactions import EDGE_TYPE, held_out, num_nodes, validate_for
from pyg_advcf.metrics.evaluate import final_embeddings
from pyg_advcf.nn.similarity import Cosine
from pyg_advcf.ranking import rankable


@torch.no_grad()
def alignment_uniformity(
    model: Any,
    data: HeteroData,
    split: Optional[str] = None,
    unique: bool = True,
    num_pairs: Optional[int] = None,
    seed: int = 0,
    chunk_size: int = 2048,
    edge_type: Optional[EdgeType] = None,
) -> dict[str, float]:
    r"""Alignment of interacting pairs and uniformity of users and items.

    With embeddings :math:`\hat z` of unit length:

    .. math::
        \text{alignment} = \mathrm{mean}_{(u, i)} \|\hat z_u - \hat z_i\|^2, \qquad
        \text{uniformity}(X) = \log \mathrm{mean}_{a < b}\, e^{-2 \|\hat x_a - \hat x_b\|^2}

    Both are better the lower they are; they lie in [0, 4] and [-8, 0]. From `arXiv 2206.12811
    <https://arxiv.org/abs/2206.12811>`_.

    Args:
        model: A method, a backbone, or :class:`~pyg_advcf.Embeddings`.
        data: Interactions.
        split: The held-out pairs to measure on; the training pairs by default.
        unique: Whether a user or an item counts once in the uniformity, or as often as it
            interacts, which adds pairs at distance 0.
        num_pairs: Measure on a fixed sample of so many pairs, for large data; all by default.
        seed: Of the sample.
        chunk_size: Rows compared at once; memory grows with ``chunk_size`` times the nodes.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Returns:
        ``'alignment'``, ``'uniformity_user'``, ``'uniformity_item'``, and their sum
        ``'uniformity'``, as AdvInfoNCE reports it (DirectAU's loss has half of it).

    Raises:
        ValueError: If the split is unknown or empty, ``num_pairs`` or ``chunk_size`` below 1, or
            the embeddings do not fit the data.

    Example:
        >>> from pyg_advcf import Embeddings, interaction_data
        >>> data = interaction_data(torch.tensor([[0, 1], [0, 1]]), 2, 2)
        >>> found = alignment_uniformity(Embeddings(torch.eye(2), torch.eye(2)), data)
        >>> {name: round(value, 4) for name, value in found.items()}
        {'alignment': 0.0, 'uniformity_user': -4.0, 'uniformity_item': -4.0, 'uniformity': -8.0}
    """
    data = validate_for(model, data, edge_type)
    check_count('chunk_size', chunk_size)
    check_bool('unique', unique)
    check_seed('seed', seed)
    pairs = data[EDGE_TYPE].edge_index if split is None else held_out(data, split)
    # As for a ranking by cosines: of unit length, and no length may overflow.
    z = rankable('model', final_embeddings(model), Cosine(1.), *num_nodes(data))
    if num_pairs is not None and check_count('num_pairs', num_pairs) < pairs.size(1):
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(pairs.size(1), generator=generator)[:num_pairs]
        pairs = pairs[:, order.to(pairs.device)]
    pairs = pairs.long().to(z.user.device)
    # The mean of chunks that may differ in size, without the rows of all pairs at once.
    total = sum(alignment(z.user[user], z.item[item]).double() * user.numel()
                for user, item in zip(*(side.split(chunk_size * 64) for side in pairs)))
    values = {'alignment': float(total) / pairs.size(1)}
    for name, x, ids in (('user', z.user, pairs[0]), ('item', z.item, pairs[1])):
        nodes, count = torch.unique(ids, return_counts=True)
        spread = uniformity(x[nodes].double(), None if unique else count, chunk_size)
        values[f'uniformity_{name}'] = float(spread)
    values['uniformity'] = values['uniformity_user'] + values['uniformity_item']
    return values
