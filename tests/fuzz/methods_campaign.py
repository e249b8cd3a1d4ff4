r"""Every method over every backbone: built, one loss and its gradient."""
from functools import cache

import torch
from hypothesis import strategies as st

from pyg_advcf import InteractionLoader, interaction_data
from pyg_advcf.registry import BACKBONES, METHODS

from .batches import wrong_batches
from .call import becomes, corrupted
from .strategies import keys_to_pairs
from .wrong import by_signature

USERS, ITEMS = 12, 15
_BACKBONE = {'dccf': dict(num_intents=3), 'lightgcl': dict(rank=3)}
# Values that are right: a margin is a cosine, the first layer has the number 0, and an infinite
# alpha leaves the adversarial loss alone.
_RIGHT = {('ccl', 'margin'): ['negative'], ('accf', 'layer'): ['zero'],
          ('apr', 'alpha'): ['infinite']}


@cache
def _data():
    generator = torch.Generator().manual_seed(0)
    keys = torch.randperm(USERS * ITEMS, generator=generator)[:60]
    train, val, outer = keys.split([48, 6, 6])
    return interaction_data(*(keys_to_pairs(train, ITEMS), USERS, ITEMS),
                            val=keys_to_pairs(val, ITEMS), outer=keys_to_pairs(outer, ITEMS))


@cache
def _draws_its_own(method):
    r"""Whether the negatives of a batch are not used."""
    for backbone in BACKBONES:
        try:
            return METHODS[method](BACKBONES[backbone](_data(), dim=3)).negatives == 'none'
        except ValueError:
            pass  # It does not run over this one.


@cache
def _wrong(backbone, method):
    skip = [(argument, label) for (name, argument), labels in _RIGHT.items() if name == method
            for label in labels]
    found = by_signature(METHODS[method], skip=['backbone', *skip], prefix='method.')
    found += by_signature(BACKBONES[backbone], skip=['data'], prefix='backbone.')
    uses = ('user', 'item') if _draws_its_own(method) else ('user', 'item', 'neg_item')
    found += wrong_batches('batch', USERS, ITEMS, uses) + [
        becomes('batch', 'None', None), becomes('data', 'None', None),
        becomes('data', 'a text', 'x'), becomes('instance', 'None', None),
        becomes('instance', 'a text', 'lightgcn'),
        becomes('instance', 'a class', BACKBONES[backbone])]
    return found


@st.composite
def _calls(draw):
    backbone = draw(st.sampled_from(sorted(BACKBONES)))
    method = draw(st.sampled_from(sorted(METHODS)))
    loader = InteractionLoader(_data(), draw(st.integers(1, 8)), draw(st.integers(1, 3)),
                               seed=draw(st.integers(0, 2**16)))
    epoch = draw(st.sampled_from((0, 1, 400)))
    arguments = {'data': _data(), 'backbone.dim': draw(st.integers(2, 5)),
                 'batch': next(iter(loader))}
    arguments |= {f'backbone.{key}': value for key, value in _BACKBONE.get(backbone, {}).items()}

    def own(given, kind):
        return {key.partition('.')[2]: value for key, value in given.items()
                if key.startswith(kind + '.')}

    def call(given):
        instance = given['instance'] if 'instance' in given else BACKBONES[backbone](
            given['data'], **own(given, 'backbone'))
        recommender = METHODS[method](instance, **own(given, 'method'))
        recommender.on_epoch_start(epoch)
        loss = recommender(given['batch'])
        loss.backward()
        return loss.detach(), [p.grad for p in recommender.parameters() if p.grad is not None]

    def problem(found):
        loss, gradients = found
        if loss.dim() != 0 or not bool(loss.isfinite()):
            return f'the loss is {loss.tolist()}'
        if not gradients or not all(bool(g.isfinite().all()) for g in gradients):
            return 'a gradient is missing or not finite'
        return None

    # Not every method runs over every backbone.
    return corrupted(f'{method} over {backbone}', call, arguments, _wrong(backbone, method),
                     problem, refused=None)


CALLS = _calls()
