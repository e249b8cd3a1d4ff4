import json
import math

import numpy as np
import pytest
import torch

from pyg_advcf import (
    EDGE_TYPE,
    MF,
    InteractionLoader,
    LightGCN,
    MinMaxStep,
    Recommender,
    SAMStep,
    Step,
    criteria,
    evaluate,
    fit,
    methods,
)
from pyg_advcf.training import save_atomically, step_for
from pyg_advcf.transforms import RandomSplit


def make(toy, hardness='embed', seed=0):
    torch.manual_seed(seed)
    method = methods.advinfonce(LightGCN(toy, dim=8, num_layers=2), temperature=0.2, k=4,
                                hardness=hardness)
    step = (Step(method, lr=0.01) if hardness == 'random' else  # Nothing of it learns.
            MinMaxStep(method, lr=0.01, adversary_lr=0.01, interval=3, offset=0, max_passes=5))
    return step, InteractionLoader(toy, 64, 4, seed=seed)


def run(toy, **kwargs):
    step, loader = make(toy, kwargs.pop('hardness', 'embed'))
    kwargs = {'epochs': 12, 'evaluate_every': 2, 'progress': False, **kwargs}
    return step.recommender, fit(step, loader, **kwargs)


def without_seconds(history):
    history = history.to_dict()
    for record in history['epochs']:
        record.pop('seconds'), record.pop('adversary_seconds', None)
    return history


def same_weights(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))


@pytest.mark.parametrize('hardness', ['embed', 'random'])
def test_two_runs_are_bit_equal(toy, hardness):
    (a, first), (b, second) = run(toy, hardness=hardness), run(toy, hardness=hardness)
    assert same_weights(a, b) and without_seconds(first) == without_seconds(second)


def test_history_is_plain_data(toy):
    _, history = run(toy, track=lambda: {'extra@1': 0.5})
    json.dumps(history.to_dict())
    assert [r['epoch'] for r in history.epochs] == list(range(12))
    assert [r['epoch'] for r in history.evaluated] == [1, 3, 5, 7, 9, 11]
    assert all('recall@20' in r and r['extra@1'] == 0.5 for r in history.evaluated)
    assert [r['epoch'] for r in history.epochs if 'adversary_loss' in r] == [3, 6, 9]
    assert history.seconds_per_epoch > 0


def test_best_weights_are_restored(toy):
    method, history = run(toy, epochs=30)
    best = max(history.evaluated, key=lambda r: r['recall@20'])
    assert history.best_value == best['recall@20'] and history.best_epoch == best['epoch']
    assert evaluate(method, toy, 'val')['val']['recall@20'] == history.best_value
    assert not method.training


def test_patience_counts_evaluations_and_improvement_is_strict(toy):
    values = iter([1., 2., 2., 2., 3.])
    step, loader = make(toy)
    history = fit(step, loader, epochs=50, evaluate=lambda: {'recall@20': next(values)},
                  evaluate_every=3, patience=2, progress=False)
    assert history.stopped_early and history.best_epoch == 5 and len(history.epochs) == 12


def test_no_validation_split_trains_all_epochs(toy):
    del toy[EDGE_TYPE]['val_edge_label_index']
    _, history = run(toy, epochs=3)
    assert len(history.epochs) == 3 and history.best_epoch == -1


@pytest.mark.parametrize('hardness', ['embed', 'random'])
def test_resumed_run_equals_the_uninterrupted_one(toy, tmp_path, hardness):
    straight, expected = run(toy, hardness=hardness, epochs=20)
    path = tmp_path / 'run.pt'
    run(toy, hardness=hardness, epochs=8, checkpoint=path)
    step, loader = make(toy, hardness)
    torch.manual_seed(123)  # A new process has another state.
    loader.generator.manual_seed(7)
    history = fit(step, loader, epochs=20, evaluate_every=2, checkpoint=path, resume=True,
                  progress=False)
    assert same_weights(step.recommender, straight)
    assert without_seconds(history) == without_seconds(expected)
    # Resuming a finished run trains nothing and gives the same.
    step, loader = make(toy, hardness)
    fit(step, loader, epochs=20, evaluate_every=2, checkpoint=path, resume=True, progress=False)
    assert same_weights(step.recommender, straight)


def test_interrupted_run_resumes(toy, tmp_path):
    straight, _ = run(toy, epochs=20)
    step, loader = make(toy)
    calls = iter(range(100))

    def evaluate_then_stop():
        if next(calls) == 4:
            raise KeyboardInterrupt
        return evaluate(step.recommender, toy, 'val')['val']

    path = tmp_path / 'run.pt'
    with pytest.raises(KeyboardInterrupt):
        fit(step, loader, epochs=20, evaluate_every=2, evaluate=evaluate_then_stop,
            checkpoint=path, progress=False)
    step, loader = make(toy)
    fit(step, loader, epochs=20, evaluate_every=2, checkpoint=path, resume=True, progress=False)
    assert same_weights(step.recommender, straight)


def test_diverged_training_keeps_the_best_weights(toy):
    class Breaks(Recommender):
        calls = 0

        def forward(self, batch):
            self.calls += 1
            return super().forward(batch) * (float('nan') if self.calls == 11 else 1.)

    torch.manual_seed(0)
    straight = Step(methods.bpr(MF(toy, dim=8)))
    fit(straight, InteractionLoader(toy, 64, seed=1), epochs=2, evaluate_every=2,
        evaluate=lambda: {'recall@20': 0.}, progress=False)
    torch.manual_seed(0)
    step = Step(Breaks(MF(toy, dim=8), criteria.BPR(), l2=1e-4))
    with pytest.raises(FloatingPointError, match='in step 2 of epoch 2.*first is not known.*state '
                       'outside of its state_dict.*best epoch, 1'):
        fit(step, InteractionLoader(toy, 64, seed=1), epochs=50, evaluate_every=2,
            evaluate=lambda: {'recall@20': 0.}, progress=False)
    assert same_weights(step.recommender, straight.recommender)


class Unhelpful:
    r"""Any wrong value: it has no length, no truth and no order."""
    def __bool__(self):
        raise TypeError

    __len__ = __lt__ = __eq__ = __bool__
    __hash__ = None


@pytest.mark.parametrize('argument, values, message', [
    ('epochs', [0, -1, 2.5, None, '3', True], 'needs to be an integer of at least 1'),
    ('evaluate_every', [0, 1.5, None, 'x'], 'needs to be an integer of at least 1'),
    ('patience', [0, 0.5, 'x'], 'needs to be an integer of at least 1'),
    ('select_from', [-1, 0.5, 'x'], 'needs to be an integer of at least 0'),
    ('monitor', [None, 20, b'recall@20', ['recall@20']], 'the name of a metric'),
    ('monitor', ['recall', 'recall@', 'recall@x', 'recall@0', 'recall@-1', 'recall@1.5',
                 'recall@\u0662'], "needs the form 'recall@20'"),
    ('monitor', ['recal@20', '@20'], 'which is not known'),
    ('evaluate', [3, {'recall@20': 1.}], 'needs to be a function without arguments'),
    ('track', [3, {'recall@20': 1.}], 'needs to be a function without arguments'),
    ('checkpoint', [3, b'run.pt', ['run.pt']], 'needs to be the name of a file'),
    ('progress', [None, 1, 'yes'], 'needs to be True or False'),
    ('resume', [1, None, 'weight', 'True', torch.ones(2)], "needs to be True, False or 'weights'"),
    ('lr', [0, -1., float('nan'), 'x'], 'needs to be a finite number above 0'),
    ('loader', [None, 3, [1, 2]], 'needs to be an InteractionLoader'),
    ('step', [None, 3, 'bpr', MF, torch.nn.Linear(1, 1)], 'needs to be a Recommender'),
], ids=range(15))
def test_bad_arguments(toy, argument, values, message):
    if argument == 'monitor':
        values = [*values, Unhelpful()] if 'metric' in message else values
    else:
        values = [*values, Unhelpful()]
    method = methods.bpr(MF(toy, dim=4))
    before = method.backbone.x.user.clone()
    for value in values:
        arguments = {'step': method, 'loader': InteractionLoader(toy, 64), 'epochs': 2,
                     'progress': False, argument: value}
        with pytest.raises(ValueError, match=f"'{argument}' is .*{message}"):
            fit(**arguments)
    assert torch.equal(before, method.backbone.x.user)


def test_a_checkpoint_that_cannot_be_written_is_an_error_before_training(toy, tmp_path):
    (tmp_path / 'file').touch()
    method = methods.bpr(MF(toy, dim=4))
    before = method.backbone.x.user.clone()
    for path in (tmp_path, tmp_path / 'file' / 'run.pt', '/proc/nowhere/run.pt'):
        with pytest.raises(ValueError, match="'checkpoint' is '"):
            fit(method, InteractionLoader(toy, 64), epochs=2, checkpoint=path, progress=False)
    assert torch.equal(before, method.backbone.x.user)


def test_resuming_needs_a_file(toy):
    for resume in (True, 'weights'):
        with pytest.raises(ValueError, match=f"'resume' is {resume!r}, but 'checkpoint' does not"):
            run(toy, resume=resume)


def test_loader_of_other_data(toy, toy_factory):
    with pytest.raises(ValueError, match="'loader' has 41 items, but the recommender's backbone "
                       'has 40; build both from the same data'):
        fit(methods.bpr(MF(toy, dim=4)), InteractionLoader(toy_factory(num_items=41), 64), 2)


def test_a_compiled_recommender_is_an_error_that_says_how(toy):
    method = methods.bpr(MF(toy, dim=4))
    with pytest.raises(ValueError, match=r"(?s)'step' is .*needs to be a Recommender"):
        fit(torch.compile(method), InteractionLoader(toy, 64), 2)
    with pytest.raises(ValueError, match=r"compile it in place, recommender.compile\(\)"):
        Step(torch.compile(method))


@pytest.mark.parametrize('argument', ['evaluate', 'track'])
@pytest.mark.parametrize('value, message', [
    (None, 'is None, but needs to be a dictionary of numbers'),
    (0.5, 'is 0.5, but needs to be a dictionary of numbers'),
    ({'recall@20': 'high'}, "returns 'high' for 'recall@20', but needs to return a number"),
    ({'recall@20': None}, 'returns None for'), ({'recall@20': [1.]}, 'returns the list'),
    ({'recall@20': True}, 'returns True for'), ({'recall@20': torch.ones(2)}, 'returns a tensor'),
    ({3: 1.}, 'returns 1.0 for 3, but'),
    ({'recall@20': 1., 'loss': 1.}, "returns the name 'loss', under which the history has somet"),
])
def test_what_evaluate_and_track_return(toy, argument, value, message):
    other = {'evaluate': lambda: {'recall@20': 0.}}
    with pytest.raises(ValueError, match=message):
        fit(methods.bpr(MF(toy, dim=4)), InteractionLoader(toy, 64), 2, progress=False,
            **{**other, argument: lambda: value})


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_no_epoch_is_chosen_by_what_is_not_finite(toy, value):
    with pytest.raises(ValueError, match=r"'evaluate\(\)' returns (nan|inf) for 'recall@20', by"):
        fit(methods.bpr(MF(toy, dim=4)), InteractionLoader(toy, 64), 2, progress=False,
            evaluate=lambda: {'recall@20': value})
    with pytest.raises(ValueError, match="'monitor' is 'recall@20', which is not known.*ndcg@5"):
        fit(methods.bpr(MF(toy, dim=4)), InteractionLoader(toy, 64), 2, progress=False,
            evaluate=lambda: {'ndcg@5': 1.})


def test_figures_become_plain_numbers(toy, tmp_path):
    values = {'recall@20': np.float32(0.5), 'count': np.int64(3), 'tensor': torch.tensor(0.25)}
    history = fit(methods.bpr(MF(toy, dim=4)), InteractionLoader(toy, 64), 2, progress=False,
                  evaluate=lambda: values, track=lambda: {'gap': float('nan')},
                  checkpoint=tmp_path / 'run.pt')
    record = history.evaluated[0]
    assert [type(record[k]) for k in values] == [float, int, float] and math.isnan(record['gap'])


def test_a_step_that_returns_no_loss(toy):
    class Own(Step):
        def __call__(self, batch):
            return float(super().__call__(batch))

    with pytest.raises(ValueError, match=r'Own\(Recommender with BPR\) returns 0.*needs to return'):
        fit(Own(methods.bpr(MF(toy, dim=4))), InteractionLoader(toy, 64), 2, progress=False)


def test_empty_validation_split_is_an_error_before_training(toy):
    toy[EDGE_TYPE].val_edge_label_index = torch.empty(2, 0, dtype=torch.long)
    step, loader = make(toy)
    before = step.recommender.backbone.x.user.clone()
    with pytest.raises(ValueError, match="the split 'val' is empty"):
        fit(step, loader, epochs=5, progress=False)
    assert torch.equal(before, step.recommender.backbone.x.user)


def test_damaged_checkpoint(toy, tmp_path):
    (tmp_path / 'run.pt').write_bytes(b'half')
    with pytest.raises(ValueError, match='delete it to start anew'):
        run(toy, checkpoint=tmp_path / 'run.pt', resume=True)


def test_checkpoint_of_something_else(toy, tmp_path):
    path = tmp_path / 'run.pt'
    save_atomically({'something': 1}, path)
    with pytest.raises(ValueError, match="run.pt' is no checkpoint of 'fit'.*delete it to start"):
        run(toy, checkpoint=path, resume=True)


def test_loss_is_the_mean_of_the_batches(toy):
    step, loader = make(toy)
    losses = []
    call = type(step).__call__

    class Recording(type(step)):
        def __call__(self, batch):
            loss = call(self, batch)
            losses.append(float(loss))
            return loss

    step.__class__ = Recording
    history = fit(step, loader, epochs=1, progress=False)
    assert math.isclose(history.epochs[0]['loss'], sum(losses) / len(losses), rel_tol=1e-6)


@pytest.mark.parametrize('lr', [None, 0.05])
def test_a_recommender_is_trained_by_its_step(toy, lr):
    ends = []
    for wrap in (lambda m: m, lambda m: Step(m, lr=1e-3 if lr is None else lr)):
        torch.manual_seed(0)
        method = methods.bpr(LightGCN(toy, dim=8))
        kwargs = {'lr': lr} if isinstance(wrap(method), Recommender) else {}
        history = fit(wrap(method), InteractionLoader(toy, 64), epochs=6, progress=False, **kwargs)
        ends.append((method, without_seconds(history)))
    assert same_weights(ends[0][0], ends[1][0]) and ends[0][1] == ends[1][1]


def test_fit_trains_an_adversary_too(toy):
    method = methods.advinfonce(LightGCN(toy, dim=8), temperature=0.2)
    before = [p.detach().clone() for p in method.parameters()]
    history = fit(method, InteractionLoader(toy, 64, 4), epochs=8, lr=0.01, progress=False)
    # The schedule of MinMaxStep: before the epochs 2 and 7.
    assert [r['epoch'] for r in history.epochs if 'adversary_loss' in r] == [2, 7]
    assert not any(map(torch.equal, before, method.parameters()))


@pytest.mark.parametrize('kwargs', [{}, {'mode': 'alternating'}])
def test_fit_trains_the_weights_of_instances_too(toy, kwargs):
    data = RandomSplit(val=0., outer=0.1, per_user=False)(toy)
    method = methods.ACCF(MF(data, dim=8), weighting='bilevel')
    before = [p.detach().clone() for p in method.parameters()]
    loader = InteractionLoader(data, 64)
    fit(step_for(method, loader, **kwargs) if kwargs else method, loader, epochs=2, progress=False)
    assert method.outer_parameters() and not any(map(torch.equal, before, method.parameters()))


def test_weights_of_instances_need_held_out_pairs(toy):
    method = methods.ACCF(MF(toy, dim=8), weighting='bilevel')
    with pytest.raises(ValueError, match=r"'data' has no split 'outer'; split it with RandomSplit"):
        fit(method, InteractionLoader(toy, 64), epochs=2, progress=False)


def test_a_step_has_a_learning_rate_of_its_own(toy):
    step = Step(methods.bpr(MF(toy, dim=4)))
    before = step.recommender.backbone.x.user.clone()
    with pytest.raises(ValueError, match=r"'lr' is 0.1, but Step\(Recommender with BPR\) has a"):
        fit(step, InteractionLoader(toy, 64), epochs=2, lr=0.1, progress=False)
    assert torch.equal(before, step.recommender.backbone.x.user)


@pytest.mark.parametrize('build', [
    lambda b: methods.BC(b, warmup_epochs=3), lambda b: methods.adaptau(b, warmup_epochs=3),
    lambda b: methods.SharpCF(b, warmup_epochs=3), lambda b: methods.APR(b, warmup_epochs=3),
    lambda b: methods.NCL(b, warmup_epochs=3, num_clusters=4),
    lambda b: SAMStep(methods.bpr(b), warmup_epochs=3),
], ids=['bc', 'adaptau', 'sharpcf', 'apr', 'ncl', 'sam'])
def test_training_outlasts_the_warm_up_and_selects_from_its_end(toy, build):
    loader = InteractionLoader(toy, 64, 4)
    for epochs in (1, 3):
        with pytest.raises(ValueError, match=f"'epochs' is {epochs}, but the warm-up of .* takes 3 "
                           "epochs.*raise 'epochs' or lower 'warmup_epochs'"):
            fit(build(LightGCN(toy, dim=4)), loader, epochs=epochs, progress=False)
    values = iter([9., 8., 7., 1., 2., 1.5, 1.4])
    history = fit(build(LightGCN(toy, dim=4)), loader, epochs=50, evaluate_every=1, patience=2,
                  evaluate=lambda: {'recall@20': next(values)}, progress=False)
    assert (history.best_epoch, history.best_value, len(history.epochs)) == (4, 2., 7)
    values = iter([9., 8., 7.])
    history = fit(build(LightGCN(toy, dim=4)), loader, epochs=50, evaluate_every=1, patience=2,
                  select_from=0, evaluate=lambda: {'recall@20': next(values)}, progress=False)
    assert (history.best_epoch, len(history.epochs)) == (0, 3)  # Unless asked to.


def test_nothing_is_selected_before_a_given_epoch(toy):
    values = iter([9., 8., 7., 1., 2., 1.5, 1.4])
    step = Step(methods.bpr(MF(toy, dim=4)))
    history = fit(step, InteractionLoader(toy, 64), epochs=50, evaluate_every=1, patience=2,
                  select_from=3, evaluate=lambda: {'recall@20': next(values)}, progress=False)
    assert (history.best_epoch, history.best_value, len(history.epochs)) == (4, 2., 7)
    with pytest.raises(ValueError, match="'select_from' is 5, but only 5 epochs"):
        fit(step, InteractionLoader(toy, 64), epochs=5, select_from=5)
