r"""``Dot`` and ``Cosine``, against plain indexing, and the embeddings that they score."""
import torch
import torch.nn.functional as F
from hypothesis import strategies as st

from pyg_advcf import Cosine, Dot, Embeddings
from pyg_advcf.embeddings import Index

from .batches import wrong_batches
from .call import becomes, corrupted, turns
from .ranking_campaign import wrong_tables
from .strategies import batches, embeddings
from .wrong import by_signature

USERS, ITEMS = 5, 7


def scores_of(z, batch, cls, temperature):
    user, item = (t.double() for t in z)
    if cls is Cosine:
        user, item = F.normalize(user, dim=-1), F.normalize(item, dim=-1)
    table = user @ item.t() / temperature
    neg = table[batch.user.view(-1, 1), batch.neg_item]
    return table[batch.user, batch.item], batch.mask_negatives(neg)


def _made(cls, given):
    return cls(**{name.removeprefix('new.'): value for name, value in given.items()
                  if name.startswith('new.')})


@st.composite
def _forward(draw):
    cls = draw(st.sampled_from((Dot, Cosine)))
    z, batch = draw(embeddings(USERS, ITEMS)), draw(batches(USERS, ITEMS))
    arguments = {'new.temperature': draw(st.sampled_from((0.1, 1., 3))), 'z': z, 'batch': batch}
    sizes = {'num_users': USERS, 'num_items': ITEMS}
    corruptions = by_signature(cls, prefix='new.') + wrong_batches('batch', USERS, ITEMS)
    corruptions += [c for c in wrong_tables('z', sizes) if c.label not in (
        'NaN', 'infinite', 'scores beyond float32', 'one user too many', 'one item too few')]
    corruptions += [becomes('batch', 'None', None), becomes('new.temperature', 'zero', 0.)]
    columns = torch.ones(batch.user.numel(), batch.neg_item.size(1) + 1, dtype=torch.bool)
    corruptions += [turns('batch', f'neg_mask {label}', lambda b, v=value: b._replace(neg_mask=v))
                    for label, value in (('too wide', columns), ('a text', 'x'),
                                         ('numbers', torch.ones(batch.neg_item.shape)))]
    if batch.user.numel() > 1:
        part = batch._replace(user=batch.user[:1], item=batch.item[:1], neg_item=batch.neg_item[:1])
        if int((batch.user != batch.user[0]).sum()) > 0:
            index = Index.of(part.user, USERS)
            corruptions.append(becomes('z', 'the rows of another batch', Embeddings(
                z.user[index.ids], z.item, index, None)))

    def call(given):
        return _made(cls, given)(given['z'], given['batch'])

    def problem(found):
        want = scores_of(z, batch, cls, arguments['new.temperature'])
        for have, right in zip(found, want):
            if not torch.allclose(have.double(), right, rtol=1e-4, atol=1e-4):
                return f'{have.tolist()} in place of {right.tolist()}'
        return None

    return corrupted(cls.__name__, call, arguments, corruptions, problem)


@st.composite
def _prepare(draw):
    cls = draw(st.sampled_from((Dot, Cosine)))
    z = draw(embeddings(USERS, ITEMS))
    corruptions = [c for c in wrong_tables('z', {'num_users': USERS, 'num_items': ITEMS})
                   if c.label in ('a tuple', 'a tensor', 'None', 'a text', 'a number')]

    def problem(found):
        want = [F.normalize(t, dim=-1) if cls is Cosine else t for t in z]
        return None if all(map(torch.allclose, found, want)) else f'{found}'

    return corrupted(f'{cls.__name__}.prepare', lambda g: cls().prepare(**g), {'z': z}, corruptions,
                     problem)


@st.composite
def _rows(draw):
    side = draw(st.sampled_from(('users', 'items')))
    z = draw(embeddings(USERS, ITEMS))
    size, table = (USERS, z.user) if side == 'users' else (ITEMS, z.item)
    ids = draw(st.lists(st.integers(0, size - 1), max_size=5))
    arguments = {'ids': torch.tensor(ids, dtype=torch.long)}
    corruptions = [becomes('ids', label, value) for label, value in (
        ('beyond the last', torch.tensor([size])), ('negative', torch.tensor([-1])),
        ('fractions', torch.tensor([0.])), ('truth values', torch.tensor([True])),
        ('a text', 'x'), ('None', None), ('a list', [0]), ('a number', 0))]

    def problem(found):
        return None if torch.equal(found, table[arguments['ids']]) else f'{found}'

    return corrupted(f'Embeddings.{side}', lambda g: getattr(z, side)(**g), arguments, corruptions,
                     problem)


CALLS = st.one_of(_forward(), _forward(), _prepare(), _rows())
