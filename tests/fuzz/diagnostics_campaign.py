r"""The diagnostics, and synthetic data: what they return is finite and of the right shape."""
import math

import torch
from hypothesis import strategies as st

from pyg_advcf import MF, InteractionLoader, diagnostics, methods
from pyg_advcf.datasets import SyntheticExposure
from pyg_advcf.interactions import validate

from .batches import wrong_batches, wrong_scores
from .call import becomes, corrupted, turns
from .methods_campaign import ITEMS, USERS, _data
from .strategies import scores
from .wrong import by_signature


@st.composite
def _calls(draw):
    torch.manual_seed(draw(st.integers(0, 2**16)))
    data, check, refused = _data(), None, False
    name = draw(st.sampled_from(('worst_case', 'worst_case', 'hardness_report', 'weight_report',
                                 'loss_landscape', 'sharpness', 'SyntheticExposure')))
    function = SyntheticExposure if name == 'SyntheticExposure' else getattr(diagnostics, name)
    wrong = by_signature(function, skip=['method', 'transform'])
    method = methods.bpr(MF(data, dim=3))
    if name == 'worst_case':
        pos, neg = draw(scores())
        given = {'pos': pos, 'neg': neg, 'eta': draw(st.sampled_from((0.01, 0.1, 1.)))}
        given['budget'] = draw(st.sampled_from(('reverse_kl', 'forward_kl', 'none')))
        wrong = by_signature(function, only=['eta', 'budget']) + wrong_scores()
        wrong += [turns('neg', 'no column', lambda t: t[:, :0]), becomes('eta', 'zero', 0.)]

        def check(p):
            if p.shape != neg.shape or not bool(p.isfinite().all()) or bool((p < 0).any()):
                return f'{p.tolist()}'
            return None if torch.allclose(p.sum(1), torch.ones(len(p)).double()) else 'no density'
    elif name in ('hardness_report', 'weight_report'):
        right = (methods.advinfonce(MF(data, dim=3), hardness=draw(
            st.sampled_from(('embed', 'uniform', 'random')))) if name == 'hardness_report'
            else methods.ACCF(MF(data, dim=3), weighting='joint'))
        given = {'method': right, 'data': data}
        given |= ({'bins': draw(st.integers(1, 5)), 'num_neg': 3} if name == 'hardness_report'
                  else {'size': draw(st.integers(8, 40)), 'bins': draw(st.integers(1, 4))})
        wrong += [becomes('method', 'without what is reported', method)]
        if name == 'hardness_report':
            wrong += [becomes('bins', 'more than items', 999), becomes(
                'false_negatives', 'of another shape', torch.ones(2, 2, dtype=torch.bool)),
                becomes('false_negatives', 'numbers', torch.ones(USERS, ITEMS))]
    elif name in ('loss_landscape', 'sharpness'):
        batch = next(iter(InteractionLoader(data, batch_size=8)))
        given = {'method': method, 'batch': batch}
        wrong += wrong_batches('batch', USERS, ITEMS)
        if name == 'loss_landscape':
            given |= {'steps': 3, 'directions': draw(st.integers(1, 2)), 'progress': False}
            wrong += [becomes('steps', 'even', 4), becomes('directions', 'three', 3)]

            def check(found):
                shape = [3] * given['directions']
                return None if list(found.loss.shape) == shape and bool(
                    found.loss.isfinite().all()) else f'{found.loss.tolist()}'
        else:
            def check(found):
                return None if math.isfinite(found) and found >= 0 else f'{found}'
    else:
        given = {'num_users': draw(st.integers(20, 60)), 'num_items': draw(st.integers(20, 50)),
                 'density': draw(st.floats(0.02, 0.09)), 'seed': draw(st.integers(0, 2**32))}
        wrong += [becomes(key, 'above 1', 1.5) for key in (
            'density', 'relevance', 'ood_exposure', 'val_ratio', 'test_ratio')]
        refused = None  # A draw may leave a split empty.

        def check(found):
            return None if validate(found[0]) is not None else 'not valid'
    if 'method' in given:
        wrong += [becomes('method', label, value) for label, value in (
            ('None', None), ('a text', 'x'), ('a backbone', MF(data, dim=3)), ('a number', 3))]
    return corrupted(name, lambda g: function(**g), given, wrong,
                     check or (lambda found: None), refused)


CALLS = _calls()
