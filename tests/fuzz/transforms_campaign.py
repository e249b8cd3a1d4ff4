r"""Every transform, against what it promises of its result."""
import math

import torch
from hypothesis import strategies as st

from pyg_advcf import EDGE_TYPE, Embeddings, split_names, transforms
from pyg_advcf.interactions import split_key

from .call import becomes, corrupted, turns
from .interactions_campaign import damaged
from .strategies import data_of, larger_interactions
from .wrong import by_signature

ratios = st.floats(0.01, 0.6).map(lambda r: round(r, 3))


def pairs_of(tensor):
    return [tuple(p) for p in tensor.t().tolist()]


def floor(value):
    return int(value + 1e-9)


def is_a_partition(given, data):
    store = data[EDGE_TYPE]
    parts = [store.edge_index, *(store[split_key(s)] for s in split_names(data))]
    found = [p for part in parts for p in pairs_of(part)]
    if sorted(found) != sorted(pairs_of(given['edge_index'])):
        return 'the splits are not a partition of the interactions'
    empty = [s for s in split_names(data) if data[EDGE_TYPE][split_key(s)].size(1) == 0]
    return f'the splits {empty} are empty' if empty else None


def core(pairs, k):
    while True:
        users, items = ([p[side] for p in pairs] for side in (0, 1))
        kept = [p for p in pairs if users.count(p[0]) >= k and items.count(p[1]) >= k]
        if len(kept) == len(pairs):
            return kept
        pairs = kept


def random_split(given, own, data):
    bad = is_a_partition(given, data)
    for name in ('val', 'test', 'outer'):
        ratio = own.get(name, 0.1 if name == 'val' else 0.)
        if bad is None and ratio > 0 and not own.get('per_user', True):
            have, total = data[EDGE_TYPE][split_key(name)].size(1), given['edge_index'].size(1)
            if have != floor(ratio * total):
                return f'{name} has {have} of {total} pairs, at a ratio of {ratio}'
    return bad


def cold_start(given, own, data):
    held = [u for u, _ in pairs_of(data[EDGE_TYPE][split_key('test')])]
    want = [0 < held.count(u) < own['threshold'] for u in range(given['num_users'])]
    return is_a_partition(given, data) or (
        None if data['user'].cold_mask.tolist() == want else 'cold_mask is wrong')


def part_of(given, own, data):
    have, all_of = pairs_of(data[EDGE_TYPE].edge_index), pairs_of(given['edge_index'])
    return None if set(have) <= set(all_of) and len(set(have)) == len(have) else 'not a part'


def edge_drop(given, own, data):
    want = floor((1 - own['ratio']) * given['edge_index'].size(1))
    have = data[EDGE_TYPE].edge_index.size(1)
    return part_of(given, own, data) or (None if have == want else f'{have} edges, not {want}')


def random_walk(given, own, data):
    layers = data[EDGE_TYPE].layer_edge_index
    all_of = set(pairs_of(given['edge_index']))
    want = floor((1 - own['ratio']) * given['edge_index'].size(1))
    if len(layers) != own['num_layers'] or any(
            layer.size(1) != want or not set(pairs_of(layer)) <= all_of for layer in layers):
        return 'a layer has not its share of the edges'
    return None


def k_core(given, own, data):
    user, item = (data[t].raw_id[data[EDGE_TYPE].edge_index[n]]
                  for n, t in enumerate(('user', 'item')))
    have = list(zip(user.tolist(), item.tolist()))
    want = core(pairs_of(given['edge_index']), own['k'])
    return None if sorted(have) == sorted(want) else f'{have} in place of {want}'


def noise(given, own, data):
    pairs, old = pairs_of(data[EDGE_TYPE].edge_index), pairs_of(given['edge_index'])
    added = pairs[len(old):]
    if pairs[:len(old)] != old or len(added) != floor(own['ratio'] * len(old)):
        return f'{len(added)} pairs were added'
    return None if len(set(pairs)) == len(pairs) else 'a pair was injected that is there'


def sample_users(given, own, data):
    have = data['user'].num_nodes
    return None if 1 <= have <= floor(own['ratio'] * given['num_users']) else f'{have} users'


def shift_of(given, own, data):
    for kind in ('user', 'item'):
        x, y = given[kind], data[kind].x
        if x.shape != y.shape or not bool(y.isfinite().all()):
            return f'the table of {kind}s is {y.tolist()}'
        lengths = (y - x).norm(dim=1)
        if own['norm'] == 'row' and bool((lengths > own['epsilon'] * 1.01 + 1e-5).any()):
            return f'rows move by {lengths.tolist()}'
    return None


@st.composite
def _of_interactions(draw):
    given = draw(larger_interactions())
    name = draw(st.sampled_from(('RandomSplit', 'ColdStartSplit', 'EdgeDrop', 'NodeDrop', 'KCore',
                                 'RandomWalk', 'AddInteractionNoise', 'PopularityShiftSplit',
                                 'SampleUsers')))
    seed = draw(st.integers(0, 2**32))
    own, check = {
        'RandomSplit': (dict(val=draw(ratios) / 3, test=draw(st.sampled_from((0., 0.1, 0.3))),
                             outer=draw(st.sampled_from((0., 0.1))), per_user=draw(st.booleans())),
                        random_split),
        'ColdStartSplit': (dict(threshold=draw(st.integers(1, 12))), cold_start),
        'EdgeDrop': (dict(ratio=draw(ratios)), edge_drop),
        'NodeDrop': (dict(ratio=draw(ratios)), part_of),
        'KCore': (dict(k=draw(st.integers(1, 4))), k_core),
        'RandomWalk': (dict(ratio=draw(ratios), num_layers=draw(st.integers(1, 3))), random_walk),
        'AddInteractionNoise': (dict(ratio=draw(ratios)), noise),
        'PopularityShiftSplit': (dict(num_groups=draw(st.integers(2, 10)),
                                      gammas=draw(st.sampled_from(((200, 10, 2), (1, ), (5, 2))))),
                                 lambda given, own, data: is_a_partition(given, data)),
        'SampleUsers': (dict(ratio=draw(st.floats(0.1, 1.))), sample_users),
    }[name]
    if name != 'KCore':
        own['seed'] = seed
    cls = getattr(transforms, name)
    arguments = {**{f'new.{key}': value for key, value in own.items()}, 'data': data_of(given)}
    corruptions = by_signature(cls, prefix='new.') + damaged(given)
    for key in ('val', 'test', 'outer', 'ratio'):
        if key in own and name != 'AddInteractionNoise':
            corruptions += [becomes(f'new.{key}', 'above 1', 1.5)]
    if name == 'PopularityShiftSplit':
        corruptions += [becomes('new.gammas', label, value) for label, value in (
            ('below 1', (0.5, )), ('NaN', (math.nan, )), ('twice', (2, 2)), ('a text', 'x'),
            ('texts', ('2', '3')), ('infinite', (math.inf, )))]
        corruptions.append(becomes('new.test_ratio', 'too large', 0.95))

    def call(given):
        return cls(**{key[4:]: value for key, value in given.items()
                      if key.startswith('new.')})(given['data'])

    # Whether anything is left depends on the draw: right, or a clear error.
    return corrupted(name, call, arguments, corruptions,
                     lambda data: check(given, own, data), refused=None)


@st.composite
def _of_tables(draw):
    given = draw(larger_interactions())
    name = draw(st.sampled_from(('RandomNoise', 'FastGradient', 'ProjectedGradient')))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    data = data_of(given)
    tables = {kind: torch.randn(given[f'num_{kind}s'], 3, generator=generator)
              * draw(st.sampled_from((1., 1e-12, 0.))) for kind in ('user', 'item')}
    for kind, table in tables.items():
        data[kind].x = table
    own = {'epsilon': draw(st.sampled_from((0., 0.1, 0.5))),
           'norm': draw(st.sampled_from(('row', 'global', 'sign')))}
    if name != 'RandomNoise':
        own['objective'] = lambda x: x.user.square().sum() + (x.item * x.user[0]).sum()
    cls = getattr(transforms, name)

    def with_table(kind, change):
        def apply(data):
            data = data.clone()
            data[kind].x = change(data[kind].x)
            return data

        return apply

    def without(data):
        data = data.clone()
        del data['user'].x
        return data

    corruptions = by_signature(cls, prefix='new.')
    corruptions += [turns('data', 'without tables', without)] + [
        turns('data', f'a table {label}', with_table('item', change)) for label, change in (
            ('of integers', lambda t: t.long()), ('of one dimension', lambda t: t[:, 0]),
            ('that is a list', lambda t: t.tolist()), ('that is a text', lambda t: 'x'))]
    corruptions += [becomes('data', label, value) for label, value in (
        ('None', None), ('a text', 'x'), ('a number', 3), ('embeddings', Embeddings(
            torch.ones(2, 2), torch.ones(2, 2))))]
    if name != 'RandomNoise':
        corruptions += [
            becomes('new.objective', 'without a gradient', lambda x: torch.ones(())),
            becomes('new.objective', 'of many values', lambda x: x.user.sum(1)),
            becomes('new.objective', 'a number', lambda x: 3.)]
    arguments = {**{f'new.{key}': value for key, value in own.items()}, 'data': data}

    def call(given):
        return cls(**{key[4:]: value for key, value in given.items()
                      if key.startswith('new.')})(given['data'])

    return corrupted(name, call, arguments, corruptions,
                     lambda data: shift_of(tables, own, data))


CALLS = st.one_of(_of_interactions(), _of_interactions(), _of_tables())
