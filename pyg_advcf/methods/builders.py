r"""Published methods that are a criterion over a backbone, one small function each.

``methods.infonce(backbone)`` is ``Recommender(backbone, InfoNCE(), Cosine(0.1), l2=1e-5)``. The
docstring of a builder is made of that of its criterion, where the arguments are explained.
"""
import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, Optional

import torch
from torch import Tensor

from pyg_advcf import criteria, nn
from pyg_advcf._checks import check_bool, check_positive
from pyg_advcf.criteria.adaptau import base_temperature
from pyg_advcf.criteria.sdro import popularity_groups
from pyg_advcf.methods.recommender import Recommender
from pyg_advcf.methods.views import ViewRecommender
from pyg_advcf.nn import Backbone, Cosine
from pyg_advcf.nn.backbone import check_backbone
from pyg_advcf.record import recorded
from pyg_advcf.registry import METHODS

_ARGUMENTS = {
    'backbone': 'Computes the embeddings; it has the graph and the degrees.',
    'temperature': r':math:`\tau > 0` that scores are divided by.',
    'l2': 'Weight of the L2 term on the rows of the batch.',
}


def _documented_arguments(text: str) -> dict[str, str]:
    r"""The entries of a docstring's section ``Args``."""
    section = re.search(r'Args:\n((?:    .*\n|\n)*)', text + '\n')
    entries = re.split(r'^    (?=\w+: )', section.group(1) if section else '', flags=re.M)[1:]
    return {name: ' '.join(rest.split())
            for name, _, rest in (entry.partition(': ') for entry in entries)}


def method(criterion: type, example: str = 'MF(data, dim=8)', epochs: int = 2,
           **arguments: str) -> Callable:
    r"""Registers a builder under its name, and writes its docstring from that of its criterion.

    Args:
        criterion: The criterion, or whatever class explains the method.
        example: A backbone for the example.
        epochs: Epochs of the example.
        **arguments: What arguments mean that neither the criterion nor all methods have.
    """
    def decorate(build: Callable) -> Callable:
        text = inspect.getdoc(criterion)
        known = {**_documented_arguments(text), **_ARGUMENTS, **arguments}
        package = criterion.__module__.split('.')[1]
        own = inspect.getdoc(build)
        summary = text.split('\n\n')[0] if own is None else own
        lines = [summary, '', f'See :class:`pyg_advcf.{package}.{criterion.__name__}`.', '']
        names = inspect.signature(build).parameters
        lines += ['Args:', *(f'    {name}: {known[name]}' for name in names)]
        lines += ['', 'Raises:', '    ValueError: If an argument is out of range or unknown.', '',
                  'Example:',
                  '    >>> from pyg_advcf import MF, InteractionLoader, fit, methods, nn',
                  '    >>> from pyg_advcf.datasets import SyntheticExposure',
                  '    >>> data = SyntheticExposure(num_users=50, num_items=40)[0]',
                  f'    >>> recommender = methods.{build.__name__}({example})',
                  '    >>> loader = InteractionLoader(data, num_neg=8)',
                  f'    >>> history = fit(recommender, loader, epochs={epochs}, progress=False)',
                  '    >>> recommender.recommend([0, 1], k=3).item.shape',
                  '    torch.Size([2, 3])']
        build.__doc__ = '\n'.join(lines)

        @functools.wraps(build)
        def checked(backbone: Backbone, *args: Any, **kwargs: Any) -> Recommender:
            return build(check_backbone('backbone', backbone), *args, **kwargs)

        return METHODS.register(build.__name__)(recorded(checked))

    return decorate


@method(criteria.BPR)
def bpr(backbone: Backbone, l2: float = 1e-4) -> Recommender:
    return Recommender(backbone, criteria.BPR(), l2=l2)


@method(criteria.BCE)
def bce(backbone: Backbone, neg_weight: float = 1., l2: float = 1e-4) -> Recommender:
    return Recommender(backbone, criteria.BCE(neg_weight), l2=l2)


@method(criteria.Hinge)
def hinge(backbone: Backbone, margin: float = 1., l2: float = 1e-4) -> Recommender:
    return Recommender(backbone, criteria.Hinge(margin), l2=l2)


@method(criteria.WARP)
def warp(backbone: Backbone, margin: float = 1., l2: float = 1e-4) -> Recommender:
    return Recommender(backbone, criteria.WARP(backbone.num_items, margin), l2=l2)


@method(criteria.InfoNCE)
def infonce(backbone: Backbone, temperature: float = 0.1, l2: float = 1e-5,
            log_q: float = 0.) -> Recommender:
    criterion = criteria.InfoNCE(log_q=log_q, popularity=backbone.degrees[1])
    return Recommender(backbone, criterion, Cosine(temperature), l2)


@method(criteria.DCL)
def dcl(backbone: Backbone, temperature: float = 0.1, l2: float = 1e-5) -> Recommender:
    return Recommender(backbone, criteria.DCL(), Cosine(temperature), l2)


@method(criteria.InfoL1O)
def infol1o(backbone: Backbone, temperature: float = 0.1, l2: float = 1e-5) -> Recommender:
    return Recommender(backbone, criteria.InfoL1O(), Cosine(temperature), l2)


@method(criteria.SupCon)
def supcon(backbone: Backbone, temperature: float = 0.1, l2: float = 1e-5) -> Recommender:
    return Recommender(backbone, criteria.SupCon(), Cosine(temperature), l2)


@method(criteria.CCL)
def ccl(backbone: Backbone, weight: float = 1., margin: float = 0.4,
        l2: float = 1e-5) -> Recommender:
    return Recommender(backbone, criteria.CCL(weight, margin), l2=l2)


@method(criteria.BSL, temperature=r':math:`\tau_2 > 0` of the negatives.',
        pos_temperature=r':math:`\tau_1 > 0` of the positives; that of the negatives by default.')
def bsl(backbone: Backbone, temperature: float = 0.1, pos_temperature: Optional[float] = None,
        l2: float = 1e-5) -> Recommender:
    check_positive('temperature', temperature)
    pos_temperature = temperature if pos_temperature is None else pos_temperature
    return Recommender(backbone, criteria.BSL(pos_temperature, temperature), l2=l2)


@method(criteria.DirectAU)
def directau(backbone: Backbone, gamma: float = 1., unique: bool = False,
             l2: float = 1e-5) -> Recommender:
    return Recommender(backbone, criteria.DirectAU(gamma, unique), l2=l2)


@method(criteria.AdapTau, epochs=21)
def adaptau(backbone: Backbone, beta: float = 1., warmup_epochs: int = 20,
            l2: float = 1e-5) -> Recommender:
    criterion = criteria.AdapTau(backbone.num_users, beta, warmup_epochs)
    criterion.update(base_temperature(backbone.graph))
    return Recommender(backbone, criterion, l2=l2)


@method(criteria.SDRO, group='The group of every user, ``[num_users]``; niche, diverse and '
                             'blockbuster tastes by default.')
def sdro(backbone: Backbone, temperature: float = 0.1, step: float = 0.01, rate: float = 0.01,
         group: Optional[Tensor] = None, l2: float = 1e-5) -> Recommender:
    if group is None:  # Not every kind of taste needs to occur.
        group = popularity_groups(backbone.graph).unique(return_inverse=True)[1]
    return Recommender(backbone, criteria.SDRO(group, step, rate), Cosine(temperature), l2)


@method(criteria.BIR)
def bir(backbone: Backbone, num_draws: Optional[int] = None, l2: float = 1e-4) -> Recommender:
    return Recommender(backbone, criteria.BIR(backbone.degrees[1], num_draws), l2=l2)


@method(criteria.XIR)
def xir(backbone: Backbone, cache_size: int = 2048, weight: float = 0.5,
        l2: float = 1e-4) -> Recommender:
    return Recommender(backbone, criteria.XIR(backbone.degrees[1], cache_size, weight), l2=l2)


@method(criteria.AdvInfoNCE)
def advinfonce(backbone: Backbone, temperature: float = 0.1, k: float = 64.,
               hardness: str = 'embed', l2: float = 1e-5, adversary_l2: float = 0.,
               exponent: float = 0.5) -> Recommender:
    criterion = criteria.AdvInfoNCE(
        backbone.num_users, backbone.num_items, backbone.dim, k, hardness,
        popularity=backbone.degrees[1], adversary_l2=adversary_l2, exponent=exponent)
    return Recommender(backbone, criterion, Cosine(temperature), l2)


@method(criteria.AdvInfoNCE)
def uniform(backbone: Backbone, temperature: float = 0.1, k: float = 64.,
            l2: float = 1e-5) -> Recommender:
    r"""The control of AdvInfoNCE: :math:`\delta = 0`, only the constant :math:`\ln k` remains."""
    return advinfonce(backbone, temperature, k, 'uniform', l2)


@method(criteria.ConstrainedBCE, 'nn.UltraGCN(data, dim=8)')
def ultragcn(backbone: Backbone,
             weights: tuple[float, float, float, float] = (1e-6, 1., 1e-6, 1.),
             neg_weight: float = 300., l2: float = 1e-4) -> Recommender:
    r"""UltraGCN, weights in place of propagation, `arXiv 2110.15114
    <https://arxiv.org/abs/2110.15114>`_.

    Published over :class:`pyg_advcf.nn.UltraGCN`, which adds the term of similar items; over any
    other backbone that term is missing. The paper sums over a batch of :math:`B` and decays the
    whole tables; here both terms are means and the L2 term is that of the batch's rows.
    """
    factors = (t.to(torch.get_default_dtype())
               for t in criteria.constraint_weights(*backbone.degrees))
    return Recommender(backbone, criteria.ConstrainedBCE(*factors, weights, neg_weight), l2=l2)


@method(nn.LightGCL, 'nn.LightGCL(data, dim=8)', temperature=r':math:`\tau > 0` of the contrast.',
        weight=r'Weight :math:`\lambda \geq 0` of the contrast.',
        scope="Negatives of the contrast without ``official_loss``: ``'batch'`` or ``'all'`` "
              "nodes.",
        official_loss="Whether to contrast as the authors' code does: "
                      ":class:`~pyg_advcf.criteria.ClampedViewInfoNCE`.")
def lightgcl(backbone: Backbone, temperature: float = 0.2, weight: float = 0.2,
             scope: str = 'batch', official_loss: bool = False,
             l2: float = 1e-4) -> ViewRecommender:
    r"""LightGCL, the low-rank graph as view, `arXiv 2302.08191
    <https://arxiv.org/abs/2302.08191>`_.

    .. math::
        L = L_{BPR}(Z) + \lambda\, L_{\mathrm{ViewInfoNCE}}(G, Z)

    where :math:`G` are the embeddings over the truncated singular value decomposition of the graph.
    The paper decays the whole tables with 1e-7 in place of the L2 term.
    """
    check_bool('official_loss', official_loss)
    contrast = criteria.ViewInfoNCE(temperature, scope)
    if official_loss:
        contrast = criteria.ClampedViewInfoNCE(temperature)
    return ViewRecommender(backbone, contrast, weight, l2=l2, requires=['low_rank_view'])


@method(nn.DCCF, 'nn.DCCF(data, dim=8, num_intents=4)',
        temperature=r':math:`\tau > 0` of the contrast.',
        weight=r'Weight :math:`\lambda \geq 0` of the contrast.',
        l2=r"Weight of the L2 term. The paper's :math:`\lambda_e` = 2.5e-5 applies to the sum over "
           r"a batch of :math:`B`, which is ``l2`` = :math:`2 B \lambda_e`: 0.1 for 2048.")
def dccf(backbone: Backbone, temperature: float = 1., weight: float = 0.1,
         l2: float = 0.1) -> ViewRecommender:
    r"""DCCF, contrast with intents and adaptive masks, `arXiv 2305.02759
    <https://arxiv.org/abs/2305.02759>`_.

    .. math::
        L = L_{BPR}(Z) + \lambda \sum_{l} \sum_{Y \in \{I, \hat{G}, \hat{I}\}}
            L_{\mathrm{ViewInfoNCE}}(G^{(l)}, Y^{(l)})

    over the views of every layer of the backbone, which regularises its intents itself.
    """
    return ViewRecommender(backbone, criteria.ViewInfoNCE(temperature), weight, l2=l2,
                           requires=['intents'])
