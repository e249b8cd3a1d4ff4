r"""Loss landscapes around trained embeddings, and the sharpness of the minimum."""
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Union

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pyg_advcf._checks import check_bool, check_count, check_instance, check_positive, check_seed
from pyg_advcf._modes import evaluation_mode
from pyg_advcf.batch import Batch, check_batch
from pyg_advcf.embeddings import Embeddings
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.transforms.perturb import ProjectedGradient

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass
class Landscape:
    r"""Losses over a line or a plane through the parameters.

    Attributes:
        offset: Distances from the parameters, in lengths of the rows, ``[steps]``.
        loss: ``[steps]``, or ``[steps, steps]`` over two directions (the second along the columns).
    """
    offset: Tensor
    loss: Tensor


def _losses(method: Recommender, batch: Batch, x: Embeddings) -> Tensor:
    devices = [x.user.device] if x.user.device.type == 'cuda' else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(0)  # A criterion that samples draws the same at every point.
        return method.ranking_loss(method.backbone(x=x), batch)


def _direction(x: Embeddings, generator: torch.Generator) -> Embeddings:
    r"""A random direction whose rows are as long as the rows of the tables."""
    rows = []
    for table in x:
        noise = torch.randn(table.shape, generator=generator).to(table)
        rows.append(noise * (table.norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True)))
    return Embeddings(*rows)


@torch.no_grad()
def loss_landscape(
    method: Recommender,
    batch: Batch,
    span: float = 1.,
    steps: int = 21,
    directions: int = 1,
    seed: int = 0,
    progress: bool = True,
) -> Landscape:
    r"""The ranking loss of fixed triplets along random directions, rows normalised.

    Each row of a direction is as long as the same row of the table, so that models of different
    size compare (filter normalisation, `arXiv 1712.09913 <https://arxiv.org/abs/1712.09913>`_).
    The parameters stay as they are, and so does what a criterion records in training: the loss is
    that of evaluation mode.

    Args:
        method: A trained method; its criterion is measured, without regularisers.
        batch: The triplets; a criterion that chooses its negatives itself does so once.
        span: Farthest offset, in lengths of the rows.
        steps: Points along a direction, an odd number of at least 3, which holds the centre.
        directions: 1 for a line, 2 for a plane.
        seed: Of the directions; equal for all methods to be compared.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: If an argument is out of range.
    """
    check_instance('method', method, Recommender, 'a recommender of pyg_advcf.methods')
    batch = check_batch(batch, method.backbone.num_users, method.backbone.num_items)
    check_positive('span', span)
    check_seed('seed', seed)
    check_bool('progress', progress)
    check_count('steps', steps, minimum=3)
    if steps % 2 == 0:
        raise ValueError(f"'steps' is {steps}, but needs to be odd, so that the centre is a point")
    check_count('directions', directions, maximum=2)
    generator = torch.Generator().manual_seed(seed)
    x = method.backbone.x
    axes = [tuple(_direction(x, generator)) for _ in range(directions)]
    offset = torch.linspace(-span, span, steps)
    points = torch.cartesian_prod(*[offset] * directions).view(-1, directions)
    batch = method.with_own_negatives(batch)
    with evaluation_mode(method):
        losses = [float(_losses(method, batch, Embeddings(*(
            table + sum(float(t) * axis[side] for t, axis in zip(point, axes))
            for side, table in enumerate(x)))))
            for point in tqdm(points, desc='landscape', disable=not progress, leave=False)]
    return Landscape(offset, torch.tensor(losses).view([steps] * directions))


def sharpness(
    method: Recommender,
    batch: Batch,
    rho: float = 0.5,
    steps: int = 10,
    norm: str = 'global',
) -> float:
    r"""The largest rise of the loss, :math:`\max_{\|\Delta\| \leq \rho} L(E + \Delta) - L(E)`.

    The maximum is sought by projected gradient ascent, so the figure is a lower bound. The loss is
    that of evaluation mode.

    Args:
        method: A trained method; its criterion is measured, without regularisers.
        batch: The triplets.
        rho: Radius :math:`\rho \geq 0`, in units of the embeddings.
        steps: Steps of the ascent.
        norm: What ``rho`` measures; see :class:`~pyg_advcf.transforms.Perturbation`.

    Raises:
        ValueError: If ``rho`` is negative, ``steps`` below 1 or ``norm`` unknown.
    """
    check_instance('method', method, Recommender, 'a recommender of pyg_advcf.methods')
    batch = check_batch(batch, method.backbone.num_users, method.backbone.num_items)
    check_positive('rho', rho, zero=True)
    x = method.backbone.x.detach()
    ascent = ProjectedGradient(rho, norm, steps)
    batch = method.with_own_negatives(batch)
    with evaluation_mode(method):
        delta = ascent.delta(x, lambda y: _losses(method, batch, y))
        with torch.no_grad():
            worst = _losses(method, batch, x.map(torch.add, delta))
            return max(float(worst - _losses(method, batch, x)), 0.)


def plot_landscape(landscapes: dict[str, Landscape], path: Union[str, Path, None] = None,
                   ax: Optional['Axes'] = None) -> 'Axes':
    r"""Plots the rise of the loss above its centre; a plane is averaged over all angles.

    Args:
        landscapes: By label.
        path: File to save the figure to.
        ax: Axes to draw on; a new figure by default.
    """
    check_instance('landscapes', landscapes, dict, 'a dictionary from labels to landscapes')
    for label, landscape in landscapes.items():
        check_instance(f'landscapes[{label!r}]', landscape, Landscape, 'a Landscape')
    if not landscapes:
        raise ValueError("'landscapes' is empty: there is nothing to draw")
    import matplotlib.pyplot as plt
    own = ax is None
    if own:
        _, ax = plt.subplots(figsize=(4.6, 3.4), layout='constrained')
    for label, landscape in landscapes.items():
        offset, loss = landscape.offset.numpy(), landscape.loss.numpy()
        if loss.ndim == 2:
            radius = np.hypot(*np.meshgrid(offset, offset))
            # The last bin holds its end.
            edges = np.linspace(0, offset.max() * (1 + 1e-6), len(offset) // 2 + 2)
            bins = np.digitize(radius.ravel(), edges)
            keep = [b for b in range(1, len(edges)) if (bins == b).any()]
            offset = np.array([radius.ravel()[bins == b].mean() for b in keep])
            loss = np.array([loss.ravel()[bins == b].mean() for b in keep])
        ax.plot(offset, loss - loss[np.abs(offset).argmin()], label=label)
    ax.set_xlabel('distance, in lengths of the rows')
    ax.set_ylabel('rise of the ranking loss')
    ax.legend(fontsize='small')
    if path is not None:
        ax.figure.savefig(path, dpi=110)
        if own:
            plt.close(ax.figure)
    return ax
