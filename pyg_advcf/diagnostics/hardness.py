r"""What the adversary of AdvInfoNCE does: hardness by popularity, and false negatives."""
from typing import NamedTuple, Optional

import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.typing import EdgeType

from pyg_advcf._checks import check_count, check_instance, check_mask
from pyg_advcf.interactions import degrees, num_nodes, validate_for
from pyg_advcf.loader import InteractionLoader
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.nn.backbone import check_fits


class HardnessReport(NamedTuple):
    r"""Hardness of sampled negatives.

    Attributes:
        popularity: Mean training degree of the negatives of each bin, ``[bins]``.
        hardness: Mean :math:`N p_j` of each bin; 1 is neutral.
        std: Standard deviation within each bin.
        count: Negatives in each bin.
        kl_uniform_p: Mean :math:`KL(P_0 \| P)`, of the paper's theorem.
        kl_p_uniform: Mean :math:`KL(P \| P_0)`, what the authors' code logs.
        false_negative_rate: Share of known false negatives with :math:`\delta < 0`; ``nan``
            without any.
        chance_rate: Share of *all* negatives with :math:`\delta < 0`, the chance level of
            ``false_negative_rate``.
    """
    popularity: Tensor
    hardness: Tensor
    std: Tensor
    count: Tensor
    kl_uniform_p: float
    kl_p_uniform: float
    false_negative_rate: float
    chance_rate: float


@torch.no_grad()
def hardness_report(
    method,
    data: HeteroData,
    false_negatives: Optional[Tensor] = None,
    num_neg: int = 64,
    bins: int = 10,
    batch_size: int = 1024,
    seed: int = 0,
    edge_type: Optional[EdgeType] = None,
) -> HardnessReport:
    r"""Samples uniform negatives for every training interaction and measures their hardness.

    Args:
        method: A method whose criterion has ``log_hardness(batch, x)``, as
            :func:`~pyg_advcf.methods.advinfonce`.
        data: Interactions.
        false_negatives: ``[users, items]``, ``True`` where a user likes an item that is not in
            training (``data.relevant`` of :class:`~pyg_advcf.datasets.SyntheticExposure`).
        num_neg: :math:`N`.
        bins: Bins of equally many items, by popularity.
        batch_size: Interactions at once.
        seed: Seed of the draws.
        edge_type: Which edges are the interactions; see
            :func:`~pyg_advcf.interactions.resolve_edge_type`.

    Raises:
        ValueError: If the method has no hardness, or an argument is out of range.

    Example:
        >>> from pyg_advcf import MF, methods
        >>> from pyg_advcf.datasets import SyntheticExposure
        >>> data = SyntheticExposure(num_users=99, num_items=40)[0]
        >>> method = methods.advinfonce(MF(data, dim=8), hardness='uniform')
        >>> hardness_report(method, data, data.relevant, bins=3).hardness
        tensor([1., 1., 1.], dtype=torch.float64)
    """
    data = validate_for(method, data, edge_type)
    check_instance('method', method, Recommender, 'a recommender, as methods.advinfonce(backbone)')
    if not hasattr(method.criterion, 'log_hardness'):
        raise ValueError(f"'method' is {method.__class__.__name__}, which learns no hardness")
    check_fits(method.backbone, data)
    num_users, num_items = num_nodes(data)
    if check_count('bins', bins) > num_items:
        raise ValueError(f"'bins' is {bins}, but there are only {num_items} items; lower 'bins'")
    if false_negatives is not None:
        check_mask('false_negatives', false_negatives, (num_users, num_items))
    loader = InteractionLoader(data, batch_size, num_neg, seed=seed)
    popularity = degrees(data)[1]
    order = torch.argsort(popularity, stable=True)
    bin_of = torch.empty_like(order)
    bin_of[order] = torch.arange(num_items, device=order.device) * bins // num_items
    sums = torch.zeros(4, bins, dtype=torch.float64, device=order.device)
    kl = torch.zeros(2, dtype=torch.float64, device=order.device)
    looser = torch.zeros(4, dtype=torch.float64, device=order.device)
    for batch in loader:
        delta = method.criterion.log_hardness(batch, method.backbone.x).double()
        weight, index = delta.exp().view(-1), bin_of[batch.neg_item].view(-1)
        values = (torch.ones_like(weight), weight, weight.square(),
                  popularity[batch.neg_item].view(-1).double())
        for total, value in zip(sums, values):
            total.index_add_(0, index, value)
        kl += torch.stack([-delta.mean(1).sum(), (delta.exp() * delta).mean(1).sum()])
        below = delta < 0
        looser[:2] += torch.stack([below.sum(), below.new_tensor(below.numel(), dtype=torch.long)])
        if false_negatives is not None:
            hidden = false_negatives[batch.user.unsqueeze(1), batch.neg_item]
            looser[2:] += torch.stack([(below & hidden).sum(), hidden.sum()])
    count, first, second, degree = sums
    mean = first / count
    kl /= loader.user.numel()
    return HardnessReport(
        popularity=degree / count, hardness=mean,
        std=(second / count - mean.square()).clamp(min=0).sqrt(), count=count.long(),
        kl_uniform_p=float(kl[0]), kl_p_uniform=float(kl[1]),
        false_negative_rate=float(looser[2] / looser[3]), chance_rate=float(looser[0] / looser[1]))


def plot_hardness(reports: dict[str, HardnessReport], path=None):
    r"""Plots mean hardness against item popularity, a line per report.

    Args:
        reports: Reports by label.
        path: File to write; the figure is returned in any case.
    """
    check_instance('reports', reports, dict, 'a dictionary from labels to reports')
    for label, report in reports.items():
        check_instance(f'reports[{label!r}]', report, HardnessReport, 'a HardnessReport')
    import matplotlib.pyplot as plt
    fig, ax = plt.subplots(figsize=(6, 4), layout='constrained')
    for label, report in reports.items():
        x, y, e = (t.cpu().numpy() for t in (report.popularity, report.hardness, report.std))
        line, = ax.plot(x, y, marker='o', label=label)
        ax.fill_between(x, y - e, y + e, alpha=0.15, color=line.get_color())
    ax.axhline(1., color='grey', linestyle='--', linewidth=1, label='no adversary')
    ax.set_xlabel('item popularity (training degree, mean of the bin)')
    ax.set_ylabel(r'hardness $N p_j = e^{\delta_j}$ (mean and s.d.)')
    ax.legend()
    if path is not None:
        fig.savefig(path, dpi=120)
    return fig
