r"""What may be done to an argument: a label, and another value."""
import math

import numpy as np
import torch
from torch_geometric import EdgeIndex

from pyg_advcf.ops import spmm


def corrupt(r, kind, value, direct):
    r"""``(label, value)`` with a wrong value, or one that only looks it."""
    if kind == 'graph':
        return other_graph(r, value)
    if kind in ('table', 'weight', 'factors', 'ids', 'rows', 'pointer') and (
            isinstance(value, torch.Tensor)):
        options = {
            'another type': lambda: value.to(r.choice((
                torch.float16, torch.int8, torch.int16, torch.uint8, torch.bool,
                torch.complex64, torch.int64, torch.float64, torch.float32))),
            'one row less': lambda: value[:-1], 'one row more': lambda: torch.cat([value] * 2),
            'a dimension more': lambda: value.unsqueeze(r.choice((0, -1))),
            'a dimension less': lambda: value.reshape(-1) if value.dim() > 1 else
            value.sum(),
            'empty': lambda: value[:0],
            'not contiguous': lambda: torch.stack([value] * 2, -1)[..., 0]}
        if not direct:
            options |= {'without memory': lambda: value.to('meta'), 'a list': value.tolist,
                        'None': lambda: None,
                        'an array': lambda: np.array(value.tolist()),
                        'a text': lambda: 'x', 'sparse': lambda: value.detach().to_sparse()}
        if value.is_floating_point():
            options |= {'a column less': lambda: value[..., :-1]}
        if kind == 'weight' and value.numel():
            for bad in (-1., math.nan, math.inf):
                options[f'holds {bad}'] = lambda bad=bad: value.index_fill(
                    1, torch.tensor([r.randrange(value.size(1))]), bad)
            options['zeros'] = lambda: value * 0
        if not value.is_floating_point() and value.numel():
            place = r.randrange(value.numel())
            high = int(value.max())
            bad = r.choice((-1, -1, high + 1, high + 8, 2**20, 2**31 - 1, -2**31, 2**40,
                            -2**40, high))
            if value.dtype == torch.int32 and abs(bad) > 2**31 - 1:
                bad = 2**31 - 1

            def holds():
                other = value.detach().clone()
                other.view(-1)[place] = bad
                return other

            for k in range(12):  # Most often.
                options[f'holds {bad}' + ' ' * k] = holds
            options['repeats'] = lambda: value.view(-1)[:1].expand_as(
                value.view(-1)).reshape(value.shape).contiguous()
        label = r.choice(list(options))
        return label.strip(), options[label]()
    if kind in ('rows', 'factors'):  # There is none.
        other = torch.arange(3) if kind == 'rows' else torch.ones(50)
        return 'one that does not fit', other if kind == 'factors' else other + r.choice(
            (0, 50, -1))
    if kind == 'pair':
        side = r.randrange(2)
        options = {'a single tensor': lambda: torch.arange(1), 'None': lambda: None,
                   'one of two': lambda: value[:1]}
        label = r.choice([*options, *['ids'] * 6])
        if label == 'ids':
            label, ids = corrupt(r, 'rows', value[side], False)
            return f'[{side}] {label}', (ids, value[1]) if side == 0 else (value[0], ids)
        return label, options[label]()
    options = {'count': (-1, 0, 1.5, '2', None, True, [1], math.nan),
               'integer': (-1, -2**40, 0), 'number': (-1., math.nan, math.inf, '1', None, [1.]),
               'flag': (None, 'no', 2, [True]), 'name': ('cos', '', None, 3, ['dot']),
               'weights': ([], [[]], [[0., 0.]], [[1.], [1., 2.]], None, 3., [['x']],
                           [[math.nan, 1.]], torch.zeros(2, 2)),
               'backend': ('numpy', '', 'os', 'Numba') + (() if direct else (
                   3, ['numba'], np.array(['numba', 'torch']), True))}[kind]
    value = r.choice(options)
    return repr(value), value


def other_graph(r, graph):
    r"""``(label, graph)`` with another graph, made by hand."""
    pairs, size = graph.as_tensor().clone(), graph.sparse_size()
    by_column = pairs[:, torch.sort(pairs[1], stable=True)[1]]
    mixed = pairs[:, torch.randperm(pairs.size(1))]

    def used(graph):
        r"""After its first use, all that is cached is."""
        spmm(graph, torch.ones(size[1], 2))
        return graph.fill_cache_()

    def set_id(ids):
        if ids.size(1):
            side = r.randrange(2)
            ids[side, r.randrange(ids.size(1))] = r.choice(
                (-1, size[side], size[side] + 3, 2**20, 2**30, 0, size[side] - 1))
        return ids

    def tampered():
        other = used(EdgeIndex(pairs, sparse_size=size, sort_order='row'))
        for name in ('_indptr', '_T_indptr', '_T_perm'):
            t = getattr(other, name)
            if r.random() < .5 and t is not None and t.numel():
                t[r.randrange(t.numel())] = r.choice((-1, 0, 3, 2**20))
        return other

    def through(way):
        other = used(EdgeIndex(pairs, sparse_size=size, sort_order='row'))
        set_id(other.as_tensor() if way else other)
        return other

    options = {
        'by column': lambda: EdgeIndex(by_column, sparse_size=size, sort_order='col'),
        'by column, cached': lambda: EdgeIndex(by_column, sparse_size=size,
                                               sort_order='col').fill_cache_(),
        'sorted by PyG': lambda: EdgeIndex(by_column, sparse_size=size, sort_order='col'
                                           ).fill_cache_().sort_by('row')[0],
        'unsorted': lambda: EdgeIndex(mixed, sparse_size=size),
        'said to be sorted by row': lambda: EdgeIndex(mixed, sparse_size=size,
                                                      sort_order='row'),
        'said to be sorted by column': lambda: EdgeIndex(mixed, sparse_size=size,
                                                         sort_order='col'),
        'said to be undirected': lambda: EdgeIndex(
            pairs, sparse_size=size, sort_order='row',
            is_undirected=size[0] == size[1]).fill_cache_(),
        '64 bits': lambda: EdgeIndex(pairs.long(), sparse_size=size, sort_order='row'),
        'without size': lambda: EdgeIndex(pairs, sort_order='row'),
        'transposed': lambda: graph.flip(0),
        'repeated edges': lambda: EdgeIndex(pairs.repeat_interleave(2, 1), sparse_size=size,
                                            sort_order='row'),
        'hand-made with a bad id': lambda: EdgeIndex(set_id(pairs), sparse_size=size,
                                                     sort_order='row'),
        'hand-made with a bad id ': lambda: EdgeIndex(set_id(pairs.long()), sparse_size=size,
                                                      sort_order='row'),
        'changed after use': lambda: through(False),
        'changed after use ': lambda: through(True),
        'caches changed': tampered,
        'smaller size': lambda: EdgeIndex(pairs, sparse_size=(size[0] - 1, size[1]),
                                          sort_order='row'),
        'plain tensor': lambda: pairs, 'None': lambda: None, 'a list': pairs.tolist}
    label = r.choice(list(options))
    return label.strip(), options[label]()
