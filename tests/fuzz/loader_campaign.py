r"""``InteractionLoader`` and one pass over it."""
import torch
from hypothesis import strategies as st

from pyg_advcf import InteractionLoader

from .call import corrupted
from .interactions_campaign import damaged, damaged_splits, wrong_masks
from .strategies import SPLITS, data_of, interactions
from .wrong import by_signature


def pairs_of(given, *names):
    return [tuple(p) for name in names if name in given for p in given[name].t().tolist()]


def problem_of(given, arguments):
    sampler, negatives = arguments['sampler'], arguments['negatives']
    own = pairs_of(given, arguments.get('split') or 'edge_index')
    known = set(pairs_of(given, 'edge_index', 'outer')) | set(own)

    def problem(found):
        loader, batches = found
        if len(batches) != len(loader):
            return f'{len(batches)} batches in place of {len(loader)}'
        seen = []
        for batch in batches:
            rows = list(zip(batch.user.tolist(), batch.item.tolist()))
            if [own[n] for n in batch.id.tolist()] != rows:
                return 'id is not the column of the interaction'
            seen += rows
            if negatives == 'in_batch':
                want = [[(u, i) not in known for i in batch.item.tolist()]
                        for u in batch.user.tolist()]
                if batch.neg_mask.tolist() != want or not torch.equal(batch.neg_item, batch.item):
                    return f'neg_mask {batch.neg_mask.tolist()} in place of {want}'
                continue
            if list(batch.neg_item.shape) != [len(rows), arguments['num_neg']]:
                return f'neg_item has shape {list(batch.neg_item.shape)}'
            for u, drawn in zip(batch.user.tolist(), batch.neg_item.tolist()):
                if any((u, i) in known or not 0 <= i < given['num_items'] for i in drawn):
                    return f'user {u} has the negatives {drawn}'
        if sampler == 'interaction' and not arguments['drop_last'] and sorted(seen) != sorted(own):
            return f'the pass has {sorted(seen)} in place of {sorted(own)}'
        return None

    return problem


@st.composite
def _calls(draw):
    given = draw(interactions())
    negatives = draw(st.sampled_from(('uniform', 'popularity', 'in_batch')))
    arguments = {
        'data': data_of(given), 'batch_size': draw(st.integers(1, 9)),
        'num_neg': draw(st.integers(1, 3)), 'negatives': negatives,
        'sampler': draw(st.sampled_from(('interaction', 'user'))),
        'drop_last': draw(st.sampled_from((None, True, False))),
        'seed': draw(st.integers(0, 2**63 - 1))}
    splits = [s for s in SPLITS if s in given]
    if splits and draw(st.integers(0, 2)) == 0:
        arguments['split'] = draw(st.sampled_from(splits))
    known = set(pairs_of(given, 'edge_index', 'outer', arguments.get('split') or 'outer'))
    items = range(given['num_items'])
    if negatives == 'popularity':
        items = {i for _, i in pairs_of(given, 'edge_index')}
    full = any(all((u, i) in known for i in items) for u in range(given['num_users']))

    def call(given):
        loader = InteractionLoader(**given)
        return loader, list(loader)

    corruptions = by_signature(InteractionLoader) + damaged(given) + damaged_splits(given)
    corruptions += wrong_masks(given)
    return corrupted('InteractionLoader', call, arguments, corruptions,
                     problem_of(given, arguments), refused=True if full else False)


CALLS = _calls()
