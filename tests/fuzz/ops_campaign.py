r"""Adversarial calls of every operation, in a process that may die: ``run(calls, seed)``.

    python -m tests.fuzz.ops_campaign --calls 2000 --seed 0 --json FILE

A call has right arguments, or one or two of them are corrupted. It is made through the public
function, through ``torch.ops`` (where nothing but the operation itself can check) or through
:func:`torch.compile`. What comes back is compared with plain PyTorch, gradients included; what this
refuses has to be a clear error. Each call is drawn from ``(seed, number)`` alone.
"""
import argparse
import json
import math
import os
import random
import re
import resource
import select
import signal
import subprocess
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from torch_geometric import EdgeIndex

import pyg_advcf
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

OUTCOMES = ('correct', 'clear', 'silent', 'obscure', 'signal', 'hang')
_TIMEOUT = 120.  # Seconds; the first calls compile kernels.
_START = 600.


class Worker:
    r"""The process that makes the calls, started anew where one of them ended it."""
    def __init__(self, seed: int) -> None:
        self.seed, self.process = seed, None

    def _start(self) -> None:
        environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'TRITON_INTERPRET': '1',
                       'PYTHONPATH': str(Path(pyg_advcf.__file__).parents[1])}
        environment.pop('PYG_ADVCF_BACKEND', None)
        self.process = subprocess.Popen(
            [sys.executable, __file__, '--serve', '--seed', str(self.seed)], bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=environment)
        if self._read(1, _START)[0] != b'ready\n':
            raise RuntimeError('the process of the campaign does not start')

    def _read(self, count: int, timeout: float) -> tuple[bytes, bool]:
        r"""So many lines, or those that came before the process ended or (then ``True``) hung."""
        lines = b''
        while lines.count(b'\n') < count:
            if not select.select([self.process.stdout], [], [], timeout)[0]:
                return lines, True
            block = os.read(self.process.stdout.fileno(), 2**16)
            if not block:
                break
            lines += block
        return lines, False

    def __call__(self, number: int) -> list[str]:
        r"""``[function, corruption, outcome, detail]`` of a call."""
        if self.process is None:
            self._start()
        self.process.stdin.write(f'{number}\n'.encode())
        lines, hangs = self._read(2, _TIMEOUT)  # What is called, and what came of it.
        if lines.count(b'\n') < 2:
            code, begun = self.close(), json.loads(lines.splitlines()[0]) if lines else ['?', '?']
            if hangs:
                return [*begun, 'hang', f'no answer in {_TIMEOUT:g} s']
            if code is None or code >= 0:
                raise RuntimeError(f'the process of the campaign ended by itself ({code}) in call '
                                   f'{number}')
            return [*begun, 'signal', signal.Signals(-code).name]
        first, second = lines.splitlines()
        return json.loads(first) + json.loads(second)

    def close(self) -> Optional[int]:
        r"""Ends the process; returns how it ended if it had ended by itself."""
        if self.process is None:
            return None
        self.process.stdin.close()  # One that waits for a call ends then.
        try:
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            code = None
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process = None
        return code


def run(calls: int, seed: int) -> dict[str, Any]:
    r"""Makes so many calls.

    Returns:
        ``tried``; ``counts`` by outcome; and ``examples`` of what is neither correct nor clear,
        with the seed and the number of the call, by which it is found again.
    """
    counts, examples, worker = Counter(dict.fromkeys(OUTCOMES, 0)), [], Worker(seed)
    try:
        for number in range(calls):
            function, corruption, outcome, detail = worker(number)
            counts[outcome] += 1
            if outcome not in ('correct', 'clear'):
                examples.append({'function': function, 'corruption': corruption, 'detail': detail,
                                 'outcome': outcome, 'seed': seed, 'call': number})
    finally:
        worker.close()
    return {'tried': calls, 'counts': dict(counts), 'examples': examples}


class Wrong(Exception):
    r"""The arguments are not right: what the call has to say in an error."""


@dataclass
class Case:
    r"""A call with right arguments.

    Attributes:
        function: Its name in the record.
        args: By name.
        kinds: How each may be corrupted.
        call: Makes the call.
        expect: What plain PyTorch returns, or a function that finds what is wrong with a result;
            raises :class:`Wrong` where the arguments are.
    """
    function: str
    args: dict
    kinds: dict
    call: Callable[[dict], Any]
    expect: Callable[[dict], Any]


def _table(x, rows=None, width=None):
    if not isinstance(x, torch.Tensor) or x.layout != torch.strided or x.device.type != 'cpu' or (
            x.dim() != 2 or not x.is_floating_point()):
        raise Wrong
    if rows not in (None, x.size(0)) or width not in (None, x.size(1)):
        raise Wrong
    return x.double()


def _vector(x, size):
    if not isinstance(x, torch.Tensor) or x.device.type != 'cpu' or x.is_complex() or (
            x.layout != torch.strided or list(x.shape) not in ([size], [size, 1])):
        raise Wrong
    return x.double().reshape(-1)


def _ids(t, size, dims=(1, ), distinct=False):
    if not isinstance(t, torch.Tensor) or t.device.type != 'cpu' or t.is_floating_point() or (
            t.is_complex() or t.dtype == torch.bool or t.dim() not in dims) or (
            t.layout != torch.strided):
        raise Wrong
    if t.numel() and (int(t.min()) < 0 or int(t.max()) >= size):
        raise Wrong
    if distinct and t.unique().numel() != t.numel():
        raise Wrong
    return t.long()


def _alike(*tables):
    if len({t.dtype for t in tables}) != 1:
        raise Wrong


def _count(value, minimum=0):
    if type(value) is not int or value < minimum:
        raise Wrong
    return value


def _backend(name, dtype, kind, compiled=False):
    floats = (torch.float32, torch.float64)
    if name is not None and (not isinstance(name, str)
                             or name not in ('torch', 'fused', 'numba', 'triton')):
        raise Wrong
    if dtype not in floats and (name == 'numba' or name == 'fused' and kind != 'spmm'):
        raise Wrong


def _edges(graph):
    if not isinstance(graph, EdgeIndex):
        raise Wrong
    user, item = graph.as_tensor().long()
    sizes = [int(t.max()) + 1 if n is None and t.numel() else n or 0
             for t, n in zip((user, item), graph.sparse_size())]
    return _ids(user, sizes[0]), _ids(item, sizes[1]), sizes


def _pattern(indptr, index, size):
    indptr, index = _ids(indptr, 2**62), _ids(index, size)
    if indptr.numel() == 0 or int(indptr[0]) != 0 or (indptr.diff() < 0).any() or (
            int(indptr[-1]) != index.numel()):
        raise Wrong
    return indptr.diff(), index


def _rows_of(indptr, index, size):
    count, index = _pattern(indptr, index, size)
    return torch.repeat_interleave(torch.arange(count.numel()), count), index


def _transposed(edges, others, width):
    keys = [(u * width + i).sort()[0] for u, i in (edges, others[::-1])]
    return torch.equal(*keys)


def _summed(values, to, size):
    return values.new_zeros(size, *values.shape[1:]).index_add(0, to, values)


def _propagated(user, item, edges, sizes, coefficients):
    r"""Sums of the layers of LightGCN for each row of coefficients."""
    u, i = edges
    degree = [torch.bincount(ids, minlength=n).double().clamp(min=1)
              for ids, n in zip(edges, sizes)]
    norm = (degree[0][u] * degree[1][i]).rsqrt().unsqueeze(1)
    layers = [(user, item)]
    for _ in coefficients[0][1:]:
        x, y = layers[-1]
        layers.append((_summed(y[i] * norm, u, sizes[0]), _summed(x[u] * norm, i, sizes[1])))
    return [sum(c * t for c, t in zip(row, side)) for row in coefficients for side in zip(*layers)]


class Maker:
    r"""Draws a case; all that is random comes from one seed."""
    def __init__(self, seed: int, number: int) -> None:
        self.r = random.Random(f'{seed} {number}')
        torch.manual_seed(self.r.randrange(2**32))

    def size(self, low=1, high=9):
        return self.r.choice((low, self.r.randint(low, high), self.r.randint(low, high)))

    def dtype(self):
        return self.r.choice([torch.float32] * 4 + [torch.float64] * 2
                             + [torch.bfloat16, torch.float16])

    def table(self, rows, width, dtype):
        return torch.randn(rows, width).to(dtype).requires_grad_(self.r.random() < .5)

    def ids(self, size, *shape):
        kind = self.r.choice((torch.int64, torch.int64, torch.int32))
        return torch.randint(max(size, 1), shape if size else [0] * len(shape)).to(kind)

    def distinct(self, size):
        if self.r.random() < .4:
            return None
        return torch.randperm(size)[:self.r.randint(0, size)]

    def pairs(self, n, m):
        keys = torch.randperm(n * m)[:self.r.randint(0, min(n * m, 14))].sort()[0]
        return torch.stack([keys // m, keys % m])

    def graph(self, n, m):
        return as_graph(self.pairs(n, m), n, m)

    def backend(self, dtype, kind, concrete=False):
        names = ['torch', 'torch', 'fused', 'numba', 'numba', 'triton']
        if dtype not in (torch.float32, torch.float64):
            names = ['torch', 'triton'] + ['fused'] * (kind == 'spmm')
        return self.r.choice(names + [None] * (3 * (not concrete)))

    # The public functions.

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
            u, i, sizes = _edges(a['graph'])
            if not isinstance(a['transpose'], bool):
                raise Wrong
            _backend(a['backend'], getattr(a['x'], 'dtype', None), 'spmm')
            (source, held), (to, given) = ((u, sizes[0]), (i, sizes[1]))[::1 if a['transpose']
                                                                         else -1]
            values = _table(a['x'], held)
            if a['col_scale'] is not None:
                values = values * _vector(a['col_scale'], held).unsqueeze(1)
            values = values[source]
            if a['edge_weight'] is not None:
                values = values * _vector(a['edge_weight'], u.numel()).unsqueeze(1)
            out = _summed(values, to, given)
            if a['row_scale'] is not None:
                out = out * _vector(a['row_scale'], given).unsqueeze(1)
            return [out if a['rows'] is None else out[_ids(a['rows'], given, distinct=True)]]

        kinds = dict(graph='graph', x='table', transpose='flag', row_scale='factors',
                     col_scale='factors', edge_weight='factors', rows='rows', backend='backend')
        return Case('spmm', args, kinds, lambda a: spmm(**a), expect)

    def sddmm(self):
        n, m, d, dtype = self.size(), self.size(), self.size(), self.dtype()
        args = dict(graph=self.graph(n, m), user=self.table(n, d, dtype),
                    item=self.table(m, d, dtype), backend=self.backend(dtype, 'spmm'))

        def expect(a):
            u, i, sizes = _edges(a['graph'])
            user = _table(a['user'], sizes[0])
            item = _table(a['item'], sizes[1], user.size(1))
            _alike(a['user'], a['item'])
            _backend(a['backend'], a['user'].dtype, 'spmm')
            return [(user[u] * item[i]).sum(1)]

        kinds = dict(graph='graph', user='table', item='table', backend='backend')
        return Case('sddmm', args, kinds, lambda a: sddmm(**a), expect)

    def _layers(self, name, call, **more):
        n, m, d, dtype = self.size(), self.size(), self.size(), self.dtype()
        args = dict(graph=self.graph(n, m), user=self.table(n, d, dtype),
                    item=self.table(m, d, dtype), rows=(self.distinct(n), self.distinct(m)),
                    backend=self.backend(dtype, 'spmm'), **more)

        def expect(a):
            u, i, sizes = _edges(a['graph'])
            user = _table(a['user'], sizes[0])
            item = _table(a['item'], sizes[1], user.size(1))
            _alike(a['user'], a['item'])
            _backend(a['backend'], a['user'].dtype, 'spmm')
            if name == 'propagate':
                count = _count(a['num_layers']) + 1
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
            rows = [None if ids is None else _ids(ids, size, distinct=True)
                    for ids, size in zip(a['rows'], sizes)]
            out = _propagated(user, item, (u, i), sizes, weights)
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
        return self._sampled('sampled_product', lambda a: sampled_product(**a), concrete=False)

    def _sampled(self, name, call, concrete=True):
        rows, n, m = self.size(0), self.size(0, 4), self.size()
        d, dtype = self.size(0), self.dtype()
        args = dict(a=self.table(rows, d, dtype), b=self.table(m, d, dtype),
                    index=self.ids(m, rows, n),
                    backend=self.backend(dtype, 'sampled', concrete))

        def expect(given):
            a, b = _table(given['a']), _table(given['b'])
            index = _ids(given['index'], b.size(0), (2, ))
            _alike(given['a'], given['b'])
            _backend(given['backend'], given['a'].dtype, 'sampled')
            if a.size(0) != index.size(0) or a.size(1) != b.size(1):
                raise Wrong
            return [(a.unsqueeze(1) * b[index]).sum(-1)]

        kinds = dict(a='table', b='table', index='ids', backend='backend')
        return Case(name, args, kinds, call, expect)

    def sampled_scores(self):
        n, m, batch, d, dtype = self.size(), self.size(), self.size(0), self.size(), self.dtype()
        shape = (batch, self.size(0, 4)) if self.r.random() < .6 else (self.size(0, 4), )
        args = dict(user_emb=self.table(n, d, dtype), item_emb=self.table(m, d, dtype),
                    user=self.ids(n, batch), item=self.ids(m, batch),
                    neg_item=self.ids(m, *shape), kind=self.r.choice(('dot', 'cosine')),
                    temperature=self.r.choice((1., .5)), backend=self.backend(dtype, 'sampled'))

        def expect(a):
            user, item = _table(a['user_emb']), _table(a['item_emb'])
            _alike(a['user_emb'], a['item_emb'])
            _backend(a['backend'], a['user_emb'].dtype, 'sampled')
            u = _ids(a['user'], user.size(0))
            i, j = _ids(a['item'], item.size(0)), _ids(a['neg_item'], item.size(0), (1, 2))
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
            weight, num = _table(a['weight']), _count(a['num_draws'])
            _backend(a['backend'], a['weight'].dtype, 'sampled')
            total = weight.sum(1)
            if weight.size(1) == 0 or (weight < 0).any() or not (total > 0).all() or (
                    not total.isfinite().all()):
                raise Wrong

            def problem(found):
                if list(found.shape) != [weight.size(0), num] or found.dtype != torch.long:
                    return 'shape or type'
                ids = _ids(found, weight.size(1), (2, ))
                return None if weight.gather(1, ids).gt(0).all() else 'no weight there'

            return problem

        return Case('draw', args, dict(weight='weight', num_draws='count', backend='backend'),
                    lambda a: draw(**a), expect)

    def normalize(self):
        dtype = self.dtype()
        args = dict(x=self.table(self.size(0), self.size(0), dtype),
                    backend=self.backend(dtype, 'sampled'))

        def expect(a):
            x = _table(a['x'])
            _backend(a['backend'], a['x'].dtype, 'sampled')
            return [torch.nn.functional.normalize(x, dim=-1)]

        return Case('normalize', args, dict(x='table', backend='backend'),
                    lambda a: normalize(**a), expect)

    def top_k(self):
        scores = torch.randint(5, (self.size(0), self.size())).to(self.dtype())
        args = dict(scores=scores, k=self.size())

        def expect(a):
            scores, k = _table(a['scores']), _count(a['k'], 1)
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
            a, b = _table(given['a']), _table(given['b'])
            target = _ids(given['target'], b.size(0))
            _alike(given['a'], given['b'])
            if not (whole and given['chunk_size'] is None):
                _count(given['chunk_size'], 1)
            if a.size(1) != b.size(1) or target.numel() != a.size(0):
                raise Wrong
            scores = a @ b.t()
            if given['bias'] is not None:
                if given['bias'].dtype != given['a'].dtype or given['bias'].dim() != 1:
                    raise Wrong
                scores = scores + _vector(given['bias'], b.size(0))
            losses = torch.nn.functional.cross_entropy(scores, target, reduction='none')
            if whole:
                _alike(given['weight'], given['a'])
                losses = (losses * _vector(given['weight'], a.size(0))).sum()
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
            u, i, sizes = _edges(a['graph'])
            dims = (0, 1, 2) if name == 'contains' else (1, )
            user = _ids(a['user'], sizes[0], dims)
            known = torch.zeros(sizes, dtype=torch.bool)
            known[u, i] = True
            if name == 'of_users':
                return list(known[user].nonzero().t())
            item = _ids(a['item'], sizes[1], dims)
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
            ids = _ids(a['ids'], m, (0, 1, 2))
            if partial and not torch.isin(ids, some).all():
                raise Wrong
            return [table[ids].double()]

        return Case('Embeddings.items', args, dict(ids='ids'), lambda a: z.items(**a), expect)

    def as_graph(self):
        n, m = self.size(), self.size()
        args = dict(pairs=self.pairs(n, m), num_users=n, num_items=m)

        def expect(a):
            n, m = _count(a['num_users'], 1), _count(a['num_items'], 1)
            pairs = _ids(a['pairs'], 2**62, (2, ))
            if pairs.size(0) != 2:
                raise Wrong
            key = _ids(pairs[0], n) * m + _ids(pairs[1], m)
            key = key.sort()[0]
            return lambda g: None if (g.as_tensor()[0].long() * m + g.as_tensor()[1]).equal(
                key) else 'other pairs'

        return Case('as_graph', args, dict(pairs='ids', num_users='count', num_items='count'),
                    lambda a: as_graph(**a), expect)

    # The operations themselves.

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
            m = _ids(a['t_indptr'], 2**62).numel() - 1
            to, index = _rows_of(a['indptr'], a['index'], m)
            n = a['indptr'].numel() - 1
            _backend(a['backend'], a['x'].dtype, 'spmm')
            if _pattern(a['t_indptr'], a['t_index'], n)[1].numel() != index.numel():
                raise Wrong
            x = _table(a['x'])
            if a['source'] is not None:
                source = _ids(a['source'], m, distinct=True)
                if source.numel() != x.size(0):
                    raise Wrong
                x = x.new_zeros(m, x.size(1)).index_copy(0, source, x)
            if not _transposed((to, index), _rows_of(a['t_indptr'], a['t_index'], n), m):
                x = x.detach()  # Its gradient is that of the other pattern.
            out = _summed(_table(x, m)[index], to, n)
            return [out if a['rows'] is None else out[_ids(a['rows'], n, distinct=True)]]

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
            n, m = (_ids(a[k], 2**62).numel() - 1 for k in ('rowptr', 'colptr'))
            users = _rows_of(a['rowptr'], a['col'], m)
            items = _rows_of(a['colptr'], a['row'], n)
            order = _ids(a['order'], users[0].numel(), distinct=True)
            if not users[0].numel() == items[0].numel() == order.numel():
                raise Wrong
            weight = _vector(a['weight'], order.numel()).unsqueeze(1)
            x = _table(a['x'], n if a['transpose'] else m)
            if not _transposed(users, items, m):
                x = x.detach()
            _alike(a['x'], a['weight'])
            _backend(a['backend'], a['x'].dtype, 'spmm')
            if a['transpose']:
                return [_summed(x[items[1]] * weight[order], items[0], m)]
            return [_summed(x[users[1]] * weight, users[0], n)]

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
            n, m = (_ids(a[k], 2**62).numel() - 1 for k in ('rowptr', 'colptr'))
            user, item = _rows_of(a['rowptr'], a['col'], m)
            other = _rows_of(a['colptr'], a['row'], n)
            order = _ids(a['order'], user.numel(), distinct=True)
            if not user.numel() == a['row'].numel() == order.numel():
                raise Wrong
            x = _table(a['a'], n)
            y = _table(a['b'], m, x.size(1))
            _alike(a['a'], a['b'])
            _backend(a['backend'], a['a'].dtype, 'spmm')
            out = (x[user] * y[item]).sum(1)
            return [out if _transposed((user, item), other, m) else out.detach()]

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
            sizes = [_ids(a[k], 2**62).numel() - 1 for k in ('rowptr', 'colptr')]
            edges = _rows_of(a['rowptr'], a['col'], sizes[1])
            items, users = _rows_of(a['colptr'], a['row'], sizes[0])
            x = []
            for name, size in zip(('user', 'item'), sizes):
                t = _table(a[name])
                if a[f'{name}_source'] is not None:
                    ids = _ids(a[f'{name}_source'], size, distinct=True)
                    if ids.numel() != t.size(0):
                        raise Wrong
                    t = t.new_zeros(size, t.size(1)).index_copy(0, ids, t)
                x.append(_table(t, size))
            _alike(a['user'], a['item'])
            if x[0].size(1) != x[1].size(1):
                raise Wrong
            _backend(a['backend'], a['user'].dtype, 'spmm')
            count = _count(a['num_layers']) + 1
            rows = [None if a[k] is None else _ids(a[k], size, distinct=True)
                    for k, size in zip(('user_rows', 'item_rows'), sizes)]
            if not _transposed(edges, (items, users), sizes[1]):
                return lambda found: None  # Not one graph: no number is right.
            out = _propagated(*x, edges, sizes, [[1 / count] * count])
            return [t if ids is None else t[ids] for t, ids in zip(out, rows)]

        kinds = dict(user='table', item='table', rowptr='pointer', col='ids', colptr='pointer',
                     row='ids', user_rows='rows', item_rows='rows', user_source='rows',
                     item_source='rows', num_layers='integer', backend='backend')
        return Case('ops.propagate', args, kinds, lambda a: torch.ops.pyg_advcf.propagate(**a),
                    expect)

    def direct_sampled_product(self):
        return self._sampled('ops.sampled_product',
                             lambda a: torch.ops.pyg_advcf.sampled_product(**a))

    def direct_gather_sum(self):
        rows, n, m, d, dtype = self.size(0), self.size(0, 4), self.size(), self.size(), self.dtype()
        args = dict(w=self.table(rows, n, dtype), b=self.table(m, d, dtype),
                    index=self.ids(m, rows, n), backend=self.backend(dtype, 'sampled', True))

        def expect(a):
            b = _table(a['b'])
            index = _ids(a['index'], b.size(0), (2, ))
            w = _table(a['w'], *index.shape)
            _alike(a['w'], a['b'])
            _backend(a['backend'], a['b'].dtype, 'sampled')
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
            size = _count(given['size'])
            index = _ids(given['index'], size, (2, ))
            w, a = _table(given['w'], *index.shape), _table(given['a'], index.size(0))
            _alike(given['w'], given['a'])
            _backend(given['backend'], given['a'].dtype, 'sampled')
            values = (w.unsqueeze(-1) * a.unsqueeze(1)).reshape(index.numel(), a.size(1))
            return [_summed(values, index.reshape(-1), size)]

        kinds = dict(w='table', a='table', index='ids', size='integer', backend='backend')
        return Case('ops.scatter_sum', args, kinds,
                    lambda a: torch.ops.pyg_advcf.scatter_sum(**a), expect)

    def direct_merge(self):
        rows, dtype = self.size(0), self.r.choice((torch.float32, torch.float64))
        args = dict(edges=torch.rand(rows, self.size(), dtype=dtype).cumsum(1),
                    points=torch.rand(rows, self.size(0), dtype=dtype).sort(1)[0])

        def expect(a):
            edges, points = _table(a['edges']), _table(a['points'])
            _alike(a['edges'], a['points'])
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
            x = _table(a['x'])
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
            unit = _table(a['unit'])
            grad, norm = _table(a['grad'], *unit.shape), _vector(a['norm'], unit.size(0))
            _alike(a['unit'], a['grad'], a['norm'])
            if a['norm'].dim() != 1 or a['unit'].dtype not in (torch.float32, torch.float64):
                raise Wrong
            along = (grad * unit).sum(1, keepdim=True)
            return [(grad - along * unit) / norm.unsqueeze(1)]

        return Case('ops.normalize_backward', args,
                    dict(grad='table', unit='table', norm='factors'),
                    lambda a: torch.ops.pyg_advcf.normalize_backward(**a), expect)

    # What may be done to an argument: a label, and another value.

    def corrupt(self, kind, value, direct):
        r"""``(label, value)`` with a wrong value, or one that only looks it."""
        r = self.r
        if kind == 'graph':
            return self._other_graph(value)
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
                label, ids = self.corrupt('rows', value[side], False)
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

    def _other_graph(self, graph):
        r, pairs, size = self.r, graph.as_tensor().clone(), graph.sparse_size()
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


PUBLIC = ('spmm', 'sddmm', 'propagate', 'layer_sums', 'sampled_product', 'sampled_scores', 'draw',
          'normalize', 'top_k', 'cross_entropy', 'pair_set', 'embeddings', 'as_graph')
DIRECT = ('spmm', 'weighted_spmm', 'sddmm', 'propagate', 'sampled_product', 'gather_sum',
          'scatter_sum', 'merge', 'normalize', 'normalize_backward')
# What a program compiles; and of what Dynamo makes no code anyway, nothing is learned.
COMPILED = ('spmm', 'propagate', 'layer_sums', 'sampled_product', 'sampled_scores', 'draw',
            'normalize', 'cross_entropy', 'embeddings', 'direct_spmm', 'direct_propagate',
            'direct_sampled_product', 'direct_gather_sum', 'direct_scatter_sum')


def case_of(seed: int, number: int) -> tuple[Case, str, bool]:
    r"""A call, what is wrong with it, and whether it is compiled (by which backend)."""
    maker = Maker(seed, number)
    r = maker.r
    way = r.choice(('public', ) * 5 + ('direct', ) * 4 + ('compiled', ))
    name = r.choice({'public': PUBLIC, 'direct': [f'direct_{name}' for name in DIRECT],
                     'compiled': COMPILED}[way])
    case = getattr(maker, name)()
    labels = []
    count = min(len(case.kinds), r.choice((0, 1, 1, 1, 1, 2)))
    for argument in r.sample(sorted(case.kinds), count):
        label, case.args[argument] = maker.corrupt(case.kinds[argument], case.args[argument],
                                                   name.startswith('direct'))
        labels.append(f'{argument}: {label}')
    if way == 'compiled':
        backend = r.choice(('eager', 'aot_eager'))
        case.function = f'compiled {case.function} ({backend})'
        case.call = _compiled(case.call, backend)
    return case, '; '.join(labels)


def _compiled(call, backend):
    def run(args):
        torch.compiler.reset()
        # Tensors as arguments: a program compiles a function of its tensors.
        return torch.compile(lambda: call(args), backend=backend, dynamic=False)()

    return run


def is_clear(error: BaseException) -> bool:
    r"""Whether an error is a ``ValueError`` of the library itself that names what is wrong."""
    frames = traceback.extract_tb(error.__traceback__)
    library = Path(pyg_advcf.__file__).resolve().parent
    ours = bool(frames) and Path(frames[-1].filename).resolve().is_relative_to(library)
    return ours and isinstance(error, ValueError) and bool(re.search(r"'\w[^']*'", str(error)))


def _leaves(result):
    if isinstance(result, torch.Tensor):
        return [result]
    return [t for part in result for t in _leaves(part)]


def _differs(found, expected, what):
    if len(found) != len(expected):
        return f'{what}: {len(found)} tensors instead of {len(expected)}'
    for a, b in zip(found, expected):
        if a.shape != b.shape:
            return f'{what}: shape {list(a.shape)} instead of {list(b.shape)}'
        tolerance = {torch.float16: .1, torch.bfloat16: .3, torch.float32: 1e-3}.get(a.dtype, 1e-8)
        if not torch.allclose(a.double(), b.double(), tolerance, tolerance, equal_nan=True):
            return f'{what}: off by {float((a.double() - b.double()).abs().max()):.3g}'
    return None


def outcome_of(case: Case, wrong: str) -> tuple[str, str]:
    r"""What came of the call, and why if it is not what it should be."""
    leaves = [t for t in case.args.values() if isinstance(t, torch.Tensor) and t.requires_grad
              and t.device.type == 'cpu' and t.dtype in (torch.float32, torch.float64)]
    try:
        expected = case.expect(case.args)
    except Wrong:
        expected = None
    try:
        result = case.call(case.args)
        grads = None
        if expected is not None and leaves and not callable(expected):
            total = sum((t.double() * (k + 1)).sum() for k, t in enumerate(_leaves(result))
                        if t.requires_grad)
            if isinstance(total, torch.Tensor):
                grads = torch.autograd.grad(total, leaves, allow_unused=True)
    except Exception as error:
        what = f'{type(error).__name__}: {" ".join(str(error).split())[:200]}'
        if not wrong:
            return 'obscure', f'right arguments were refused: {what}'
        if is_clear(error):
            return 'clear', ''
        frame = (traceback.extract_tb(error.__traceback__) or [None])[-1]
        return 'obscure', f'{what} ({Path(frame.filename).name}:{frame.lineno})'
    if expected is None:
        return 'silent', 'accepted'
    if callable(expected):
        problem = expected(result)
    else:
        problem = _differs(_leaves(result), expected, 'result')
        total = sum((t.double() * (k + 1)).sum() for k, t in enumerate(expected))
        if problem is None and grads is not None and total.requires_grad:
            theirs = torch.autograd.grad(total, leaves, allow_unused=True)
            pairs = [(a, b) for a, b in zip(grads, theirs) if a is not None and b is not None]
            problem = _differs(*zip(*pairs), 'gradient') if pairs else None
    return ('correct', '') if problem is None else ('silent', problem)


def serve(seed: int) -> None:
    r"""Makes the calls whose numbers come in, and tells of each what it is and what came of it."""
    out = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    print('ready', file=out, flush=True)
    for line in sys.stdin:
        case, wrong = case_of(seed, int(line))
        print(json.dumps([case.function, wrong]), file=out, flush=True)
        print(json.dumps(outcome_of(case, wrong)), file=out, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--calls', type=int, default=2000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=Path)
    parser.add_argument('--serve', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.seed)
        return
    report = run(args.calls, args.seed)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + '\n')
    print(json.dumps({'tried': report['tried'], **report['counts']}))


if __name__ == '__main__':
    main()
