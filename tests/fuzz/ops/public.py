r"""Cases of the public functions."""
import math

import torch

from pyg_advcf import as_graph
from pyg_advcf.embeddings import Embeddings, Index
from pyg_advcf.ops import (
    cross_entropy,
    draw,
    layer_sums,
    propagate,
    sampled_product,
    sampled_scores,
    sddmm,
    spmm,
)
from pyg_advcf.ops.normalize import normalize
from pyg_advcf.ops.top_k import top_k
from pyg_advcf.pairs import PairSet

from .draws import Case, Draws
from .expected import (
    Wrong,
    alike,
    as_backend,
    as_count,
    as_ids,
    as_table,
    as_vector,
    edges_of,
    propagated,
    summed,
)


def sampled_case(draws, name, call, concrete=True):
    r"""Products of rows of one table and sampled rows of another."""
    rows, n, m = draws.size(0), draws.size(0, 4), draws.size()
    d, dtype = draws.size(0), draws.dtype()
    args = dict(a=draws.table(rows, d, dtype), b=draws.table(m, d, dtype),
                index=draws.ids(m, rows, n),
                backend=draws.backend(dtype, 'sampled', concrete))

    def expect(given):
        a, b = as_table(given['a']), as_table(given['b'])
        index = as_ids(given['index'], b.size(0), (2, ))
        alike(given['a'], given['b'])
        as_backend(given['backend'], given['a'].dtype, 'sampled')
        if a.size(0) != index.size(0) or a.size(1) != b.size(1):
            raise Wrong
        return [(a.unsqueeze(1) * b[index]).sum(-1)]

    kinds = dict(a='table', b='table', index='ids', backend='backend')
    return Case(name, args, kinds, call, expect)


class PublicCases(Draws):
    r"""A method for each function."""
    def spmm(self):
        n, m, d, dtype = self.size(), self.size(), self.size(), self.dtype()
        graph, transpose = self.graph(n, m), self.r.random() < .5
        held, given = (n, m) if transpose else (m, n)

        def factors(size):
            return self.table(1, size, dtype)[0] if self.r.random() < .3 else None

        args = dict(graph=graph, x=self.table(held, d, dtype), transpose=transpose,
                    row_scale=factors(given), col_scale=factors(held),
                    edge_weight=factors(graph.size(1)), rows=self.distinct(given),
                    backend=self.backend(dtype, 'spmm'))

        def expect(a):
            u, i, sizes = edges_of(a['graph'])
            if not isinstance(a['transpose'], bool):
                raise Wrong
            as_backend(a['backend'], getattr(a['x'], 'dtype', None), 'spmm')
            (source, held), (to, given) = ((u, sizes[0]), (i, sizes[1]))[::1 if a['transpose']
                                                                         else -1]
            values = as_table(a['x'], held)
            if a['col_scale'] is not None:
                values = values * as_vector(a['col_scale'], held).unsqueeze(1)
            values = values[source]
            if a['edge_weight'] is not None:
                values = values * as_vector(a['edge_weight'], u.numel()).unsqueeze(1)
            out = summed(values, to, given)
            if a['row_scale'] is not None:
                out = out * as_vector(a['row_scale'], given).unsqueeze(1)
            return [out if a['rows'] is None else out[as_ids(a['rows'], given, distinct=True)]]

        kinds = dict(graph='graph', x='table', transpose='flag', row_scale='factors',
                     col_scale='factors', edge_weight='factors', rows='rows', backend='backend')
        return Case('spmm', args, kinds, lambda a: spmm(**a), expect)

    def sddmm(self):
        n, m, d, dtype = self.size(), self.size(), self.size(), self.dtype()
        args = dict(graph=self.graph(n, m), user=self.table(n, d, dtype),
                    item=self.table(m, d, dtype), backend=self.backend(dtype, 'spmm'))

        def expect(a):
            u, i, sizes = edges_of(a['graph'])
            user = as_table(a['user'], sizes[0])
            item = as_table(a['item'], sizes[1], user.size(1))
            alike(a['user'], a['item'])
            as_backend(a['backend'], a['user'].dtype, 'spmm')
            return [(user[u] * item[i]).sum(1)]

        kinds = dict(graph='graph', user='table', item='table', backend='backend')
        return Case('sddmm', args, kinds, lambda a: sddmm(**a), expect)

    def _layers(self, name, call, **more):
        n, m, d, dtype = self.size(), self.size(), self.size(), self.dtype()
        args = dict(graph=self.graph(n, m), user=self.table(n, d, dtype),
                    item=self.table(m, d, dtype), rows=(self.distinct(n), self.distinct(m)),
                    backend=self.backend(dtype, 'spmm'), **more)

        def expect(a):
            u, i, sizes = edges_of(a['graph'])
            user = as_table(a['user'], sizes[0])
            item = as_table(a['item'], sizes[1], user.size(1))
            alike(a['user'], a['item'])
            as_backend(a['backend'], a['user'].dtype, 'spmm')
            if name == 'propagate':
                count = as_count(a['num_layers']) + 1
                weights = [[1 / count] * count]
            else:
                weights = a['weights']
                if not isinstance(weights, list) or not weights or not all(
                        isinstance(row, list) and all(isinstance(w, float) and math.isfinite(w)
                                                      for w in row) for row in weights):
                    raise Wrong
                if len({len(row) for row in weights}) != 1 or not all(map(any, weights)):
                    raise Wrong
                if type(a['noise']) not in (int, float) or not 0 <= a['noise'] < math.inf:
                    raise Wrong
            if not isinstance(a['rows'], (tuple, list)) or len(a['rows']) != 2:
                raise Wrong
            rows = [None if ids is None else as_ids(ids, size, distinct=True)
                    for ids, size in zip(a['rows'], sizes)]
            out = propagated(user, item, (u, i), sizes, weights)
            return [t if rows[k % 2] is None else t[rows[k % 2]] for k, t in enumerate(out)]

        kinds = dict(graph='graph', user='table', item='table', rows='pair', backend='backend',
                     num_layers='count', weights='weights', noise='number')
        return Case(name, args, {k: kinds[k] for k in args}, call, expect)

    def propagate(self):
        return self._layers('propagate', lambda a: propagate(**a),
                            num_layers=self.r.randint(0, 3))

    def layer_sums(self):
        weights = [[1.] + [self.r.choice((0., 1., -.5)) for _ in range(self.r.randint(0, 1) + 1)]]
        return self._layers('layer_sums', lambda a: layer_sums(**a), noise=0.,
                            weights=weights + [list(reversed(weights[0]))])

    def sampled_product(self):
        return sampled_case(self, 'sampled_product', lambda a: sampled_product(**a), False)

    def sampled_scores(self):
        n, m, batch, d, dtype = self.size(), self.size(), self.size(0), self.size(), self.dtype()
        shape = (batch, self.size(0, 4)) if self.r.random() < .6 else (self.size(0, 4), )
        args = dict(user_emb=self.table(n, d, dtype), item_emb=self.table(m, d, dtype),
                    user=self.ids(n, batch), item=self.ids(m, batch),
                    neg_item=self.ids(m, *shape), kind=self.r.choice(('dot', 'cosine')),
                    temperature=self.r.choice((1., .5)), backend=self.backend(dtype, 'sampled'))

        def expect(a):
            user, item = as_table(a['user_emb']), as_table(a['item_emb'])
            alike(a['user_emb'], a['item_emb'])
            as_backend(a['backend'], a['user_emb'].dtype, 'sampled')
            u = as_ids(a['user'], user.size(0))
            i, j = as_ids(a['item'], item.size(0)), as_ids(a['neg_item'], item.size(0), (1, 2))
            if a['kind'] not in ('dot', 'cosine') or type(a['temperature']) is not float or not (
                    0 < a['temperature'] < math.inf) or user.size(1) != item.size(1):
                raise Wrong
            if u.shape != i.shape or j.dim() == 2 and j.size(0) != u.size(0):
                raise Wrong
            x, y = user, item
            if a['kind'] == 'cosine':
                x, y = (torch.nn.functional.normalize(t, dim=-1) for t in (x, y))
            x = x[u] / a['temperature']
            neg = x @ y[j].t() if j.dim() == 1 else (x.unsqueeze(1) * y[j]).sum(-1)
            return [(x * y[i]).sum(-1), neg]

        kinds = dict(user_emb='table', item_emb='table', user='ids', item='ids', neg_item='ids',
                     kind='name', temperature='number', backend='backend')
        return Case('sampled_scores', args, kinds, lambda a: sampled_scores(**a), expect)

    def draw(self):
        weight = torch.rand(self.size(0), self.size()).add(.01).to(
            self.r.choice((torch.float32, torch.float64)))
        args = dict(weight=weight, num_draws=self.size(0),
                    backend=self.backend(weight.dtype, 'sampled'))

        def expect(a):
            weight, num = as_table(a['weight']), as_count(a['num_draws'])
            as_backend(a['backend'], a['weight'].dtype, 'sampled')
            total = weight.sum(1)
            if weight.size(1) == 0 or (weight < 0).any() or not (total > 0).all() or (
                    not total.isfinite().all()):
                raise Wrong

            def problem(found):
                if list(found.shape) != [weight.size(0), num] or found.dtype != torch.long:
                    return 'shape or type'
                ids = as_ids(found, weight.size(1), (2, ))
                return None if weight.gather(1, ids).gt(0).all() else 'no weight there'

            return problem

        return Case('draw', args, dict(weight='weight', num_draws='count', backend='backend'),
                    lambda a: draw(**a), expect)

    def normalize(self):
        dtype = self.dtype()
        args = dict(x=self.table(self.size(0), self.size(0), dtype),
                    backend=self.backend(dtype, 'sampled'))

        def expect(a):
            x = as_table(a['x'])
            as_backend(a['backend'], a['x'].dtype, 'sampled')
            return [torch.nn.functional.normalize(x, dim=-1)]

        return Case('normalize', args, dict(x='table', backend='backend'),
                    lambda a: normalize(**a), expect)

    def top_k(self):
        scores = torch.randint(5, (self.size(0), self.size())).to(self.dtype())
        args = dict(scores=scores, k=self.size())

        def expect(a):
            scores, k = as_table(a['scores']), as_count(a['k'], 1)
            if scores.isnan().any():
                raise Wrong
            value, index = torch.sort(scores, dim=1, descending=True, stable=True)
            more = max(0, k - scores.size(1))
            index = index.masked_fill(value.isneginf(), -1)
            return [torch.nn.functional.pad(index, (0, more), value=-1)[:, :k],
                    torch.nn.functional.pad(value, (0, more), value=-math.inf)[:, :k]]

        return Case('top_k', args, dict(scores='table', k='count'), lambda a: top_k(**a), expect)

    def cross_entropy(self):
        whole, dtype = self.r.random() < .5, self.r.choice((torch.float32, torch.float64))
        n, m, d = self.size(0), self.size(), self.size()
        args = dict(a=self.table(n, d, dtype), b=self.table(m, d, dtype), target=self.ids(m, n),
                    bias=torch.randn(m).to(dtype) if self.r.random() < .5 else None,
                    chunk_size=self.r.randint(1, 5))
        if whole:
            args['weight'] = torch.rand(n).to(dtype)

        def expect(given):
            a, b = as_table(given['a']), as_table(given['b'])
            target = as_ids(given['target'], b.size(0))
            alike(given['a'], given['b'])
            if not (whole and given['chunk_size'] is None):
                as_count(given['chunk_size'], 1)
            if a.size(1) != b.size(1) or target.numel() != a.size(0):
                raise Wrong
            scores = a @ b.t()
            if given['bias'] is not None:
                if given['bias'].dtype != given['a'].dtype or given['bias'].dim() != 1:
                    raise Wrong
                scores = scores + as_vector(given['bias'], b.size(0))
            losses = torch.nn.functional.cross_entropy(scores, target, reduction='none')
            if whole:
                alike(given['weight'], given['a'])
                losses = (losses * as_vector(given['weight'], a.size(0))).sum()
            return [losses]

        kinds = dict(a='table', b='table', target='ids', chunk_size='count')
        function = cross_entropy.product_cross_entropy if whole else (
            cross_entropy.chunked_cross_entropy)
        return Case(function.__name__, args, kinds, lambda a: function(**a), expect)

    def pair_set(self):
        n, m = self.size(), self.size()
        name = self.r.choice(('contains', 'of_users', 'among'))
        count = self.size(0)
        args = dict(graph=self.graph(n, m), user=self.ids(n, count))
        if name != 'of_users':
            args['item'] = self.ids(m, count)

        def expect(a):
            u, i, sizes = edges_of(a['graph'])
            dims = (0, 1, 2) if name == 'contains' else (1, )
            user = as_ids(a['user'], sizes[0], dims)
            known = torch.zeros(sizes, dtype=torch.bool)
            known[u, i] = True
            if name == 'of_users':
                return list(known[user].nonzero().t())
            item = as_ids(a['item'], sizes[1], dims)
            if name == 'contains':
                try:
                    return [known[user, item]]
                except IndexError:
                    raise Wrong from None
            return [known[user][:, item]]

        def call(a):
            method = getattr(PairSet.from_graph(a['graph']), name)
            return method(*(a[k] for k in ('user', 'item') if k in a))

        kinds = dict(graph='graph', user='ids', item='ids')
        return Case(f'PairSet.{name}', args, {k: kinds[k] for k in args}, call, expect)

    def embeddings(self):
        n, m, d = self.size(), self.size(), self.size()
        some = torch.randperm(m)[:self.r.randint(1, m)].sort()[0]
        table = torch.randn(m, d)
        partial = self.r.random() < .5
        z = Embeddings(torch.randn(n, d), table[some] if partial else table, None,
                       Index.of(some, m) if partial else None)
        args = dict(ids=some[self.ids(some.numel(), self.size(0)).long()])

        def expect(a):
            ids = as_ids(a['ids'], m, (0, 1, 2))
            if partial and not torch.isin(ids, some).all():
                raise Wrong
            return [table[ids].double()]

        return Case('Embeddings.items', args, dict(ids='ids'), lambda a: z.items(**a), expect)

    def as_graph(self):
        n, m = self.size(), self.size()
        args = dict(pairs=self.pairs(n, m), num_users=n, num_items=m)

        def expect(a):
            n, m = as_count(a['num_users'], 1), as_count(a['num_items'], 1)
            pairs = as_ids(a['pairs'], 2**62, (2, ))
            if pairs.size(0) != 2:
                raise Wrong
            key = as_ids(pairs[0], n) * m + as_ids(pairs[1], m)
            key = key.sort()[0]
            return lambda g: None if (g.as_tensor()[0].long() * m + g.as_tensor()[1]).equal(
                key) else 'other pairs'

        return Case('as_graph', args, dict(pairs='ids', num_users='count', num_items='count'),
                    lambda a: as_graph(**a), expect)
