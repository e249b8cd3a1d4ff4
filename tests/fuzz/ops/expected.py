r"""What plain PyTorch makes of arguments; :class:`Wrong` where they are not right."""
import torch
from torch_geometric import EdgeIndex


class Wrong(Exception):
    r"""The arguments are not right: what the call has to say in an error."""


def as_table(x, rows=None, width=None):
    if not isinstance(x, torch.Tensor) or x.layout != torch.strided or x.device.type != 'cpu' or (
            x.dim() != 2 or not x.is_floating_point()):
        raise Wrong
    if rows not in (None, x.size(0)) or width not in (None, x.size(1)):
        raise Wrong
    return x.double()


def as_vector(x, size):
    if not isinstance(x, torch.Tensor) or x.device.type != 'cpu' or x.is_complex() or (
            x.layout != torch.strided or list(x.shape) not in ([size], [size, 1])):
        raise Wrong
    return x.double().reshape(-1)


def as_ids(t, size, dims=(1, ), distinct=False):
    if not isinstance(t, torch.Tensor) or t.device.type != 'cpu' or t.is_floating_point() or (
            t.is_complex() or t.dtype == torch.bool or t.dim() not in dims) or (
            t.layout != torch.strided):
        raise Wrong
    if t.numel() and (int(t.min()) < 0 or int(t.max()) >= size):
        raise Wrong
    if distinct and t.unique().numel() != t.numel():
        raise Wrong
    return t.long()


def alike(*tables):
    if len({t.dtype for t in tables}) != 1:
        raise Wrong


def as_count(value, minimum=0):
    if type(value) is not int or value < minimum:
        raise Wrong
    return value


def as_backend(name, dtype, kind, compiled=False):
    floats = (torch.float32, torch.float64)
    if name is not None and (not isinstance(name, str)
                             or name not in ('torch', 'fused', 'numba', 'triton')):
        raise Wrong
    if dtype not in floats and (name == 'numba' or name == 'fused' and kind != 'spmm'):
        raise Wrong


def edges_of(graph):
    if not isinstance(graph, EdgeIndex):
        raise Wrong
    user, item = graph.as_tensor().long()
    sizes = [int(t.max()) + 1 if n is None and t.numel() else n or 0
             for t, n in zip((user, item), graph.sparse_size())]
    return as_ids(user, sizes[0]), as_ids(item, sizes[1]), sizes


def pattern_of(indptr, index, size):
    indptr, index = as_ids(indptr, 2**62), as_ids(index, size)
    if indptr.numel() == 0 or int(indptr[0]) != 0 or (indptr.diff() < 0).any() or (
            int(indptr[-1]) != index.numel()):
        raise Wrong
    return indptr.diff(), index


def rows_of(indptr, index, size):
    count, index = pattern_of(indptr, index, size)
    return torch.repeat_interleave(torch.arange(count.numel()), count), index


def are_transposed(edges, others, width):
    keys = [(u * width + i).sort()[0] for u, i in (edges, others[::-1])]
    return torch.equal(*keys)


def summed(values, to, size):
    return values.new_zeros(size, *values.shape[1:]).index_add(0, to, values)


def propagated(user, item, edges, sizes, coefficients):
    r"""Sums of the layers of LightGCN for each row of coefficients."""
    u, i = edges
    degree = [torch.bincount(ids, minlength=n).double().clamp(min=1)
              for ids, n in zip(edges, sizes)]
    norm = (degree[0][u] * degree[1][i]).rsqrt().unsqueeze(1)
    layers = [(user, item)]
    for _ in coefficients[0][1:]:
        x, y = layers[-1]
        layers.append((summed(y[i] * norm, u, sizes[0]), summed(x[u] * norm, i, sizes[1])))
    return [sum(c * t for c, t in zip(row, side)) for row in coefficients for side in zip(*layers)]
