r"""Perturbations of embedding tables: at random, and by the gradient of an objective."""
import math
from collections.abc import Callable, Sequence
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.transforms import BaseTransform

from pyg_advcf._checks import (
    check_bool,
    check_count,
    check_floats,
    check_instance,
    check_name,
    check_positive,
    shown,
)
from pyg_advcf.batch import Batch
from pyg_advcf.embeddings import Embeddings, check_embeddings, check_rows
from pyg_advcf.interactions import resolve_edge_type
from pyg_advcf.record import Recorded

NORMS = ('row', 'global', 'sign')
_OBJECTIVE = 'a function of Embeddings that returns the loss to raise'
Objective = Callable[[Embeddings], Tensor]
# Of the objective at a shift of the tables; `None` for none.
Gradient = Callable[[Optional[Embeddings]], Embeddings]


def global_norm(tensors: Sequence[Tensor]) -> Tensor:
    r"""Frobenius norm of all tensors together."""
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(t) for t in tensors]))


def global_scale(tensors: Sequence[Tensor], size: float) -> Tensor:
    r"""What brings all tensors together to the norm ``size``; 0 if all are zero."""
    length = global_norm(tensors)
    return torch.where(length > 0, size / length, 0.)


def scaled(direction: Embeddings, epsilon: float, norm: str) -> Embeddings:
    r"""``direction`` brought to the size ``epsilon``; what is zero stays zero.

    Args:
        direction: Any pair of tables.
        epsilon: The size.
        norm: ``'row'``: every row has length ``epsilon``; ``'global'``: both tables together have;
            ``'sign'``: every entry is plus or minus ``epsilon``.
    """
    if norm == 'sign':
        return direction.map(lambda t: epsilon * t.sign())
    if norm == 'global':
        scale = global_scale(tuple(direction), epsilon)
        return direction.map(lambda t: t * scale)
    return direction.map(lambda t: _rows_of_length(t, epsilon))


def _safe_rows_of_length(t: Tensor, epsilon: float) -> Tensor:
    tiny = torch.finfo(t.dtype).tiny
    t = t / t.abs().amax(dim=-1, keepdim=True).clamp(min=tiny)
    return epsilon * F.normalize(t, dim=-1, eps=tiny)


def _rows_of_length(t: Tensor, epsilon: float) -> Tensor:
    r"""Far neighbours have gradients whose squares underflow: these need a second look."""
    if t.device.type != 'cpu' or torch.compiler.is_compiling():
        return _safe_rows_of_length(t, epsilon)
    length = torch.linalg.vector_norm(t, dim=-1, keepdim=True)
    short = length <= 1e4 * math.sqrt(torch.finfo(t.dtype).tiny)
    out = t * torch.where(short, 0., epsilon / length)
    again = short.view(-1).nonzero().view(-1)
    if again.numel() > 0:
        out[again] = _safe_rows_of_length(t[again], epsilon)
    return out


def _inside(delta: Embeddings, epsilon: float, norm: str) -> Embeddings:
    r"""The nearest point of the ball of radius ``epsilon``."""
    if norm == 'sign':
        return delta.map(lambda t: t.clamp(-epsilon, epsilon))
    if norm == 'global':
        factor = (epsilon / global_norm(tuple(delta))).clamp(max=1.).nan_to_num(1.)
        return delta.map(lambda t: t * factor)
    return delta.map(
        lambda t: t * (epsilon / t.norm(dim=-1, keepdim=True)).clamp(max=1.).nan_to_num(1.))


def _only(delta: Embeddings, batch: Batch) -> Embeddings:
    r"""``delta`` in the rows that the batch names, zero elsewhere."""
    user, item, neg_item = delta.rows(batch)
    out = []
    for table, rows in zip(delta, (user, torch.cat([item, neg_item.reshape(-1)]))):
        keep = torch.zeros(table.size(0), 1, dtype=table.dtype, device=table.device)
        keep[rows] = 1.
        out.append(table * keep)
    return delta.with_tables(*out)


class Perturbation(Recorded, BaseTransform):
    r"""Base class: a shift :math:`\Delta` of the layer-0 tables of users and items.

    As a transform it adds :math:`\Delta` to ``data['user'].x`` and ``data['item'].x``, or to the
    features of the ends of the only edge type between two node types; inside a method,
    :meth:`delta` gives :math:`\Delta` itself. It is always detached, and no ``.grad`` is touched
    on the way.

    Args:
        epsilon: Size :math:`\epsilon \geq 0` of the shift, in units of the embeddings.
        norm: What ``epsilon`` measures: ``'row'``, each row; ``'global'``, both tables together;
            ``'sign'``, each entry. Over 70,000 rows, 0.5 globally moves a row by 0.002, and by 0.5
            row by row: these are different parameters.
        objective: For the use as a transform: maps :class:`~pyg_advcf.Embeddings` to the scalar
            that the perturbation is to raise.
        restrict_to_batch: Whether to shift only the rows that the batch names. Behind a graph
            network all neighbours of the batch have some gradient, and with ``norm='row'`` each of
            them moves by ``epsilon``.

    Raises:
        ValueError: If ``epsilon`` is negative or ``norm`` unknown.
    """
    def __init__(
        self,
        epsilon: float = 0.5,
        norm: str = 'row',
        objective: Optional[Objective] = None,
        restrict_to_batch: bool = False,
    ) -> None:
        self.epsilon = check_positive('epsilon', epsilon, zero=True)
        self.norm = check_name('norm', norm, NORMS)
        if objective is not None:
            check_instance('objective', objective, Callable, _OBJECTIVE)
        self.objective = objective
        self.restrict_to_batch = check_bool('restrict_to_batch', restrict_to_batch)

    def delta(
        self,
        x: Embeddings,
        objective: Optional[Objective] = None,
        batch: Optional[Batch] = None,
    ) -> Embeddings:
        r"""The shift of the tables ``x``.

        Args:
            x: Tables ``[n, D]``, ``[m, D]``.
            objective: Maps shifted tables to a scalar; that of the constructor by default.
            batch: Needed with ``restrict_to_batch``.

        Raises:
            ValueError: If the objective or the batch is missing.
        """
        check_embeddings('x', x, one_width=False)
        objective = self.objective if objective is None else check_instance(
            'objective', objective, Callable, _OBJECTIVE)
        if objective is None and self.needs_objective:
            raise ValueError(f"{self.__class__.__name__} needs 'objective', a function of "
                             f"Embeddings that returns the loss to raise")

        def gradient(shift: Optional[Embeddings]) -> Embeddings:
            with torch.enable_grad():
                point = (x.map(lambda t: t.detach().clone()) if shift is None
                         else x.map(lambda t, d: t.detach() + d, shift))
                for table in point:
                    table.requires_grad_()
                value = check_floats('objective(x)', objective(point))
                if value.numel() != 1 or not value.requires_grad:
                    raise ValueError(f"'objective' returns {shown(value)}, but needs to return a "
                                     f"scalar with a gradient to the tables; do not detach it")
                found = torch.autograd.grad(value.sum(), tuple(point), allow_unused=True)
            return x.with_tables(*(torch.zeros_like(p) if g is None else g
                                   for g, p in zip(found, point)))

        return self.from_gradient(x, gradient, batch)

    def from_gradient(
        self,
        x: Embeddings,
        gradient: Gradient,
        batch: Optional[Batch] = None,
    ) -> Embeddings:
        r"""As :meth:`delta`, where ``gradient(shift)`` computes the gradient at ``x + shift``.

        ``gradient(None)`` is the one at ``x`` itself.
        """
        check_embeddings('x', x, one_width=False)
        check_instance('gradient', gradient, Callable,
                       'a function of a shift that returns the gradient there')
        if self.restrict_to_batch and batch is None:
            raise ValueError("'restrict_to_batch' is True, but there is no 'batch': pass the batch "
                             "whose rows may move")
        if batch is not None:
            batch = check_rows(x, batch)
        with torch.no_grad():
            return self._shift(x, gradient, batch if self.restrict_to_batch else None).detach()

    needs_objective = True

    def _shift(self, x: Embeddings, gradient: Gradient, batch: Optional[Batch]) -> Embeddings:
        raise NotImplementedError

    def forward(self, data: HeteroData) -> HeteroData:
        check_instance('data', data, HeteroData, "a HeteroData with data['user'].x and "
                       "data['item'].x")
        ends = ('user', 'item')
        if not set(ends) <= set(data.node_types) and data.edge_types:
            ends = resolve_edge_type(data)[::2]
        for name in ends:
            if data[name].get('x') is None:
                raise ValueError(f"data['{name}'].x is missing, but is what is shifted; set it to "
                                 f"the embeddings of all {name}s")
        x = Embeddings(*(data[name].x for name in ends))
        for name, table, shift in zip(ends, x, self.delta(x)):
            data[name].x = table + shift
        return data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(epsilon={self.epsilon}, norm='{self.norm}')"


def check_perturbation(argument: str, perturbation: Perturbation) -> Perturbation:
    r"""Returns ``perturbation`` if it is one."""
    return check_instance(argument, perturbation, Perturbation,
                          'a perturbation of pyg_advcf.transforms, such as RandomNoise(0.1)')


class RandomNoise(Perturbation):
    r"""Gaussian directions of the given size: the control of every adversarial shift.

    Args:
        epsilon: See :class:`Perturbation`.
        norm: See :class:`Perturbation`.
        restrict_to_batch: See :class:`Perturbation`.

    Example:
        >>> data = HeteroData()
        >>> data['user'].x, data['item'].x = torch.zeros(3, 4), torch.zeros(5, 4)
        >>> RandomNoise(epsilon=0.1)(data)['user'].x.norm(dim=1)
        tensor([0.1000, 0.1000, 0.1000])
    """
    needs_objective = False

    def __init__(
        self,
        epsilon: float = 0.5,
        norm: str = 'row',
        restrict_to_batch: bool = False,
    ) -> None:
        super().__init__(epsilon, norm, None, restrict_to_batch)

    def _shift(self, x: Embeddings, gradient: Gradient, batch: Optional[Batch]) -> Embeddings:
        direction = x.map(torch.randn_like)
        return scaled(direction if batch is None else _only(direction, batch), self.epsilon,
                      self.norm)


class FastGradient(Perturbation):
    r"""One step along the gradient :math:`\Gamma` of the objective.

    .. math::
        \Delta_r = \epsilon \frac{\Gamma_r}{\|\Gamma_r\|} \;\text{(row)}, \qquad
        \Delta = \epsilon \frac{\Gamma}{\|\Gamma\|_F} \;\text{(global)}, \qquad
        \Delta = \epsilon\, \mathrm{sign}\, \Gamma \;\text{(sign)}

    ``'row'`` is what the code of APR does, ``'global'`` what the formulas of APR, ACCF and SharpCF
    print. Rows without gradient do not move.

    Args:
        epsilon: See :class:`Perturbation`.
        norm: See :class:`Perturbation`.
        objective: See :class:`Perturbation`.
        restrict_to_batch: See :class:`Perturbation`.

    Example:
        >>> x = Embeddings(torch.ones(2, 2), torch.ones(3, 2))
        >>> shift = FastGradient(epsilon=0.5).delta(x, lambda x: -x.user[0].sum())
        >>> shift.user
        tensor([[-0.3536, -0.3536],
                [ 0.0000,  0.0000]])
    """
    def _shift(self, x: Embeddings, gradient: Gradient, batch: Optional[Batch]) -> Embeddings:
        direction = gradient(None)
        return scaled(direction if batch is None else _only(direction, batch), self.epsilon,
                      self.norm)


class ProjectedGradient(Perturbation):
    r"""Several steps along the gradient, each projected back into the ball of radius ``epsilon``.

    :math:`\Delta \leftarrow \Pi_\epsilon(\Delta + \alpha\, \mathrm{dir}(\Gamma(\Delta)))`.

    Args:
        epsilon: See :class:`Perturbation`.
        norm: See :class:`Perturbation`; it is the norm of the steps and of the ball.
        steps: Number of steps.
        step_size: :math:`\alpha`; :math:`2.5\, \epsilon / \mathrm{steps}` by default.
        objective: See :class:`Perturbation`.
        restrict_to_batch: See :class:`Perturbation`.

    Raises:
        ValueError: If ``steps`` is below 1 or ``step_size`` negative.

    Example:
        >>> x = Embeddings(torch.ones(1, 2), torch.ones(1, 2))
        >>> ProjectedGradient(1., steps=5).delta(x, lambda x: x.user.square().sum()).user
        tensor([[0.7071, 0.7071]])
    """
    def __init__(
        self,
        epsilon: float = 0.5,
        norm: str = 'row',
        steps: int = 3,
        step_size: Optional[float] = None,
        objective: Optional[Objective] = None,
        restrict_to_batch: bool = False,
    ) -> None:
        super().__init__(epsilon, norm, objective, restrict_to_batch)
        self.steps = check_count('steps', steps)
        self.step_size = (2.5 * epsilon / steps if step_size is None
                          else check_positive('step_size', step_size, zero=True))

    def _shift(self, x: Embeddings, gradient: Gradient, batch: Optional[Batch]) -> Embeddings:
        delta = x.map(torch.zeros_like)
        for turn in range(self.steps):
            direction = gradient(delta if turn > 0 else None)
            step = scaled(direction if batch is None else _only(direction, batch), self.step_size,
                          self.norm)
            delta = _inside(delta.map(torch.add, step), self.epsilon, self.norm)
        return delta

    def __repr__(self) -> str:
        return f'{super().__repr__()[:-1]}, steps={self.steps})'
