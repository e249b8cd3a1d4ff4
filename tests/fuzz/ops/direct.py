r"""Cases of the operations themselves, which nothing but they can check: ``torch.ops``."""
import torch

from .draws import Case, Draws
from .expected import (
    Wrong,
    alike,
    are_transposed,
    as_backend,
    as_count,
    as_ids,
    as_table,
    as_vector,
    pattern_of,
    propagated,
    rows_of,
    summed,
)
from .public import sampled_case


class DirectCases(Draws):
    r"""A method for each operation."""
    def _structure(self, n, m):
        pairs = self.pairs(n, m)
        kind = self.r.choice((torch.int32, torch.int64))
        order = torch.sort(pairs[1], stable=True)[1]
        pointers = [torch.searchsorted(ids, torch.arange(size + 1))
                    for ids, size in ((pairs[0], n), (pairs[1][order], m))]
        return [t.to(kind) for t in (pointers[0], pairs[1], pointers[1], pairs[0][order], order)]

    def direct_spmm(self):
        n, m, d, dtype = self.size(), self.size(), self.size(), self.dtype()
        rowptr, col, colptr, row, _ = self._structure(n, m)
        source = self.distinct(m)
        args = dict(x=self.table(m if source is None else source.numel(), d, dtype),
                    indptr=rowptr, index=col, t_indptr=colptr, t_index=row,
                    rows=self.distinct(n), source=source,
                    backend=self.backend(dtype, 'spmm', True))

        def expect(a):
            m = as_ids(a['t_indptr'], 2**62).numel() - 1
            to, index = rows_of(a['indptr'], a['index'], m)
            n = a['indptr'].numel() - 1
            as_backend(a['backend'], a['x'].dtype, 'spmm')
            if pattern_of(a['t_indptr'], a['t_index'], n)[1].numel() != index.numel():
                raise Wrong
            x = as_table(a['x'])
            if a['source'] is not None:
                source = as_ids(a['source'], m, distinct=True)
                if source.numel() != x.size(0):
                    raise Wrong
                x = x.new_zeros(m, x.size(1)).index_copy(0, source, x)
            if not are_transposed((to, index), rows_of(a['t_indptr'], a['t_index'], n), m):
                x = x.detach()  # Its gradient is that of the other pattern.
            out = summed(as_table(x, m)[index], to, n)
            return [out if a['rows'] is None else out[as_ids(a['rows'], n, distinct=True)]]

        kinds = dict(x='table', indptr='pointer', index='ids', t_indptr='pointer', t_index='ids',
                     rows='rows', source='rows', backend='backend')
        return Case('ops.spmm', args, kinds, lambda a: torch.ops.pyg_advcf.spmm(**a), expect)

    def direct_weighted_spmm(self):
        n, m, d, dtype = self.size(), self.size(), self.size(), self.dtype()
        rowptr, col, colptr, row, order = self._structure(n, m)
        transpose = self.r.random() < .5
        args = dict(x=self.table(n if transpose else m, d, dtype),
                    weight=torch.randn(col.numel()).to(dtype), rowptr=rowptr, col=col,
                    colptr=colptr, row=row, order=order, transpose=transpose,
                    backend=self.backend(dtype, 'spmm', True))

        def expect(a):
            n, m = (as_ids(a[k], 2**62).numel() - 1 for k in ('rowptr', 'colptr'))
            users = rows_of(a['rowptr'], a['col'], m)
            items = rows_of(a['colptr'], a['row'], n)
            order = as_ids(a['order'], users[0].numel(), distinct=True)
            if not users[0].numel() == items[0].numel() == order.numel():
                raise Wrong
            weight = as_vector(a['weight'], order.numel()).unsqueeze(1)
            x = as_table(a['x'], n if a['transpose'] else m)
            if not are_transposed(users, items, m):
                x = x.detach()
            alike(a['x'], a['weight'])
            as_backend(a['backend'], a['x'].dtype, 'spmm')
            if a['transpose']:
                return [summed(x[items[1]] * weight[order], items[0], m)]
            return [summed(x[users[1]] * weight, users[0], n)]

        kinds = dict(x='table', weight='factors', rowptr='pointer', col='ids', colptr='pointer',
                     row='ids', order='rows', backend='backend')
        return Case('ops.weighted_spmm', args, kinds,
                    lambda a: torch.ops.pyg_advcf.weighted_spmm(**a), expect)

    def direct_sddmm(self):
        n, m, d, dtype = self.size(), self.size(), self.size(), self.dtype()
        rowptr, col, colptr, row, order = self._structure(n, m)
        args = dict(a=self.table(n, d, dtype), b=self.table(m, d, dtype), rowptr=rowptr, col=col,
                    colptr=colptr, row=row, order=order,
                    backend=self.backend(dtype, 'spmm', True))

        def expect(a):
            n, m = (as_ids(a[k], 2**62).numel() - 1 for k in ('rowptr', 'colptr'))
            user, item = rows_of(a['rowptr'], a['col'], m)
            other = rows_of(a['colptr'], a['row'], n)
            order = as_ids(a['order'], user.numel(), distinct=True)
            if not user.numel() == a['row'].numel() == order.numel():
                raise Wrong
            x = as_table(a['a'], n)
            y = as_table(a['b'], m, x.size(1))
            alike(a['a'], a['b'])
            as_backend(a['backend'], a['a'].dtype, 'spmm')
            out = (x[user] * y[item]).sum(1)
            return [out if are_transposed((user, item), other, m) else out.detach()]

        kinds = dict(a='table', b='table', rowptr='pointer', col='ids', colptr='pointer',
                     row='ids', order='rows', backend='backend')
        return Case('ops.sddmm', args, kinds, lambda a: torch.ops.pyg_advcf.sddmm(**a), expect)

    def direct_propagate(self):
        n, m, d, dtype = self.size(), self.size(), self.size(), self.dtype()
        rowptr, col, colptr, row, _ = self._structure(n, m)
        held = [self.distinct(size) for size in (n, m)]
        user, item = (self.table(size if ids is None else ids.numel(), d, dtype)
                      for size, ids in zip((n, m), held))
        args = dict(user=user, item=item, rowptr=rowptr, col=col, colptr=colptr, row=row,
                    user_rows=self.distinct(n), item_rows=self.distinct(m), user_source=held[0],
                    item_source=held[1], num_layers=self.r.randint(0, 3),
                    backend=self.backend(dtype, 'spmm', True))

        def expect(a):
            sizes = [as_ids(a[k], 2**62).numel() - 1 for k in ('rowptr', 'colptr')]
            edges = rows_of(a['rowptr'], a['col'], sizes[1])
            items, users = rows_of(a['colptr'], a['row'], sizes[0])
            x = []
            for name, size in zip(('user', 'item'), sizes):
                t = as_table(a[name])
                if a[f'{name}_source'] is not None:
                    ids = as_ids(a[f'{name}_source'], size, distinct=True)
                    if ids.numel() != t.size(0):
                        raise Wrong
                    t = t.new_zeros(size, t.size(1)).index_copy(0, ids, t)
                x.append(as_table(t, size))
            alike(a['user'], a['item'])
            if x[0].size(1) != x[1].size(1):
                raise Wrong
            as_backend(a['backend'], a['user'].dtype, 'spmm')
            count = as_count(a['num_layers']) + 1
            rows = [None if a[k] is None else as_ids(a[k], size, distinct=True)
                    for k, size in zip(('user_rows', 'item_rows'), sizes)]
            if not are_transposed(edges, (items, users), sizes[1]):
                return lambda found: None  # Not one graph: no number is right.
            out = propagated(*x, edges, sizes, [[1 / count] * count])
            return [t if ids is None else t[ids] for t, ids in zip(out, rows)]

        kinds = dict(user='table', item='table', rowptr='pointer', col='ids', colptr='pointer',
                     row='ids', user_rows='rows', item_rows='rows', user_source='rows',
                     item_source='rows', num_layers='integer', backend='backend')
        return Case('ops.propagate', args, kinds, lambda a: torch.ops.pyg_advcf.propagate(**a),
                    expect)

    def direct_sampled_product(self):
        return sampled_case(self, 'ops.sampled_product',
                            lambda a: torch.ops.pyg_advcf.sampled_product(**a))

    def direct_gather_sum(self):
        rows, n, m, d, dtype = self.size(0), self.size(0, 4), self.size(), self.size(), self.dtype()
        args = dict(w=self.table(rows, n, dtype), b=self.table(m, d, dtype),
                    index=self.ids(m, rows, n), backend=self.backend(dtype, 'sampled', True))

        def expect(a):
            b = as_table(a['b'])
            index = as_ids(a['index'], b.size(0), (2, ))
            w = as_table(a['w'], *index.shape)
            alike(a['w'], a['b'])
            as_backend(a['backend'], a['b'].dtype, 'sampled')
            return [(w.unsqueeze(-1) * b[index]).sum(1)]

        kinds = dict(w='table', b='table', index='ids', backend='backend')
        return Case('ops.gather_sum', args, kinds, lambda a: torch.ops.pyg_advcf.gather_sum(**a),
                    expect)

    def direct_scatter_sum(self):
        rows, n, size, d, dtype = (self.size(0), self.size(0, 4), self.size(), self.size(),
                                   self.dtype())
        args = dict(w=self.table(rows, n, dtype), a=self.table(rows, d, dtype),
                    index=self.ids(size, rows, n), size=size,
                    backend=self.backend(dtype, 'sampled', True))

        def expect(given):
            size = as_count(given['size'])
            index = as_ids(given['index'], size, (2, ))
            w, a = as_table(given['w'], *index.shape), as_table(given['a'], index.size(0))
            alike(given['w'], given['a'])
            as_backend(given['backend'], given['a'].dtype, 'sampled')
            values = (w.unsqueeze(-1) * a.unsqueeze(1)).reshape(index.numel(), a.size(1))
            return [summed(values, index.reshape(-1), size)]

        kinds = dict(w='table', a='table', index='ids', size='integer', backend='backend')
        return Case('ops.scatter_sum', args, kinds,
                    lambda a: torch.ops.pyg_advcf.scatter_sum(**a), expect)

    def direct_merge(self):
        rows, dtype = self.size(0), self.r.choice((torch.float32, torch.float64))
        args = dict(edges=torch.rand(rows, self.size(), dtype=dtype).cumsum(1),
                    points=torch.rand(rows, self.size(0), dtype=dtype).sort(1)[0])

        def expect(a):
            edges, points = as_table(a['edges']), as_table(a['points'])
            alike(a['edges'], a['points'])
            if a['edges'].dtype not in (torch.float32, torch.float64):
                raise Wrong
            if edges.size(0) != points.size(0) or edges.size(1) == 0 and points.numel() > 0:
                raise Wrong
            if not ((edges.diff() >= 0).all() and (points.diff() >= 0).all()):
                return lambda found: None  # No order: in bounds is all that it can be.
            last = max(edges.size(1) - 1, 0)
            return [torch.searchsorted(edges.contiguous(), points.contiguous()).clamp(max=last)]

        return Case('ops.merge', args, dict(edges='table', points='table'),
                    lambda a: torch.ops.pyg_advcf.merge(**a), expect)

    def direct_normalize(self):
        args = dict(x=self.table(self.size(), self.size(),
                                 self.r.choice((torch.float32, torch.float64))))

        def expect(a):
            x = as_table(a['x'])
            if a['x'].dtype not in (torch.float32, torch.float64):
                raise Wrong
            return [torch.nn.functional.normalize(x, dim=-1), x.detach().norm(dim=-1)]

        return Case('ops.normalize', args, dict(x='table'),
                    lambda a: torch.ops.pyg_advcf.normalize(**a), expect)

    def direct_normalize_backward(self):
        rows, d, dtype = self.size(), self.size(), self.r.choice((torch.float32, torch.float64))
        unit = torch.nn.functional.normalize(torch.randn(rows, d, dtype=dtype))
        args = dict(grad=torch.randn(rows, d, dtype=dtype), unit=unit,
                    norm=torch.rand(rows, dtype=dtype).add(.1))

        def expect(a):
            unit = as_table(a['unit'])
            grad, norm = as_table(a['grad'], *unit.shape), as_vector(a['norm'], unit.size(0))
            alike(a['unit'], a['grad'], a['norm'])
            if a['norm'].dim() != 1 or a['unit'].dtype not in (torch.float32, torch.float64):
                raise Wrong
            along = (grad * unit).sum(1, keepdim=True)
            return [(grad - along * unit) / norm.unsqueeze(1)]

        return Case('ops.normalize_backward', args,
                    dict(grad='table', unit='table', norm='factors'),
                    lambda a: torch.ops.pyg_advcf.normalize_backward(**a), expect)
