r"""Every criterion, against loops in float64 where there are any, and what holds of all of them."""
from collections.abc import Callable
from functools import cache

import criteria_reference as reference
import torch
from hypothesis import strategies as st

from pyg_advcf import Embeddings, criteria

from .batches import wrong_batches, wrong_scores
from .call import Corruption, becomes, corrupted, turns
from .ranking_campaign import wrong_tables
from .strategies import batches, embeddings
from .wrong import by_signature

USERS, ITEMS, WIDTH = 5, 7, 3


def on_rows(function: Callable, *arguments):
    return lambda pos, neg: function(pos, neg, *arguments)


def degree(size):
    return torch.arange(1, size + 1)


# Class, arguments, the parts of the batch it reads, and the loss of every row in float64.
SCORED = {
    'AdapTau': (dict(num_users=USERS), ('user', ), None),
    'AdvInfoNCE': (dict(num_users=USERS, num_items=ITEMS, dim=4), ('user', 'neg_item'), None),
    'BCE': ({}, (), on_rows(reference.bce)),
    'BCLoss': (dict(user_degree=degree(USERS), item_degree=degree(ITEMS), dim=4),
               ('user', 'item'), None),
    'BIR': (dict(popularity=degree(ITEMS)), ('neg_item', ), None),
    'BPR': ({}, (), on_rows(reference.bpr)),
    'BSL': ({}, ('user', ), None),
    'CCL': ({}, (), on_rows(reference.ccl, 1., 0.4)),
    'ConstrainedBCE': (dict(user_factor=torch.ones(USERS), item_factor=torch.ones(ITEMS)),
                       ('user', 'item', 'neg_item'), None),
    'DCL': ({}, (), on_rows(reference.dcl)),
    'Hinge': ({}, (), on_rows(reference.hinge, 1.)),
    'InfoL1O': ({}, (), on_rows(reference.infol1o)),
    'InfoNCE': ({}, (), on_rows(reference.infonce)),
    'InstanceWeighted': (dict(dim=WIDTH), ('user', 'item', 'neg_item'), None),
    'SDRO': (dict(group=torch.arange(USERS) % 2), ('user', ), None),
    'SupCon': ({}, ('user', ), None),
    'WARP': (dict(num_items=ITEMS), (), on_rows(reference.warp, ITEMS, 1.)),
    'XIR': (dict(popularity=degree(ITEMS), cache_size=3), ('neg_item', ), None),
}
# Those that draw, or record what they have seen, give another value the second time.
_RANDOM = ('BIR', 'XIR', 'SDRO', 'AdapTau')


def loss_and_gradients(criterion, pos, neg, *others):
    leaves = [t.detach().clone().requires_grad_() if isinstance(t, torch.Tensor)
              and t.is_floating_point() else t for t in (pos, neg)]
    loss = criterion(*leaves, *others)
    if loss.requires_grad:
        loss.sum().backward()
    return loss.detach(), [t.grad for t in leaves if getattr(t, 'grad', None) is not None]


def not_finite(loss, gradients):
    if not bool(loss.isfinite().all()):
        return f'the loss is {loss.tolist()}'
    for gradient in gradients:
        if not bool(gradient.isfinite().all()):
            return f'a gradient is {gradient.tolist()}'
    return None


@cache
def _wrong_arguments(name) -> list[Corruption]:
    # Truth values of margins: CCL's may be any cosine.
    skip = {'CCL': [('margin', 'negative')]}.get(name, ())
    return by_signature(getattr(criteria, name), skip=[*skip, 'criterion'], prefix='new.')


@st.composite
def _scored(draw):
    name = draw(st.sampled_from(sorted(SCORED)))
    own, uses, naive = SCORED[name]
    reduction = draw(st.sampled_from(('mean', 'sum', 'none')))
    batch = draw(batches(USERS, ITEMS))
    rows, columns = batch.neg_item.shape
    dtype = draw(st.sampled_from((torch.float32, torch.float32, torch.float64, torch.bfloat16,
                                  torch.float16)))
    high = 1. if name == 'BCLoss' else 20.
    values = draw(st.lists(st.floats(-high, high, width=32, allow_subnormal=False),
                           min_size=rows * (columns + 1), max_size=rows * (columns + 1)))
    table = torch.tensor(values).view(rows, columns + 1).to(dtype)
    pos, neg = table[:, 0].contiguous(), batch.mask_negatives(table[:, 1:].contiguous())
    arguments = {f'new.{key}': value for key, value in own.items()}
    arguments |= {'new.reduction': reduction, 'pos': pos, 'neg': neg, 'batch': batch}
    if name == 'XIR':
        arguments['batch'] = batch._replace(neg_item=torch.cat([batch.item, torch.arange(3)]),
                                            neg_mask=None)
        arguments['neg'] = neg[:, :1].expand(rows, rows + 3).contiguous()
        arguments['neg'][arguments['neg'].isneginf()] = 0.
    cls = getattr(criteria, name)
    if name == 'InstanceWeighted':
        arguments |= {'new.criterion': criteria.BPR(), 'z': draw(embeddings(USERS, ITEMS, WIDTH))}

    def call(given):
        criterion = cls(**{key[4:]: value for key, value in given.items()
                           if key.startswith('new.')})
        more = [given['z']] if 'z' in given else []
        return loss_and_gradients(criterion, given['pos'], given['neg'], given['batch'], *more)

    corruptions = wrong_scores() + _wrong_arguments(name)
    if uses:
        wrong = wrong_batches('batch', USERS, ITEMS, uses) + [becomes('batch', 'None', None)]
        if name in ('BSL', 'SupCon'):  # They group rows of equal ids, whichever these are.
            wrong = [c for c in wrong if c.label not in ('user negative', 'user beyond the last',
                                                         'user huge')]
        corruptions += wrong
    corruptions += [
        turns('pos', 'no row', lambda t: t[:0]), turns('neg', 'no row', lambda t: t[:0]),
        turns('neg', 'no column', lambda t: t[:, :0], None)]
    if name == 'SDRO':
        corruptions += [becomes('new.group', label, value) for label, value in (
            ('negative', torch.tensor([-1, 0, 1, 0, 1])), ('fractions', torch.ones(USERS)),
            ('with a gap', torch.tensor([0, 2, 0, 2, 0])), ('empty', torch.tensor([]).long()))]
    for key in ('popularity', 'user_degree', 'item_degree', 'user_factor', 'item_factor'):
        if key in own:
            corruptions += [turns(f'new.{key}', label, change) for label, change in (
                ('two dimensions', lambda t: t.view(1, -1)), ('empty', lambda t: t[:0]),
                ('negative', lambda t: -t), ('complex', lambda t: t * 1j),
                ('truth values', lambda t: t > 0))]
    if name == 'InstanceWeighted':
        corruptions += [becomes('z', 'None', None), becomes('z', 'a text', 'x'),
                        becomes('z', 'of another width', Embeddings(torch.ones(USERS, 2),
                                                                    torch.ones(ITEMS, 2))),
                        becomes('new.criterion', 'None', None),
                        becomes('new.criterion', 'a text', 'bpr')]

    def problem(found):
        loss, gradients = found
        bad = not_finite(loss, gradients)
        if bad is not None:
            return bad
        if list(loss.shape) != ([rows] if reduction == 'none' else []):
            return f'the loss has shape {list(loss.shape)}'
        masked = bool(arguments['neg'].isneginf().any())
        if naive is not None and not masked:
            want = naive(pos.double().tolist(), neg.double().tolist())
            want = torch.tensor(want, dtype=torch.float64)
            want = {'mean': want.mean(), 'sum': want.sum(), 'none': want}[reduction]
            if not torch.allclose(loss.double(), want, rtol=1e-3, atol=1e-4):
                return f'{loss.tolist()} in place of {want.tolist()}'
        elif reduction != 'none' and name not in _RANDOM:
            torch.manual_seed(0)
            each = call({**arguments, 'new.reduction': 'none'})[0]
            torch.manual_seed(0)
            again = call(arguments)[0]
            want = each.mean() if reduction == 'mean' else each.sum()
            if not torch.allclose(again, want.to(again.dtype), rtol=1e-3, atol=1e-4):
                return f"'{reduction}' is {again.tolist()}, but the rows are {each.tolist()}"
        return None

    # An adversary has nothing to choose from one negative.
    found = corrupted(name, call, arguments, corruptions, problem,
                      None if name == 'AdvInfoNCE' and columns == 1 else False)
    if 'no row' in found.wrong or 'no column' in found.wrong:
        if found.wrong in ('pos: no row; neg: no row', 'neg: no row; pos: no row'):
            found.refused = None
        if found.refused is None:  # Accepted if the value is a number at all.
            found.check = lambda result: not_finite(*result)
    return found


def _embedded(draw):
    r"""Name, how it is called, arguments, corruptions of them."""
    batch = draw(batches(USERS, ITEMS, num_interactions=6))
    z, other = (draw(embeddings(USERS, ITEMS, WIDTH)) for _ in range(2))
    sizes = {'num_users': USERS, 'num_items': ITEMS}

    def tables(name):
        return [c for c in wrong_tables(name, sizes)
                if c.label not in ('NaN', 'infinite', 'scores beyond float32', 'one user too many',
                                   'one item too few')]

    ids = [('negative', torch.tensor([-1])), ('beyond the last', torch.tensor([99])),
           ('fractions', torch.tensor([0.])), ('a text', 'x'), ('None', None), ('a list', [0])]
    name = draw(st.sampled_from((
        'DirectAU', 'InBatchInfoNCE', 'FullInfoNCE', 'ViewInfoNCE', 'ClampedViewInfoNCE',
        'InvCFLoss', 'EmbeddingL2', 'PopularityEmbedding', 'PrototypeInfoNCE', 'TrajectoryPenalty',
        'WeightNetwork', 'anchored_weights', 'constraint_weights')))
    cls = getattr(criteria, name)
    batched = wrong_batches('batch', USERS, ITEMS, ('user', 'item'))
    batched.append(becomes('batch', 'None', None))
    if name in ('DirectAU', 'EmbeddingL2', 'WeightNetwork'):
        own = {'EmbeddingL2': dict(weight=0.1), 'WeightNetwork': dict(dim=WIDTH)}.get(name, {})
        given = {('x' if name == 'EmbeddingL2' else 'z'): z, 'batch': batch}
        wrong = tables(next(iter(given))) + batched
        if name == 'EmbeddingL2':  # Rows of users and items are not compared.
            wrong = [c for c in wrong if c.label != 'tables of two widths']
        if name == 'WeightNetwork':
            wrong += wrong_batches('batch', USERS, ITEMS, ('neg_item', ))
    elif name in ('ViewInfoNCE', 'ClampedViewInfoNCE', 'InvCFLoss'):
        own = dict(factors=2) if name == 'InvCFLoss' else {}
        first, second = {'ViewInfoNCE': ('z', 'other'), 'InvCFLoss': ('z', 'p'),
                         'ClampedViewInfoNCE': ('view', 'z')}[name]
        given, wrong = {first: z, second: other, 'batch': batch}, tables(first) + batched
    elif name == 'InBatchInfoNCE':
        own, given = {}, {'a': z.user, 'b': other.user}
        wrong = [turns(side, label, change) for side in 'ab' for label, change in (
            ('one row less', lambda t: t[1:]), ('one dimension', lambda t: t[:, 0]),
            ('integers', lambda t: t.long()), ('complex', lambda t: t * 1j),
            ('None', lambda t: None), ('a text', lambda t: 'x'), ('a list', lambda t: t.tolist()))]
        wrong += [becomes('mask', label, value) for label, value in (
            ('of another shape', torch.ones(2, 3, dtype=torch.bool)), ('a text', 'x'),
            ('numbers', torch.ones(USERS, USERS)))]
        wrong += [becomes('log_q', label, value) for label, value in (
            ('too long', torch.zeros(USERS + 1)), ('a text', 'x'), ('a list', [0.] * USERS))]
    elif name == 'FullInfoNCE':
        own, given = {}, {'z': z, 'user': batch.user, 'item': batch.item}
        wrong = tables('z') + [becomes(side, *pair) for side in ('user', 'item') for pair in ids]
        wrong += [turns('user', 'one too many', lambda t: torch.cat([t, t[:1]]))]
    elif name == 'PopularityEmbedding':
        own, given = dict(user_degree=degree(USERS), item_degree=degree(ITEMS), dim=4), {}
        wrong = [turns(f'new.{key}', label, change) for key in ('user_degree', 'item_degree')
                  for label, change in (('two dimensions', lambda t: t.view(1, -1)),
                                        ('negative', lambda t: -t), ('empty', lambda t: t[:0]),
                                        ('complex', lambda t: t * 1j))]
    elif name == 'PrototypeInfoNCE':
        own = dict(num_nodes=USERS, dim=WIDTH, num_clusters=2)
        given = {'x': z.user, 'ids': batch.user}
        wrong = [becomes('ids', *pair) for pair in ids] + [
            becomes('x', 'None', None), becomes('x', 'a text', 'x'),
            becomes('x', 'of another width', torch.ones(USERS, 2)),
            becomes('x', 'of another number of rows', torch.ones(USERS - 1, WIDTH)),
            becomes('x', 'integers', torch.ones(USERS, WIDTH, dtype=torch.long)),
            becomes('new.num_clusters', 'more than nodes', 99)]
    elif name == 'TrajectoryPenalty':
        own = dict(num_interactions=6, warmup_epochs=0, lag=1)
        given = {'pos': torch.ones(batch.id.numel()), 'id': batch.id,
                 'epoch': draw(st.integers(0, 5))}
        wrong = by_signature(cls.forward, skip=('self', )) + [becomes('id', *pair) for pair in ids]
        wrong += [turns('pos', label, change) for label, change in (
            ('one too many', lambda t: torch.cat([t, t[:1]])),
            ('a column', lambda t: t.view(-1, 1)), ('integers', lambda t: t.long()),
            ('a list', lambda t: t.tolist()))]
    elif name == 'anchored_weights':
        own, given = None, {'weights': torch.ones(3), 'losses': torch.ones(3)}
        wrong = by_signature(cls) + [
            turns(side, label, change) for side in given for label, change in (
                ('one too many', lambda t: torch.cat([t, t])), ('no entry', lambda t: t[:0]),
                ('two dimensions', lambda t: t.view(1, -1)), ('integers', lambda t: t.long()))]
        wrong.append(turns('weights', 'negative', lambda t: -t))
    else:
        own, given = None, {'user_degree': degree(USERS), 'item_degree': degree(ITEMS)}
        wrong = by_signature(cls) + [turns(side, label, change) for side in given
                                     for label, change in (
                                         ('negative', lambda t: -t),
                                         ('two dimensions', lambda t: t.view(1, -1)),
                                         ('complex', lambda t: t * 1j))]
    return name, cls, own, given, wrong


@st.composite
def _others(draw):
    name, cls, own, given, wrong = _embedded(draw)
    if own is None:
        def call(given):
            return cls(**given)
    else:
        given = {**{f'new.{key}': value for key, value in own.items()}, **given}
        wrong = wrong + by_signature(cls, prefix='new.')

        def call(given):
            module = cls(**{key[4:]: value for key, value in given.items()
                            if key.startswith('new.')})
            return module(**{key: value for key, value in given.items()
                             if not key.startswith('new.')})

    def problem(found):
        tensors = found if isinstance(found, (tuple, Embeddings)) else [found]
        for tensor in tensors:
            bad = not_finite(tensor.detach(), [])
            if bad is not None:
                return bad
        return None

    return corrupted(name, call, given, wrong, problem)


CALLS = st.one_of(_scored(), _scored(), _others())
