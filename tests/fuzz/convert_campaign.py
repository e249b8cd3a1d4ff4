r"""PyG's own forms: homogeneous graphs, split links, edge types of any name, wrapped modules."""
import copy

import torch
from hypothesis import strategies as st
from torch_geometric.data import Data, HeteroData
from torch_geometric.nn import LightGCN

from pyg_advcf import (
    EDGE_TYPE,
    bipartite,
    from_link_split,
    interaction_data,
    methods,
    resolve_edge_type,
    to_link_split,
)
from pyg_advcf.interactions import split_key
from pyg_advcf.nn import Wrapped

from .call import becomes, corrupted, turns
from .interactions_campaign import damaged
from .methods_campaign import ITEMS, USERS, _data
from .strategies import batches, interactions

_NO_DATA = (('None', None), ('a text', 'x'), ('a number', 3), ('a dict', {}))
_NO_EDGE_TYPE = (('of another name', ('user', 'buys', 'article')), ('a number', 3),
                 ('a text', 'no_such_type'), ('empty', ()), ('a list of numbers', [1, 2, 3]))


def same_keys(have, want, num_items):
    have, want = (sorted((p[0].long() * num_items + p[1]).tolist()) for p in (have, want))
    return None if have == want else f'pairs {have} in place of {want}'


@st.composite
def _bipartite(draw):
    given = draw(interactions(splits=()))
    pairs, users = given['edge_index'].long(), given['num_users']
    edges = pairs + torch.tensor([[0], [users]])
    if draw(st.booleans()):
        edges = torch.cat([edges, edges.flip(0)], dim=1)  # Both directions.
    nodes = users + given['num_items']

    def graph(edge_index, num_nodes=nodes):
        return lambda data: Data(edge_index=edge_index, num_nodes=num_nodes)

    corruptions = [becomes('data', *pair) for pair in (*_NO_DATA, ('HeteroData', HeteroData()))]
    corruptions += [turns('data', label, change) for label, change in {
        'an edge between users': graph(torch.tensor([[0], [users - 1]])),
        'an edge between items': graph(torch.tensor([[users], [nodes - 1]])),
        'a node beyond the last': graph(torch.tensor([[0], [nodes]])),
        'a negative node': graph(torch.tensor([[-1], [users]])),
        'a huge node': graph(torch.tensor([[0], [2**62]])),
        'three rows': graph(torch.cat([edges, edges[:1]])),
        'one dimension': graph(edges[0]),
        'fractions': graph(edges.float()),
        'truth values': graph(edges.bool()),
        'a list': graph(edges.tolist()),
        'a text': graph('x'),
        'without edges': lambda data: Data(num_nodes=nodes),
        'a text for the number of nodes': graph(edges, 'x'),
    }.items()]
    corruptions += [becomes('num_users', label, value) for label, value in (
        ('zero', 0), ('negative', -1), ('all nodes', nodes), ('a fraction', 1.5), ('a text', 'x'),
        ('None', None), ('a list', [2]), ('True', True))]
    arguments = {'data': Data(edge_index=edges, num_nodes=nodes), 'num_users': users}

    def problem(found):
        sizes = found['user'].num_nodes, found['item'].num_nodes
        if sizes != (users, given['num_items']):
            return f'sizes {sizes}'
        return same_keys(found[EDGE_TYPE].edge_index, pairs, given['num_items'])

    return corrupted('bipartite', lambda g: bipartite(**g), arguments, corruptions, problem)


def _links(name, change):
    r"""Changes what a part holds for the edge type."""
    def apply(part):
        part = copy.copy(part)
        part[EDGE_TYPE][name] = change(part[EDGE_TYPE][name])
        return part

    return apply


@st.composite
def _from_links(draw):
    given = draw(interactions(splits=('val', 'test')))
    parts = to_link_split(interaction_data(**given))
    corruptions = [becomes('train', *pair) for pair in _NO_DATA]
    corruptions += [becomes('edge_type', *pair) for pair in _NO_EDGE_TYPE]
    for name in parts:
        corruptions += [becomes(name, *pair) for pair in _NO_DATA if pair[1] is not None]
        corruptions += [turns(name, f'{key}: {label}', _links(key, change))
                        for key, label, change in (
            ('edge_label_index', 'fractions', lambda t: t.float()),
            ('edge_label_index', 'one row', lambda t: t[:1]),
            ('edge_label_index', 'an item beyond the last', lambda t: t + 99),
            ('edge_label_index', 'negative', lambda t: -1 - t),
            ('edge_label_index', 'a list', lambda t: t.tolist()),
            ('edge_label_index', 'a text', lambda t: 'x'),
            ('edge_label', 'one too many', lambda t: torch.cat([t, t[:1]])),
            ('edge_label', 'a text', lambda t: 'x'),
            ('edge_label', 'complex', lambda t: t * 1j))]
    for name in parts.keys() & {'val', 'test'}:
        corruptions.append(turns(name, 'pairs of training', _links(
            'edge_label_index', lambda t: given['edge_index'][:, :1].long().expand(2, t.size(1)))))
    corruptions.append(becomes('vall', 'no name of a split', parts['train']))

    def problem(found):
        for name in ('edge_index', 'val', 'test'):
            if name in given:
                key = name if name == 'edge_index' else split_key(name)
                bad = same_keys(found[EDGE_TYPE][key], given[name], given['num_items'])
                if bad is not None:
                    return f'{name}: {bad}'
        return None

    return corrupted('from_link_split', lambda g: from_link_split(**g), parts, corruptions, problem)


@st.composite
def _to_links(draw):
    given = draw(interactions(splits=('val', 'test')))
    corruptions = damaged(given) + [becomes('edge_type', *pair) for pair in _NO_EDGE_TYPE]

    def problem(parts):
        names = ['train', *(name for name in ('val', 'test') if name in given)]
        return None if list(parts) == names else f'{list(parts)} in place of {names}'

    return corrupted('to_link_split', lambda g: to_link_split(**g),
                     {'data': interaction_data(**given)}, corruptions, problem)


@st.composite
def _edge_types(draw):
    data = HeteroData()
    data['customer'].num_nodes, data['article'].num_nodes = 3, 4
    forward, backward = ('customer', 'buys', 'article'), ('article', 'rev_buys', 'customer')
    data[forward].edge_index = torch.tensor([[0, 2], [1, 3]])
    if draw(st.booleans()):
        data[backward].edge_index = data[forward].edge_index.flip(0)
    arguments = {'data': data}
    if draw(st.booleans()):
        arguments['edge_type'] = draw(st.sampled_from((forward, ('customer', 'article'))))
    corruptions = [becomes('edge_type', *pair) for pair in _NO_EDGE_TYPE]
    corruptions += [becomes('data', *pair) for pair in (*_NO_DATA, ('empty', HeteroData()),
                                                        ('homogeneous', Data()))]
    return corrupted('resolve_edge_type', lambda g: resolve_edge_type(**g), arguments, corruptions,
                     lambda found: None if found == forward else f'{found}')


@st.composite
def _wrapped(draw):
    torch.manual_seed(draw(st.integers(0, 2**16)))
    batch = draw(batches(USERS, ITEMS, num_interactions=48))
    width, layers = draw(st.integers(1, 4)), draw(st.integers(0, 2))
    arguments = {'module': LightGCN(USERS + ITEMS, width, layers), 'data': _data()}
    corruptions = [becomes(name, *pair) for name in arguments for pair in _NO_DATA]
    corruptions += [becomes('module', 'a class', LightGCN),
                    becomes('module', 'of too few nodes', LightGCN(USERS, width, layers)),
                    becomes('module', 'of too many nodes', LightGCN(99, width, layers)),
                    becomes('module', 'without a graph', torch.nn.Linear(2, 2))]
    corruptions += [becomes('table', label, value) for label, value in (
        ('a number', 3), ('of another name', 'x'), ('a list of numbers', [1, 2]), ('empty', ''),
        ('a part that is no table', 'convs'))]
    corruptions += [becomes('call', label, value) for label, value in (
        ('a number', 3), ('of another name', 'x'), ('no method', 'num_nodes'))]
    corruptions += [becomes(name, label, value) for name in ('hetero', 'linear')
                    for label, value in (('a text', 'no'), ('None', None), ('a number', 3))]
    corruptions += [becomes('edge_type', *pair) for pair in _NO_EDGE_TYPE]

    def call(given):
        loss = methods.bpr(Wrapped(**given))(batch._replace(neg_item=batch.neg_item[:, :1],
                                                            neg_mask=None))
        loss.backward()
        return loss.detach()

    return corrupted('Wrapped', call, arguments, corruptions,
                     lambda loss: None if bool(loss.isfinite()) else f'the loss is {loss}')


CALLS = st.one_of(_bipartite(), _from_links(), _to_links(), _edge_types(), _wrapped())
