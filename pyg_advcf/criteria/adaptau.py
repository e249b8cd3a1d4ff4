r"""Adap-tau: temperatures read off the data, one for each user."""
import math
from typing import Any, Optional

import torch
import torch.nn.functional as F
from scipy.special import lambertw
from torch import Tensor
from torch_geometric import EdgeIndex

from pyg_advcf._checks import (
    check_count,
    check_degrees,
    check_floats,
    check_graph,
    check_numbers,
    check_positive,
)
from pyg_advcf.batch import Batch
from pyg_advcf.criteria.criterion import Criterion, check_scores
from pyg_advcf.criteria.dcl import dcl
from pyg_advcf.embeddings import Embeddings, check_embeddings
from pyg_advcf.nn.similarity import Cosine, Similarity
from pyg_advcf.ops import spmm
from pyg_advcf.ops.spmm import compressed
from pyg_advcf.registry import CRITERIA

_LEAST = 0.05  # Of the gap between cosines, and of the logarithm: both have to stay above 0.
_WARMUP_GAP = 0.7
_QUANTILE = 0.2


def adaptau(
    pos: Tensor,
    neg: Tensor,
    pos_temperature: Tensor,
    neg_temperature: Tensor,
    reduction: str = 'mean',
) -> Tensor:
    r"""The loss on cosines for given temperatures, a number and ``[B]``; see :class:`AdapTau`."""
    pos, neg = check_scores(pos, neg)
    check_floats('pos_temperature', pos_temperature, ())
    check_floats('neg_temperature', neg_temperature, (pos.size(0), ))
    pos_temperature, neg_temperature = (
        t.detach().to(pos.dtype) for t in (pos_temperature, neg_temperature))
    return dcl(pos / pos_temperature, neg / neg_temperature.unsqueeze(1), reduction)


@torch.no_grad()
def base_temperature(graph: EdgeIndex, z: Optional[Embeddings] = None) -> Tensor:
    r"""The temperature :math:`\tau_0` of all users together; see :class:`AdapTau`.

    Args:
        graph: The training interactions, as :func:`pyg_advcf.interaction_graph` returns them.
        z: Embeddings; without, the gap between their cosines is taken to be 0.7, as in the first
            epochs of the authors' code.

    Returns:
        A float64 scalar.
    """
    check_graph('graph', graph)
    if z is not None:
        check_embeddings('z', z, *graph.sparse_size()).check_complete('z')
    indptr, _ = compressed(graph, False)
    degree = (indptr[1:] - indptr[:-1]).double()
    counted = degree > 0
    # Of the users that have interactions at all; absent ones are sorted to the end.
    rising = torch.where(counted, degree, math.inf).sort()[0]
    place = (counted.sum() - 1) * _QUANTILE
    low, share = place.floor().long(), place - place.floor()
    bound = torch.lerp(rising[low], rising[place.ceil().long()], share.double())
    inside = (counted & (degree >= bound)).double()
    users, pairs = inside.sum(), (inside * degree).sum()
    log = (users * graph.get_sparse_size(1) / (2 * pairs)).log().clamp(min=_LEAST)
    if z is None:
        return _WARMUP_GAP / log
    user, item = (F.normalize(t, dim=-1) for t in z)
    near = ((user * spmm(graph, item)).sum(-1) * inside).sum() / pairs
    far = ((user @ item.mean(0)) * inside).sum() / users
    return (near - far).clamp(min=_LEAST) / log


def user_temperature(loss: Tensor, count: Tensor, base: Tensor, beta: float = 1.0) -> Tensor:
    r"""The temperature :math:`\tau_u` of every user, ``[num_users]``; see :class:`AdapTau`.

    Args:
        loss: Sum of the losses of each user, ``[num_users]``.
        count: How many these are; a user without any has :math:`\tau_0`.
        base: :math:`\tau_0`.
        beta: :math:`\beta > 0`.
    """
    check_degrees('count', count)
    check_floats('loss', loss, (count.numel(), ))
    check_numbers('base', base, ())
    check_positive('beta', beta)
    seen = count > 0
    mean = loss.double() / count.clamp(min=1)
    centre = mean.where(seen, 0.).sum() / seen.sum().clamp(min=1)
    x = ((mean - centre).where(seen, 0.) / beta).clamp(min=-math.exp(-1))
    w = torch.from_numpy(lambertw(x.cpu().numpy()).real).to(x.device)
    return base * w.nan_to_num(nan=-1.).exp()  # SciPy has no value at the branch point itself.


@CRITERIA.register('adaptau')
class AdapTau(Criterion):
    r"""Adap-tau, a temperature for each user, `arXiv 2302.04775 <https://arxiv.org/abs/2302.04775>`_.

    .. math::
        L = \frac{1}{B} \sum_b \Big[ -c^+_b / \tau_0 + \log \sum_j e^{c^-_{bj} / \tau_{u_b}} \Big]

    on cosines :math:`c` (``Cosine(1.)``). The temperatures are constants that :meth:`update` sets
    once per epoch; :func:`~pyg_advcf.training.fit` does so. With the users :math:`U'` whose
    training degree is not in the lowest fifth, and their interactions :math:`O'`:

    .. math::
        \frac{1}{\tau_0} = \frac{\ln \frac{|U'| m}{2 |O'|}}{\mu^+ - \mu}, \qquad
        \tau_u = \tau_0 \exp W\!\left(\max\left(-\tfrac{1}{e},
            \frac{\ell_u - \bar\ell}{\beta}\right)\right)

    where :math:`\mu^+` is the mean cosine of :math:`O'`, :math:`\mu` that of :math:`U'` with all
    items, :math:`W` Lambert's function, and :math:`\ell_u` the mean loss of the user's rows since
    the last update, at temperature 1. Users with larger losses get larger temperatures. Numerator
    and denominator of :math:`1 / \tau_0` are at least 0.05.

    Losses are recorded in training mode only. They and the temperatures are part of the
    ``state_dict``: a resumed run continues exactly.

    Args:
        num_users: Number of users.
        beta: :math:`\beta > 0`; 1 is published.
        warmup_epochs: Epochs in which :func:`~pyg_advcf.training.fit` takes the gap between the
            cosines to be 0.7; 10 to 100 are published.
        reduction: ``'mean'`` over the positives, ``'sum'`` or ``'none'``.

    Shapes:
        ``pos [B]``, ``neg [B, N]`` and a :class:`~pyg_advcf.Batch` to a scalar (``[B]`` without
        reduction).

    Raises:
        ValueError: If ``num_users`` is below 1, ``beta`` not above 0, ``reduction`` unknown, the
            shapes do not fit, or ``batch`` is missing.

    Example:
        >>> criterion = AdapTau(num_users=2)
        >>> batch = Batch(*(torch.tensor(t) for t in ([0, 1], [0, 0], [[1], [1]], [0, 1])))
        >>> loss = criterion(torch.tensor([0.9, 0.1]), torch.tensor([[0.2], [0.3]]), batch)
        >>> criterion.update(base=torch.tensor(0.1))
        >>> criterion.temperature  # The second user's loss was larger.
        tensor([0.0368, 0.1384])
    """
    needs_batch = 'the users, each of whom has a temperature'
    single_pass = True

    def default_similarity(self) -> Similarity:
        return Cosine(1.)

    def __init__(
        self,
        num_users: int,
        beta: float = 1.0,
        warmup_epochs: int = 20,
        reduction: str = 'mean',
    ) -> None:
        super().__init__(reduction)
        self.warmup_epochs = check_count('warmup_epochs', warmup_epochs, minimum=0)
        self.num_users = check_count('num_users', num_users)
        self.beta = check_positive('beta', beta)
        self.register_buffer('base', torch.ones(()))
        self.register_buffer('temperature', torch.ones(num_users))
        self.register_buffer('loss', torch.zeros(num_users))
        self.register_buffer('count', torch.zeros(num_users))

    def on_epoch_start(self, epoch: int, recommender: Any) -> None:
        r"""Sets the temperatures from the embeddings as they are."""
        z = None if epoch < self.warmup_epochs else recommender.embeddings()
        self.update(base_temperature(recommender.backbone.graph, z))

    @torch.no_grad()
    def update(self, base: Tensor) -> None:
        r"""Sets the temperatures from the losses since the last update, and forgets these.

        Args:
            base: :math:`\tau_0`, of :func:`base_temperature`.
        """
        self.base.copy_(check_numbers('base', base, ()))
        self.temperature.copy_(user_temperature(self.loss, self.count, self.base.double(),
                                                self.beta))
        self.loss.zero_()
        self.count.zero_()

    def row_losses(self, pos: Tensor, neg: Tensor, batch: Optional[Batch]) -> Tensor:
        if self.training:
            with torch.no_grad():
                each = dcl(pos, neg, 'none').to(self.loss.dtype)
                usable = (~neg.isneginf()).any(1).to(self.count.dtype)
                self.loss.index_add_(0, batch.user, each)
                self.count.index_add_(0, batch.user, usable)
        return adaptau(pos, neg, self.base, self.temperature[batch.user], 'none')

    def extra_repr(self) -> str:
        return f'beta={self.beta}'
