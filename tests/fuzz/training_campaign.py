r"""``fit`` and the steps: a few epochs with right and wrong arguments."""
import math
import tempfile
from functools import cache
from pathlib import Path

import torch
from hypothesis import strategies as st

from pyg_advcf import (
    MF,
    BilevelStep,
    InteractionLoader,
    LightGCN,
    MinMaxStep,
    SAMStep,
    Step,
    fit,
    methods,
)

from .call import becomes, corrupted
from .methods_campaign import _data
from .wrong import by_signature

STEPS = {
    'fit': (None, lambda b: methods.bpr(b)), 'Step': (Step, lambda b: methods.infonce(b)),
    'SAMStep': (SAMStep, lambda b: methods.bpr(b)),
    'MinMaxStep': (MinMaxStep, lambda b: methods.advinfonce(b)),
    'BilevelStep': (BilevelStep, lambda b: methods.ACCF(b, weighting='bilevel')),
}


@cache
def _folder():
    return tempfile.TemporaryDirectory(prefix='pyg_advcf_fuzz_')


def damaged_file():
    path = Path(_folder().name) / 'no_checkpoint.pt'
    path.write_bytes(b'no checkpoint')
    return path


@st.composite
def _calls(draw):
    name = draw(st.sampled_from(sorted(STEPS)))
    cls, build = STEPS[name]
    backbone = draw(st.sampled_from((MF, LightGCN)))
    torch.manual_seed(draw(st.integers(0, 2**16)))
    data = _data()
    loader = InteractionLoader(data, batch_size=16, num_neg=2)
    epochs = draw(st.integers(1, 3))
    arguments = {'fit.loader': loader, 'fit.epochs': epochs, 'fit.progress': False,
                 'recommender': build(backbone(data, dim=3)),
                 'fit.evaluate_every': draw(st.integers(1, 2)),
                 'fit.monitor': draw(st.sampled_from(('recall@20', 'ndcg@5')))}
    if cls is None:
        arguments['fit.lr'] = draw(st.sampled_from((1e-3, 0.1)))
    if cls is BilevelStep:
        arguments['step.outer_loader'] = InteractionLoader(data, batch_size=4, split='outer')
    corruptions = by_signature(
        fit, skip=['step', 'select_from', 'track', 'lr', 'checkpoint'], prefix='fit.')
    corruptions += [becomes('fit.select_from', label, value) for label, value in (
        ('negative', -1), ('beyond the last epoch', 99), ('a text', 'x'), ('a fraction', 0.5))]
    corruptions += [becomes('fit.checkpoint', label, value) for label, value in (
        ('a folder', _folder().name), ('in a file', damaged_file() / 'x.pt'),
        ('empty', ''), ('a number', 3), ('a list', []), ('bytes', b'x'), ('with a zero', 'a\0b'))]
    corruptions += [becomes('fit.resume', 'without a checkpoint', True),
                    becomes('fit.monitor', 'without a length', 'recall'),
                    becomes('fit.monitor', 'of no metric', 'recal@20'),
                    becomes('fit.evaluate', 'of no figure', lambda: {'loss': 'x'}),
                    becomes('fit.evaluate', 'of nothing', lambda: None),
                    becomes('recommender', 'None', None), becomes('recommender', 'a text', 'bpr'),
                    becomes('recommender', 'a builder', methods.bpr)]
    if cls is None:
        corruptions += [c for c in by_signature(fit, only=['lr'], prefix='fit.')]
        corruptions += [becomes('fit.lr', 'zero', 0.), becomes('fit.lr', 'huge', 1e38, None)]
    else:
        corruptions += by_signature(cls, skip=['recommender'], prefix='step.')
        corruptions += [becomes('fit.lr', 'beside a step', 0.1),
                        becomes('step.optimizer', 'of no optimizer', lambda parameters: None)]

    def own(given, kind):
        return {key.partition('.')[2]: value for key, value in given.items()
                if key.startswith(kind + '.')}

    def call(given):
        step = given['recommender']
        if cls is not None:
            step = cls(step, **own(given, 'step'))
        return fit(step, **own(given, 'fit'))

    def problem(history):
        if len(history.epochs) != epochs or not all(math.isfinite(r['loss'])
                                                    for r in history.epochs):
            return f'{history.epochs}'
        tensors = arguments['recommender'].state_dict().values()
        if not all(bool(t.isfinite().all()) for t in tensors if t.is_floating_point()):
            return 'a parameter is not finite'
        return None

    return corrupted(f'fit with {name}' if cls else 'fit', call, arguments, corruptions, problem)


CALLS = _calls()
