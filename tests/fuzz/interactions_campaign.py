r"""``interaction_data``, ``validate``, ``as_graph`` and what is asked of interactions."""
import copy

import numpy as np
import torch
from hypothesis import strategies as st
from torch_geometric.data import Data, HeteroData

import pyg_advcf
from pyg_advcf import EDGE_TYPE, as_graph, interaction_data
from pyg_advcf.interactions import split_key

from .call import becomes, corrupted, turns
from .strategies import SPLITS, data_of, interactions


def wrong_pairs(name, given):
    r"""Corruptions of pairs ``[2, E]``."""
    num_users, num_items = given['num_users'], given['num_items']

    def with_entry(row, value):
        def change(pairs):
            pairs = pairs.clone()
            pairs[row, 0] = value
            return pairs

        return change

    changes = {
        'a user beyond the last': with_entry(0, num_users),
        'an item beyond the last': with_entry(1, num_items),
        'a negative user': with_entry(0, -1),
        'a negative item': with_entry(1, -1),
        'a huge user': lambda p: with_entry(0, 2**62)(p.long()),
        'a huge item': lambda p: with_entry(1, 2**62)(p.long()),
        'a pair twice': lambda p: torch.cat([p, p[:, :1]], 1),
        'fractions': lambda p: p.float(),
        'truth values': lambda p: p.bool(),
        'complex numbers': lambda p: p.to(torch.complex64),
        'three rows': lambda p: torch.cat([p, p[:1]]),
        'one row': lambda p: p[:1],
        'one dimension': lambda p: p.reshape(-1),
        'three dimensions': lambda p: p.unsqueeze(0),
        'sparse': lambda p: p.to_sparse(),
    }
    found = [turns(name, label, change) for label, change in changes.items()]
    found += [becomes(name, label, value) for label, value in (
        ('None', None), ('a text', 'x'), ('a number', 3), ('a dict', {}))]
    found += [turns(name, label, change, None) for label, change in (
        ('int16', lambda p: p.to(torch.int16)), ('uint8', lambda p: p.to(torch.uint8)),
        ('int8', lambda p: p.to(torch.int8)), ('a list', lambda p: p.tolist()),
        ('an array', lambda p: p.numpy()))]
    return found


def wrong_sizes():
    return [becomes(name, label, value) for name in ('num_users', 'num_items') for label, value in (
        ('zero', 0), ('negative', -1), ('a fraction', 8.5), ('a text', '8'), ('None', None),
        ('True', True), ('NaN', float('nan')), ('a list', [8]))]


def unchanged(given):
    def problem(data):
        store = data[EDGE_TYPE]
        for name, pairs in given.items():
            key = name if name == 'edge_index' else split_key(name)
            if not name.startswith('num_') and not torch.equal(store[key].long(), pairs.long()):
                return f'{name} has changed'
        sizes = data['user'].num_nodes, data['item'].num_nodes
        return None if sizes == (given['num_users'], given['num_items']) else f'sizes {sizes}'

    return problem


@st.composite
def _data(draw):
    given = draw(interactions())
    corruptions = wrong_pairs('edge_index', given) + wrong_sizes() + [
        becomes('num_users', 'too large for 64-bit keys', 2**62),
        turns('edge_index', 'empty', lambda p: p[:, :0])]
    for split in [s for s in SPLITS if s in given][:1]:
        corruptions += wrong_pairs(split, given)
    corruptions += [becomes(name, 'no name of a split', given['edge_index'])
                    for name in ('vall', 'train', 'tests', 'Test')]
    return corrupted('interaction_data', lambda g: interaction_data(**g), given, corruptions,
                     unchanged(given))


QUESTIONS = ('validate', 'degrees', 'known_pairs', 'interaction_graph', 'held_out', 'split_names')


def _damage(key, change):
    def apply(data):
        data = copy.copy(data)
        data[EDGE_TYPE][key] = change(data[EDGE_TYPE][key])
        return data

    return apply


def _node(node_type, key, value):
    def apply(data):
        data = copy.copy(data)
        data[node_type][key] = value
        return data

    return apply


def damaged(given):
    r"""Corruptions of interactions that were right when they were built."""
    found = [turns('data', f'edge_index: {c.label}',
                   _damage('edge_index', lambda p, c=c: _applied(c, p)), c.refused)
             for c in wrong_pairs('edge_index', given)]
    for node_type in ('user', 'item'):
        found += [turns('data', f'number of {node_type}s: {label}',
                        _node(node_type, 'num_nodes', value))
                  for label, value in (('zero', 0), ('negative', -1), ('a fraction', 8.5),
                                       ('a text', '8'))]
    found += [becomes('data', label, value) for label, value in (
        ('None', None), ('a text', 'x'), ('a dict', {}), ('homogeneous', Data()),
        ('without interactions', HeteroData()), ('a tensor', torch.ones(2, 2)))]
    return found


def damaged_splits(given):
    found = []
    for split in [s for s in SPLITS if s in given]:
        found += [turns('data', f'{split}: {c.label}',
                        _damage(split_key(split), lambda p, c=c: _applied(c, p)), c.refused)
                  for c in wrong_pairs(split, given)
                  if c.label != 'None']  # PyG takes that for the wish to delete the split.
    return found


def wrong_masks(given):
    size = given['num_items']
    return [turns('data', f'candidate_mask: {label}', _node('item', 'candidate_mask', value))
            for label, value in (
                ('too long', torch.ones(size + 1, dtype=torch.bool)),
                ('ids', torch.arange(size)), ('a list', [True] * size), ('a text', 'x'),
                ('an array', np.ones(size, dtype=bool)))]


def _applied(corruption, value):
    given = {corruption.argument: value}
    corruption.apply(given)
    return given[corruption.argument]


@st.composite
def _questions(draw):
    given = draw(interactions())
    name = draw(st.sampled_from(QUESTIONS))
    data = data_of(given)
    corruptions = damaged(given)
    if name == 'validate':
        corruptions += damaged_splits(given) + wrong_masks(given)
    if name in ('degrees', 'known_pairs', 'split_names', 'held_out'):
        # These read a part: what they do not read may be anything.
        corruptions = [c for c in corruptions if c.argument == 'data'
                       and not c.label.startswith(('edge_index', 'number of'))
                       and (name, c.label) != ('split_names', 'without interactions')]
    if name == 'degrees':
        corruptions += [c for c in damaged(given) if c.label.startswith('edge_index')
                        and 'twice' not in c.label and 'item' not in c.label]
    arguments = {'data': data}
    if name == 'held_out':
        arguments['split'] = next((s for s in SPLITS if s in given), 'none')
        corruptions += [becomes('split', label, value) for label, value in (
            ('unknown', 'no_such_split'), ('None', None), ('a number', 3), ('a list', ['val']))]

    def problem(found):
        user, item = given['edge_index'].long()
        n, m = given['num_users'], given['num_items']
        if name == 'degrees':
            want = [user.tolist().count(u) for u in range(n)], [item.tolist().count(i)
                                                                for i in range(m)]
            return None if tuple(d.tolist() for d in found) == want else f'{found}'
        if name == 'known_pairs':
            want = torch.cat([given['edge_index'], *(
                [given['outer']] if 'outer' in given else [])], 1)
            return None if torch.equal(found, want) else f'{found}'
        if name == 'interaction_graph':
            return graph_problem(given)(found)
        if name == 'held_out':
            return None if torch.equal(found, given[arguments['split']]) else f'{found}'
        if name == 'split_names':
            want = sorted(s for s in SPLITS if s in given)
            return None if sorted(found) == want else f'{found}'
        return unchanged(given)(found)

    return corrupted(name, lambda g: getattr(pyg_advcf, name)(**g), arguments, corruptions,
                     problem, refused=name == 'held_out' and arguments['split'] == 'none')


def graph_problem(given):
    def problem(graph):
        size = graph.get_sparse_size(0), graph.get_sparse_size(1)
        if size != (given['num_users'], given['num_items']):
            return f'sizes {size}'
        have = graph.as_tensor().t().tolist()
        want = sorted(given['edge_index'].t().tolist())
        if have != want:
            return f'edges {have} in place of {want}'
        (indptr, column), _ = graph.get_csr()
        dense = [[u, int(i)] for u in range(size[0]) for i in column[indptr[u]:indptr[u + 1]]]
        if dense != want:
            return 'the compressed form differs'
        (indptr, row), _ = graph.get_csc()
        dense = [[int(u), i] for i in range(size[1]) for u in row[indptr[i]:indptr[i + 1]]]
        return None if sorted(dense) == want else 'the form compressed by column differs'

    return problem


@st.composite
def _graphs(draw):
    given = draw(interactions(splits=()))
    arguments = {'pairs': given['edge_index'], 'num_users': given['num_users'],
                 'num_items': given['num_items']}
    corruptions = [c for c in wrong_pairs('pairs', given) if c.label != 'a pair twice']
    corruptions += wrong_sizes() + [becomes('num_users', 'beyond 32 bits', 2**40),
                                    becomes('num_items', 'beyond 64-bit keys', 2**62)]
    return corrupted('as_graph', lambda g: as_graph(**g), arguments, corruptions,
                     graph_problem(given))


CALLS = st.one_of(_data(), _questions(), _graphs())
