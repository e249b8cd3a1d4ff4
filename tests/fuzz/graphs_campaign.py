r"""Backbones over graphs that are not their own, against dense matrices."""
from functools import cache

import torch
from hypothesis import strategies as st
from torch_geometric import EdgeIndex

from pyg_advcf import LightGCN, as_graph
from pyg_advcf.nn import DCCF, VGAE, LightGCL

from .call import becomes, corrupted, turns
from .methods_campaign import ITEMS, USERS, _data
from .strategies import keys_to_pairs

LAYERS, WIDTH = 2, 3


@cache
def _backbone(name):
    torch.manual_seed(0)
    return {'lightgcn': lambda: LightGCN(_data(), WIDTH, LAYERS),
            'vgae': lambda: VGAE(_data(), WIDTH, LAYERS),
            'dccf': lambda: DCCF(_data(), WIDTH, LAYERS, num_intents=2),
            'lightgcl': lambda: LightGCL(_data(), WIDTH, LAYERS, rank=2)}[name]().eval()


def lightgcn(pairs, backbone):
    r"""The final embeddings over some pairs, by a dense matrix in float64."""
    a = torch.zeros(USERS + ITEMS, USERS + ITEMS, dtype=torch.float64)
    user, item = pairs
    a[user, USERS + item] = a[USERS + item, user] = 1.
    scale = a.sum(1).clamp(min=1.).rsqrt()
    a = scale.view(-1, 1) * a * scale
    found = [torch.cat([t.detach().double() for t in backbone.x])]
    for _ in range(LAYERS):
        found.append(a @ found[-1])
    return (sum(found) / (LAYERS + 1)).split([USERS, ITEMS])


def hand_made(pairs, size=(USERS, ITEMS), order='row', fill=True):
    graph = EdgeIndex(pairs.to(torch.int32), sparse_size=size, sort_order=order)
    return graph.fill_cache_() if fill else graph


def by_column(graph):
    pairs = graph.as_tensor().long()
    pairs = pairs[:, torch.argsort(pairs[1] * USERS + pairs[0])]
    return hand_made(pairs, order='col')


def with_entry(row, value):
    def change(graph):
        pairs = graph.as_tensor().long().clone()
        pairs[row, -1 if value > 0 else 0] = value
        return hand_made(pairs, fill=False)

    return change


def with_cache(change):
    r"""Ids are right, but the compressed form is not."""
    def apply(graph):
        graph = hand_made(graph.as_tensor().long())
        change(graph)
        return graph

    return apply


def beyond(name, value):
    def change(graph):
        tensor = getattr(graph, name).clone()
        tensor[-1] = value
        setattr(graph, name, tensor)

    return change


WRONG = [
    *(turns('graph', label, change) for label, change in {
        'a user beyond the last': with_entry(0, USERS),
        'an item beyond the last': with_entry(1, ITEMS),
        'a user far beyond the last': with_entry(0, 2**30),
        'an item far beyond the last': with_entry(1, 2**30),
        'a negative user': with_entry(0, -1), 'a negative item': with_entry(1, -1),
        'of more users': lambda g: hand_made(g.as_tensor(), (USERS + 1, ITEMS)),
        'of fewer items': lambda g: hand_made(g.as_tensor().clamp(max=ITEMS - 2),
                                              (USERS, ITEMS - 1)),
        'turned around': lambda g: hand_made(g.as_tensor().flip(0), (ITEMS, USERS), 'col'),
        'a list': lambda g: g.as_tensor().tolist(),
        'of three rows': lambda g: torch.ones(3, 4, dtype=torch.long),
        'one for too many layers': lambda g: [g] * 9,
        'a list of texts': lambda g: ['x'] * LAYERS,
    }.items()),
    *(becomes('graph', label, value) for label, value in (
        ('a text', 'x'), ('a number', 3), ('a dict', {}))),
    # Ids that are right are enough: what is compressed may be made of them again.
    *(turns('graph', label, change, None) for label, change in {
        'a compressed form that ends beyond the last': with_cache(beyond('_indptr', 2**20)),
        'a compressed form by column beyond the last': with_cache(beyond('_T_indptr', 2**20)),
        'a cached user beyond the last': with_cache(lambda g: setattr(g, '_T_index', (
            torch.full((g.size(1), ), 2**20, dtype=torch.int32), None))),
    }.items()),
    turns('graph', 'a plain tensor', lambda g: g.as_tensor(), None),
    turns('graph', 'without sizes', lambda g: EdgeIndex(g.as_tensor().long()), None),
    turns('graph', 'sorted by column', by_column, None),
    turns('graph', 'in no order', lambda g: EdgeIndex(
        g.as_tensor().long().flip(1), sparse_size=(USERS, ITEMS)), None),
    turns('graph', 'said to be sorted, but not',
          lambda g: hand_made(g.as_tensor().flip(1), fill=False), None),
]


@st.composite
def _calls(draw):
    name = draw(st.sampled_from(('lightgcn', 'lightgcn', 'vgae', 'dccf', 'lightgcl')))
    keys = draw(st.lists(st.integers(0, USERS * ITEMS - 1), unique=True, min_size=1, max_size=30))
    pairs = keys_to_pairs(keys, ITEMS)
    backbone = _backbone(name)

    def call(given):
        z = backbone(graph=given['graph'])
        sum(t.square().sum() for t in z).backward()
        return z.detach()

    def problem(z):
        if not all(bool(t.isfinite().all()) for t in z):
            return 'the embeddings are not finite'
        if name == 'lightgcn':
            for have, want in zip(z, lightgcn(pairs, backbone)):
                if not torch.allclose(have.double(), want, atol=1e-5):
                    return f'off by {float((have - want).abs().max()):.1e}'
        return None

    return corrupted(f'{type(backbone).__name__}(graph=)', call,
                     {'graph': as_graph(pairs, USERS, ITEMS)}, WRONG, problem)


CALLS = _calls()
