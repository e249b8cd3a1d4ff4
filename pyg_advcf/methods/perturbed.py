r"""Embeddings before and after a perturbation of the tables: the engine of APR and ACCF."""
from collections.abc import Callable
from typing import Any, NamedTuple, Optional

import torch
from torch import Tensor

from pyg_advcf.batch import Batch
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.nn import Backbone, Encoder
from pyg_advcf.transforms import Perturbation


class Perturbed(NamedTuple):
    r"""Final embeddings before and after a perturbation of the layer-0 tables.

    Attributes:
        z: Embeddings of the clean tables.
        z_adv: Embeddings of the perturbed tables; ``None`` without a perturbation.
        perturbation: The shift of ``encode.x``; ``None`` without a perturbation.
        encode: The map from tables to embeddings.
        batch: The batch whose loss the perturbation raises.
        outer_batch: Further pairs whose embeddings were encoded in the same pass, if any.
    """
    z: Embeddings
    z_adv: Optional[Embeddings]
    perturbation: Optional[Embeddings]
    encode: Encoder
    batch: Batch
    outer_batch: Optional[Batch]


def perturbed(
    backbone: Backbone,
    objective: Callable[[Embeddings], Tensor],
    perturbation: Optional[Perturbation],
    batch: Batch,
    outer_batch: Optional[Batch] = None,
    fixed: Optional[Embeddings] = None,
    whole: bool = False,
    **kwargs: Any,
) -> Perturbed:
    r"""Final embeddings before and after a perturbation of the layer-0 tables.

    Over a linear backbone :math:`f(E + \Delta) = f(E) + f(\Delta)`: the gradient costs one backward
    pass and the perturbed embeddings one forward pass of :math:`\Delta`, and the gradients of both
    sets of embeddings go back together. Any other backbone is evaluated again.

    Args:
        backbone: Computes the embeddings.
        objective: Maps embeddings to the scalar that the perturbation raises.
        perturbation: Finds :math:`\Delta`; without one only the clean embeddings are computed.
        batch: The batch that the objective measures.
        outer_batch: Pairs whose embeddings are encoded in the same pass; the objective does not
            see them.
        fixed: :math:`\Delta`, if it is known.
        whole: Whether to compute the embeddings of all nodes.
        **kwargs: Keywords of :meth:`pyg_advcf.nn.Backbone.forward`.

    Returns:
        Both sets of embeddings, with gradients to the tables.
    """
    batches = [batch] if outer_batch is None else [batch, outer_batch]
    # Noise of a given size is spread over the tables, not over the rows of the batch.
    if whole or (perturbation is not None and not perturbation.needs_objective):
        batches = []
    with torch.enable_grad():
        encode = backbone.encoder(*batches)
        x, z = encode.x, encode(**kwargs)
    if perturbation is None:
        return Perturbed(z, None, None, encode, batch, outer_batch)

    def gradient(shift: Optional[Embeddings]) -> Embeddings:
        # The derivative at `x` is at hand, and that of a linear map is the same everywhere.
        known = backbone.linear or shift is None
        if shift is None:
            moved = z
        elif known:
            moved = z.map(torch.add, encode(shift, **kwargs))
        else:
            moved = x.map(torch.add, shift)
        with torch.enable_grad():
            point = moved.with_tables(*(t.detach().clone().requires_grad_() for t in moved))
            found = point if known else encode(point, **kwargs)
            grads = torch.autograd.grad(objective(found), tuple(point))
            if known:
                grads = torch.autograd.grad(tuple(z), tuple(x), grads, retain_graph=True)
        return x.with_tables(*grads)

    delta = perturbation.from_gradient(x, gradient, batch) if fixed is None else fixed
    if not backbone.linear:
        return Perturbed(z, encode(x.map(torch.add, delta), **kwargs), delta, encode, batch,
                         outer_batch)
    with torch.no_grad():
        shift = encode(delta, **kwargs)
    return Perturbed(z, z.map(torch.add, shift), delta, encode, batch, outer_batch)
