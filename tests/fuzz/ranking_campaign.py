r"""``evaluate``, ``recommend`` and the other metrics, against sorted lists."""
import math

import torch
from hypothesis import strategies as st

from pyg_advcf import MF, Cosine, Dot, Embeddings, evaluate, methods
from pyg_advcf.criteria import BPR
from pyg_advcf.metrics import (
    METRICS,
    alignment_uniformity,
    evaluate_by_degree,
    evaluate_by_user,
    interval,
    paired_test,
)

from .call import becomes, corrupted, turns
from .interactions_campaign import damaged, damaged_splits, wrong_masks
from .loader_campaign import pairs_of
from .strategies import SPLITS, data_of, embeddings, interactions, with_a_test_set
from .wrong import by_signature


def wrong_tables(name, given):
    r"""Corruptions of embeddings."""
    def both(change):
        return lambda z: Embeddings(change(z.user), change(z.item))

    def entry(value):
        def change(t):
            t = t.clone()
            t[0, 0] = value
            return t

        return change

    return [turns(name, label, change) for label, change in (
        ('NaN', both(entry(math.nan))), ('infinite', both(entry(math.inf))),
        ('scores beyond float32', lambda z: Embeddings(z.user.sign().abs() * 1e30,
                                                       z.item.sign().abs() * 1e30)),
        ('one user too many', lambda z: Embeddings(torch.cat([z.user, z.user[:1]]), z.item)),
        ('one item too few', lambda z: Embeddings(z.user, z.item[1:])),
        ('tables of two widths', lambda z: Embeddings(
            z.user, torch.cat([z.item, z.item], 1))),
        ('integers', both(lambda t: t.long())),
        ('one dimension', both(lambda t: t[:, 0])),
        ('a tuple', tuple), ('a tensor', lambda z: z.user))] + [
        becomes(name, 'None', None), becomes(name, 'a text', 'x'), becomes(name, 'a number', 3)]


def naive(given, z, split, ks, similarity):
    r"""Metrics by sorting the catalogue of every user."""
    user, item = (t.double() for t in z)
    if isinstance(similarity, Cosine):
        user, item = (t / t.norm(dim=1, keepdim=True).clamp(min=1e-12) for t in (user, item))
    scores = user @ item.t()
    seen = set(pairs_of(given, 'edge_index', 'outer', *(['val'] if split != 'val' else [])))
    others = [s for s in SPLITS if s in given and s.startswith('test') and s != split]
    truth = set(pairs_of(given, split)) - seen
    masked = seen | set(pairs_of(given, *others) if split.startswith('test') else ())
    masked -= truth
    values = {}
    for u in sorted({u for u, _ in truth}):
        wanted = {i for v, i in truth if v == u}
        ranked = sorted((i for i in range(given['num_items']) if (u, i) not in masked),
                        key=lambda i: (-float(scores[u, i]), i))
        # Scores that float32 cannot tell apart may come in another order.
        ordered = [float(scores[u, i]) for i in ranked]
        if any(a - b < 1e-4 for a, b in zip(ordered, ordered[1:])):
            return None
        for k in ks:
            hits = [i in wanted for i in ranked[:k]]
            discount = [1 / math.log2(r + 2) for r in range(k)]
            for name, value in (
                    ('recall', sum(hits) / len(wanted)), ('precision', sum(hits) / k),
                    ('hr', float(any(hits))),
                    ('mrr', next((1 / (r + 1) for r, h in enumerate(hits) if h), 0.)),
                    ('ndcg', sum(d for d, h in zip(discount, hits) if h)
                     / sum(discount[:min(k, len(wanted))]))):
                values.setdefault(f'{name}@{k}', []).append(value)
    return {key: sum(found) / len(found) for key, found in values.items()}


def nothing_to_rank(given, splits):
    seen = pairs_of(given, 'edge_index', 'outer')
    return any(not set(pairs_of(given, s)) - set(seen) - set(
        pairs_of(given, 'val') if s != 'val' else ()) for s in splits)


@st.composite
def _evaluate(draw):
    given = draw(interactions().filter(with_a_test_set))
    splits = [s for s in SPLITS if s in given and s.startswith('test')]
    z = draw(embeddings(given['num_users'], given['num_items']))
    arguments = {
        'model': z, 'data': data_of(given), 'k': draw(st.sampled_from((1, 3, 20, [2, 5], (1, )))),
        'metrics': draw(st.lists(st.sampled_from(METRICS), min_size=1, max_size=4, unique=True)),
        'batch_size': draw(st.integers(1, 9)),
        'similarity': draw(st.sampled_from((None, Dot(), Cosine(0.1))))}
    if draw(st.booleans()):
        splits = [draw(st.sampled_from(splits))]
        arguments['splits'] = splits[0] if draw(st.booleans()) else splits
    ks = [arguments['k']] if isinstance(arguments['k'], int) else list(arguments['k'])
    # An Embeddings is any model; a flag and a model are of no type that could be wrong.
    corruptions = by_signature(evaluate, skip=('model', ('k', 'empty')))
    corruptions += wrong_tables('model', given) + damaged(given) + wrong_masks(given)
    corruptions += [c for c in damaged_splits(given)
                    if c.label.partition(':')[0] in splits or c.label.startswith('val')]
    corruptions += [becomes('k', 'empty', ()), becomes('metrics', 'empty', []),
                    becomes('splits', 'empty', []), becomes('splits', 'unknown', 'test_no_such'),
                    becomes('metrics', 'unknown', ['recal'])]

    def problem(found):
        if sorted(found) != sorted(splits):
            return f'measured {sorted(found)}'
        for split in splits:
            want = naive(given, z, split, ks, arguments['similarity'])
            for key, value in found[split].items():
                if not math.isfinite(value):
                    return f'{key} is {value}'
                if want is not None and key in want and abs(value - want[key]) > 1e-6:
                    return f'{split} {key} is {value} in place of {want[key]}'
        return None

    return corrupted('evaluate', lambda g: evaluate(**g), arguments, corruptions, problem,
                     refused=True if nothing_to_rank(given, splits) else False)


@st.composite
def _recommend(draw):
    given = draw(interactions())
    data = data_of(given)
    torch.manual_seed(draw(st.integers(0, 2**16)))
    backbone = MF(data, dim=draw(st.integers(1, 3)), init='normal_0.1')
    recommender = methods.Recommender(backbone, BPR())
    who = draw(st.sampled_from((backbone, recommender)))
    users = draw(st.lists(st.integers(0, given['num_users'] - 1), max_size=5))
    ids = torch.tensor(users, dtype=torch.long) if draw(st.booleans()) else users
    arguments = {'user_ids': ids, 'k': draw(st.integers(1, 10)),
                 'batch_size': draw(st.integers(1, 4))}
    z = backbone.embeddings()
    corruptions = [c for c in by_signature(type(backbone).recommend,
                                           skip=('self', 'z', 'user_ids', 'similarity'))]
    corruptions += [becomes('user_ids', label, value) for label, value in (
        ('beyond the last', [given['num_users']]), ('negative', [-1]), ('fractions', [0.5]),
        ('truth values', torch.tensor([True])), ('a text', 'x'), ('None', None),
        ('texts', ['a']), ('huge', [2**62]), ('beyond 64 bits', [2**70]), ('a dict', {}),
        ('NaN', [math.nan]), ('lists of two lengths', [[0], [0, 0]]))]
    corruptions += [becomes('user_ids', str(kind)[6:], torch.tensor(users).to(kind), None)
                    for kind in (torch.uint8, torch.int8, torch.int16)]
    if who is backbone:
        corruptions += [becomes('similarity', 'a text', 'cosine'),
                        becomes('similarity', 'a class', Cosine),
                        becomes('z', 'a text', 'x'), becomes('z', 'a tensor', z.user)]
        corruptions += [becomes('z', c.label, made['z']) for c in wrong_tables('z', given)
                        if c.label not in ('None', 'a tensor', 'a text', 'a number')
                        for made in [{'z': z}] if c.apply(made) is None]

    def problem(found):
        known = set(pairs_of(given, 'edge_index', 'outer'))
        scores = z.user.double() @ z.item.double().t()
        for u, row, value in zip(users, found.item.tolist(), found.score.tolist()):
            left = [i for i in range(given['num_items']) if (u, i) not in known]
            best = sorted((float(scores[u, i]) for i in left), reverse=True)[:arguments['k']]
            listed = [i for i in row if i >= 0]
            if len(row) != arguments['k'] or len(set(listed)) != min(len(left), arguments['k']):
                return f'user {u} has {row}'
            if any((u, i) in known for i in listed):
                return f'user {u} has known items in {row}'
            if any(abs(a - b) > 1e-4 for a, b in zip(value, best)):
                return f'user {u} has the scores {value} in place of {best}'
        return None

    return corrupted(f'{type(who).__name__}.recommend', lambda g: who.recommend(**g),
                     arguments, corruptions, problem)


@st.composite
def _other_metrics(draw):
    given = draw(interactions().filter(with_a_test_set))
    split = next(s for s in SPLITS if s in given and s.startswith('test'))
    data, size = data_of(given), given['num_users']
    z = draw(embeddings(given['num_users'], given['num_items']))
    name = draw(st.sampled_from(('by_degree', 'by_user', 'alignment', 'interval', 'paired')))
    nothing = nothing_to_rank(given, [split])
    if name == 'by_degree':
        arguments = {'model': z, 'data': data, 'bounds': (0, 2, math.inf), 'split': split}
        corruptions = by_signature(evaluate_by_degree, skip=('model', ('bounds', 'texts')))
        corruptions += wrong_tables('model', given) + damaged(given) + [
            becomes('bounds', label, value) for label, value in (
                ('falling', (2, 1)), ('of one', (1, )), ('NaN', (0, math.nan)),
                ('texts', ('a', 'b')), ('None', (None, 1)))]
        if nothing:  # A dictionary without groups: there is no model to look at.
            corruptions = []
        function = evaluate_by_degree
    elif name == 'by_user':
        arguments = {'model': z, 'data': data, 'splits': split,
                     'groups': {'all': torch.ones(size, dtype=torch.bool)}}
        corruptions = wrong_tables('model', given) + damaged(given) + [
            becomes('groups', label, value) for label, value in (
                ('ids', {'a': torch.arange(size)}), ('too long', {'a': torch.ones(
                    size + 1, dtype=torch.bool)}), ('a list', {'a': [True] * size}),
                ('a tensor', torch.ones(size, dtype=torch.bool)), ('None', None),
                ('a text', 'x'), ('nobody', {'a': torch.zeros(size, dtype=torch.bool)}))]
        function = evaluate_by_user
    elif name == 'alignment':
        arguments = {'model': z, 'data': data, 'num_pairs': 2}
        corruptions = by_signature(alignment_uniformity, skip=('model', 'split'))
        corruptions += [c for c in wrong_tables('model', given) if 'beyond' not in c.label]
        corruptions += damaged(given) + [becomes('split', 'unknown', 'no_such_split')]
        function, nothing = alignment_uniformity, False
    elif name == 'interval':
        arguments = {'values': draw(st.lists(st.floats(-10, 10), min_size=1, max_size=5))}
        corruptions = [becomes('values', label, value) for label, value in (
            ('empty', []), ('texts', ['a']), ('None', None), ('a dict', {}), ('a text', 'x'),
            ('lists', [[1., 2.], [3.]]))]
        corruptions += [becomes('confidence', label, value) for label, value in (
            ('above 1', 2.), ('negative', -0.5), ('a text', 'x'), ('None', None),
            ('NaN', math.nan), ('zero', 0.), ('one', 1.))]
        function, nothing = interval, False
    else:
        rows = draw(st.integers(2, 5))
        arguments = {'a': torch.arange(rows).float(), 'b': torch.ones(rows)}
        corruptions = [becomes(argument, label, value) for argument in 'ab' for label, value in (
            ('longer', torch.ones(rows + 1)), ('None', None), ('a text', 'x'),
            ('a number', 3.), ('two dimensions', torch.ones(rows, 2)),
            ('complex', torch.ones(rows) * 1j))]
        corruptions += [turns(argument, 'a list', lambda t: t.tolist(), None) for argument in 'ab']
        function, nothing = paired_test, False

    def problem(found):
        def numbers(value):
            if isinstance(value, dict):
                return [n for v in value.values() for n in numbers(v)]
            return list(value) if isinstance(value, tuple) else [value]

        bad = [v for v in numbers(found) if math.isinf(v)]
        return f'{found}' if bad else None

    refused = None if name == 'by_degree' else nothing
    return corrupted(function.__name__, lambda g: function(**g), arguments, corruptions,
                     problem, refused=True if refused else refused)


CALLS = st.one_of(_evaluate(), _recommend(), _other_metrics())
