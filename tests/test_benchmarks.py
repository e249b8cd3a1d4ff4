r"""The harness of the benchmarks: what is checked, what is recorded, what is not repeated."""
import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
import yaml
from torch_geometric import seed_everything

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks import __main__ as program  # noqa: E402
from benchmarks import config, plan, run, tables  # noqa: E402
from benchmarks.arguments import ConfigError  # noqa: E402
from benchmarks.build import build, load  # noqa: E402
from benchmarks.harness import Harness  # noqa: E402
from pyg_advcf import EDGE_TYPE, evaluate, fit, held_out, interaction_data  # noqa: E402
from pyg_advcf.baselines import ItemKNN  # noqa: E402
from pyg_advcf.registry import BASELINES, METHODS  # noqa: E402
from pyg_advcf.transforms import MergeSplit  # noqa: E402

CONFIGS = sorted(path.stem for path in config.CONFIGS.glob('*.yaml'))
TINY = {
    'data': {'name': 'synthetic', 'num_users': 60, 'num_items': 50},
    'backbone': {'name': 'lightgcn', 'dim': 8, 'num_layers': 2},
    'loader': {'batch_size': 64, 'num_neg': 4},
    'fit': {'epochs': 2, 'evaluate_every': 1},
    'methods': {'infonce': {}, 'advinfonce': {'step': {'interval': 1, 'offset': 0}}},
    'space': {'method.temperature': [0.1, 0.5]}, 'budget': 2, 'seeds': [0, 1],
}


@pytest.fixture
def write(tmp_path):
    def write(content, name='tiny'):
        path = tmp_path / f'{name}.yaml'
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return str(path)

    return write


def changed(**parts):
    return config.merged(TINY, parts)


def files(work):
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino)
            for path in (work / 'runs').glob('*.json')}


@pytest.mark.parametrize('name', CONFIGS)
def test_every_configuration_can_be_run(name, tmp_path):
    # Every method, and every value that is searched, is built with what the file says.
    harness = Harness(name, tmp_path / 'work')
    budget = harness.comparison.budget
    for label, method in harness.comparison.methods.items():
        searched = next(p for p in harness.plans if p.label == label)
        if label != 'popularity':  # Which has nothing to search.
            assert searched.budget == budget or searched.budget >= 2, label
            assert bool(searched.choices) == (budget > 1), label
        assert all(len(values) > 1 for values in searched.choices.values()), label
        assert len(searched.first) == 1 + len(method.settings) <= max(budget, 1)
        spec = searched.spec(searched.first[0], 3)
        # The published setting is what the file says without a search, filled in by the signatures.
        for group, arguments in method.groups.items():
            for key, value in arguments.items():
                if key != 'name' and value != '$seed' and not isinstance(value, (list, dict)):
                    # YAML reads 1e-3 as a string.
                    received = spec[group]['arguments'][key]
                    assert received == type(received)(value), (label, group, key)
        if spec['method']['name'] in BASELINES:
            assert not spec.keys() & {'backbone', 'step', 'loader'} and spec['seed'] == 3
            assert json.dumps(build(spec, plan._tiny())[0]) == json.dumps(spec)
            continue
        recommender = build(spec, plan._tiny())[1].recommender
        drawn = spec['loader']['arguments']
        many = drawn['num_neg'] > 1 or drawn['negatives'] == 'in_batch'
        assert many == (recommender.negatives == 'many')
        assert spec['seed'] == spec['loader']['arguments']['seed'] == 3
        # What is filled in stays as it is.
        assert json.dumps(build(spec, plan._tiny())[0]) == json.dumps(spec)
    assert not (tmp_path / 'work' / 'runs').exists()


def test_the_comparisons_have_the_methods_that_they_had():
    found = {name: config.load(f'unbiased_{name}').methods for name in (
        'coat_lightgcn', 'coat_mf', 'yahoo_r3_lightgcn', 'yahoo_r3_mf')}
    methods = set(METHODS) - {'accf', 'apr', 'bce', 'sharpcf'}
    over_mf = methods - {'bir', 'xir', 'sgl', 'ncl', 'simgcl', 'xsimgcl', 'lightgcl', 'dccf',
                         'ultragcn'}
    assert set(found['coat_lightgcn']) == methods and set(found['coat_mf']) == over_mf
    for coat, yahoo in (('coat_lightgcn', 'yahoo_r3_lightgcn'), ('coat_mf', 'yahoo_r3_mf')):
        assert list(found[coat]) == list(found[yahoo])
        for label in found[coat]:  # One space, and published settings for each.
            a, b = (dict(found[name][label].space) for name in (coat, yahoo))
            assert len(a.pop('step.lr')) == 2 and len(b.pop('step.lr')) == 3 and a == b
    assert found['yahoo_r3_mf']['dcl'].groups['method']['temperature'] == 0.28
    assert found['coat_mf']['advinfonce'].groups['step'] == {
        'lr': '1e-3', 'adversary_lr': '1e-2', 'interval': 15, 'max_passes': 18}


def test_files_extend_others_and_methods_are_like_others(write):
    write({**TINY, 'methods': {
        'infonce': {'method': {'temperature': 0.3}}, 'bpr': {'loader': {'num_neg': 1}},
        'control': {'like': 'infonce', 'method': {'l2': 0.5}}, 'dcl': {'like': 'infonce'}}}, 'base')
    path = write({
        'extends': 'base.yaml', 'backbone': {'name': 'mf'}, 'seeds': [5],
        'methods': {'bpr': None, 'infonce': {'fit': {'patience': None}},
                    'simgcl': {'backbone': {'name': 'lightgcn', 'skip_input': True}}}})
    found = config.load(path)
    assert list(found.methods) == ['infonce', 'control', 'dcl', 'simgcl'] and found.seeds == [5]
    groups = {label: method.groups for label, method in found.methods.items()}
    # Another name starts anew: MF has no layers.
    assert groups['infonce']['backbone'] == {'name': 'mf'}
    assert groups['simgcl']['backbone'] == {'name': 'lightgcn', 'skip_input': True}
    assert groups['infonce']['fit'] == {'epochs': 2, 'evaluate_every': 1, 'patience': None}
    # A label that is a method's is its name.
    assert groups['control']['method'] == {'name': 'infonce', 'temperature': 0.3, 'l2': 0.5}
    assert groups['dcl']['method'] == {'name': 'dcl', 'temperature': 0.3}


@pytest.mark.parametrize('content, message', [
    ({'methods': {'infonce': {'method': {'temprature': 0.1}}}}, "'infonce'.*'temprature'"),
    ({'methods': {'infonce': {'method': {'temperature': 'hot'}}}}, "infonce.*temperature.*hot"),
    ({'methods': {'infonce': {'method': {'temperature': -1}}}}, "infonce.*'temperature' is -1"),
    ({'methods': {'infonse': {}}}, "'infonse', which is not known. Did you mean 'infonce'"),
    ({'methods': {'sharpcf': {'like': 'aprr'}}}, "like 'aprr'"),
    ({'methods': {'infonce': {'spaces': {'a': 1}}}}, "'infonce'.*'spaces.a'"),
    ({'methods': {'infonce': {'step': {'adversary_lr': 1}}}}, "infonce.*Step.*'adversary_lr'"),
    ({'methods': {'infonce': {'step': {'name': 'SAMSteps'}}}}, "'SAMSteps', which is not known"),
    ({'methods': {'infonce': {'measures': {'x': {'function': 'pyg_advcf.metrics.nothing'}}}}},
     "infonce.*nothing"),
    ({'backbone': {'name': 'mf', 'num_layers': 2}}, "'num_layers'"),
    ({'methods': {'sgl': {'backbone': {'name': 'mf'}}}}, "method 'sgl'.*MF.*SGL needs that"),
    ({'methods': {'lightgcl': {}}}, "method 'lightgcl'.*low-rank.*LightGCL"),
    ({'space': {'method.temprature': [1]}}, "'temprature'"),
    ({'space': {'method.temperature': ['hot']}}, "temperature.*hot"),
    ({'methods': {'ease': {}}, 'space': {'step.lr': [1.]}}, "method 'ease'.*'space' is 'step'"),
    ({'methods': {'ease': {'method': {'l2': 0}}}, 'space': {}}, "method 'ease'.*'l2' is 0"),
    ({'space': {'methods.temperature': [1]}}, "'methods'.*Did you mean 'method'"),
    ({'space': {'method.temperature': [-2.]}}, "'temperature' is -2"),
    ({'prepare': {'transforms': [{'class_path': 'pyg_advcf.transforms.RandomSplit',
                                  'init_args': {'vals': 1}}]}}, 'vals'),
    ({'fit': {'epoch': 3}}, "'epoch'"), ({'evaluate': {'ks': 3}}, "'ks'"),
    ({'data': {'name': 'cote'}}, "'cote'.*Did you mean 'coat'"),
    ({'sampler': 'Guess'}, "'Guess'"), ({'seeds': 3}, 'seeds'),
    ({'budgets': 3}, "'budgets'"), ({'budget': 'all'}, 'budget'),
])
def test_what_is_wrong_is_named_before_anything_is_trained(write, tmp_path, content, message):
    with pytest.raises(ConfigError, match=f'(?s)tiny.yaml.*{message}'):
        Harness(write(changed(**content)), tmp_path / 'work')
    assert not (tmp_path / 'work').exists()


def test_missing_splits_are_named_before_anything_is_trained(write, tmp_path):
    path = write({**TINY, 'methods': {'infonce': {}, 'accf': {
        'method': {'weighting': 'bilevel'}, 'loader': {'num_neg': 1}}}, 'budget': 1})
    harness = Harness(path, tmp_path / 'work')
    with pytest.raises(ConfigError, match="'accf'.*without a split 'outer'.*RandomSplit"):
        harness.run('data', 1, tmp_path)
    assert not (tmp_path / 'work').exists()


def test_a_comparison_is_searched_run_and_recorded_once(write, tmp_path, capsys, monkeypatch):
    path, work = write(TINY), tmp_path / 'work'
    harness = Harness(path, work)
    assert harness.progress() == {'trials': '0/4', 'runs': '0/4'}
    harness.run('data', 1, tmp_path / 'out')
    assert harness.progress() == {'trials': '4/4', 'runs': '4/4'}
    records = json.loads((tmp_path / 'out' / 'tiny.json').read_text())
    search = json.loads((tmp_path / 'out' / 'tiny_search.json').read_text())
    assert [(r['label'], r['seed']) for r in records] == [
        (label, seed) for label in TINY['methods'] for seed in (0, 1)]
    chosen = {r['label']: r for r in search if r['chosen']}
    for label in TINY['methods']:
        tried = [r for r in search if r['label'] == label]
        # The published setting comes first.
        assert [r['setting'] for r in tried] == [{'method.temperature': t} for t in (0.1, 0.5)]
        assert chosen[label]['valid'] == max(r['valid'] for r in tried)
        assert {r['end'] for r in tried} == {'complete'} and all(r['test'] for r in tried)
    for record in records:
        temperature = chosen[record['label']]['setting']['method.temperature']
        # What the constructors received, with the defaults of the signatures.
        assert record['dataset'] == 'synthetic' and record['users'] == 1.
        assert record['data'] == {'name': 'synthetic', 'arguments': {
            **record['data']['arguments'], 'num_users': 60, 'num_items': 50}}
        assert record['backbone'] == {'name': 'lightgcn', 'arguments': {
            'dim': 8, 'num_layers': 2, 'init': 'xavier_normal', 'skip_input': False,
            'edge_type': None, 'user_encoder': None, 'item_encoder': None}}
        assert record['method']['name'] == record['label']
        assert record['method']['arguments'].items() >= {'temperature': temperature, 'l2': 1e-5
                                                         }.items()
        assert record['loader']['arguments'].items() >= {
            'batch_size': 64, 'num_neg': 4, 'sampler': 'interaction', 'seed': record['seed']
        }.items()
        assert record['fit']['arguments'] == {
            'epochs': 2, 'evaluate_every': 1, 'monitor': 'recall@20', 'patience': 20,
            'select_from': None, 'calibrate': False}
        assert record['epochs'] == 2 and record['best_epoch'] in (0, 1)
        assert list(record['valid']) == ['recall@20'] and record['train_seconds_per_epoch'] > 0
        assert list(record['test']) == ['test_iid', 'test_ood']  # No pair is in training too.
        assert ('adversary' in record) == (record['label'] == 'advinfonce')
        if 'adversary' in record:
            assert record['step']['name'] == 'MinMaxStep' and record['adversary']['passes'] == 1
            assert record['step']['arguments'].items() >= {
                'interval': 1, 'offset': 0, 'adversary_lr': 1e-4, 'lr': 1e-3}.items()
            assert record['adversary']['kl_uniform_p'] >= 0
    # Again: nothing is repeated, and the record is the same.
    before = files(work)
    assert len(before) == 6
    Harness(path, work).run('data', 1, tmp_path / 'again')
    assert files(work) == before and capsys.readouterr().out.count('done before') == 4 + 2
    assert json.loads((tmp_path / 'again' / 'tiny.json').read_text()) == records
    # Another setting of one method: what is of the other is kept, what was of this is not taken.
    path = write(changed(methods={'infonce': {'method': {'l2': 0.1}}}))
    assert Harness(path, work).progress() == {'trials': '2/4', 'runs': '2/4'}
    # The program shows the record, and how far a comparison is.
    program.show('tiny', out=tmp_path / 'out')
    out = capsys.readouterr().out
    assert 'advinfonce minus infonce' in out and '±' in out
    monkeypatch.setattr(program, 'CONFIGS', tmp_path)
    monkeypatch.setattr(config, 'CONFIGS', tmp_path)
    program.overview(work, tmp_path / 'out')
    out = capsys.readouterr().out
    assert '2/4' in out and 'coat_lightgcn_all.json: commit aeb113e, python' in out
    with pytest.raises(ConfigError, match="'against' is 'bpr', but the methods are infonce"):
        program.show('tiny', 'bpr', tmp_path / 'out')


def test_baselines_are_fitted_beside_methods(write, tmp_path):
    shared = {key: TINY[key] for key in ('data', 'backbone', 'loader', 'fit')}
    path, work = write({**shared, 'curves': True, 'seeds': [0, 1], 'budget': 3, 'methods': {
        'infonce': {'space': {'step.lr': [1e-2, 1e-3]}},
        'popularity': {}, 'own label': {'method': {'name': 'gf_cf', 'rank': 9}},
        'ease': {'space': {'method.l2': [1, 20, 400]}},
        'ials': {'method': {'dim': 4, 'seed': '$seed'}},
        'item_knn': {'measures': {'refit': {'function': 'benchmarks.measures.refitted',
                                            'arguments': {'k': [5]}}}},
    }}), tmp_path / 'work'
    Harness(path, work).run('data', 1, tmp_path / 'out')
    records = json.loads((tmp_path / 'out' / 'tiny.json').read_text())
    search = json.loads((tmp_path / 'out' / 'tiny_search.json').read_text())
    assert len(records) == 12 and len(tables.frame(records)) == 12
    by_label = {(r['label'], r['seed']): r for r in records}
    for (label, seed), record in by_label.items():
        assert set(record['test']) == {'test_iid', 'test_ood'}
        if label == 'infonce':
            continue
        assert not record.keys() & {'backbone', 'step', 'loader'}
        assert (record['best_epoch'], record['epochs']) == (0, 1)
        assert record['train_seconds_per_epoch'] > 0
        assert record['fit']['arguments'] == {'monitor': 'recall@20'}
        data = load(plan.Plan(label, config.load(path).methods[label], 1).spec({}, seed), 'data')
        model = BASELINES[record['method']['name']](data, **record['method']['arguments'])
        assert record['test'] == evaluate(model, data, progress=False), label
        assert record['valid']['recall@20'] == evaluate(model, data, 'val')['val']['recall@20']
    assert by_label['ials', 1]['method']['arguments']['seed'] == 1
    assert by_label['ials', 0]['test'] != by_label['ials', 1]['test']
    assert by_label['popularity', 0]['test'] == by_label['popularity', 1]['test']
    tried = {r['setting']['method.l2']: r for r in search if r['label'] == 'ease'}
    best = max(tried, key=lambda l2: tried[l2]['valid'])
    assert by_label['ease', 0]['method']['arguments']['l2'] == best
    assert len(tried) == 3
    refit = by_label['item_knn', 0]['refit']['test_ood']['recall@5']
    pairs = [data[EDGE_TYPE][key] for key in ('edge_index', 'val_edge_label_index')]
    splits = {name: held_out(data, name) for name in ('test_iid', 'test_ood')}
    whole = interaction_data(torch.cat(pairs, 1), 60, 50, **splits)
    assert refit == evaluate(ItemKNN(whole), whole, k=5)['test_ood']['recall@5']
    assert 'val_edge_label_index' in data[EDGE_TYPE]


def test_a_refit_trains_on_all_pairs_as_long_as_validation_chose(write, tmp_path):
    content = changed(budget=1, methods={'infonce': {}, 'item_knn': {}}, refit=True,
                      loader={'negatives': 'in_batch'},
                      fit={'epochs': 4, 'patience': 4, 'calibrate': {'priors': [0.5, 1.]}})
    content['space'] = {}
    plans = {p.label: p for p in Harness(write(content), tmp_path).plans}
    for label in ('infonce', 'item_knn'):
        spec = plans[label].spec({}, 0)
        record = run.run(spec, tmp_path, 'data')
        data = load(spec, 'data')
        whole = MergeSplit('val')(data)
        seed_everything(0)
        built, loader = build(spec, whole)[1:]
        if label == 'infonce':
            fit(built, loader, record['best_epoch'] + 1, patience=None, progress=False)
            built = built.recommender
            assert record['ranking']['prior'] in (0.5, 1.)
            built.similarity.prior = record['ranking']['prior']
        expected = evaluate(built, whole, **spec['evaluate']['arguments'])
        for split, values in expected.items():
            assert record['test'][split] == pytest.approx(values), label
        assert record['selection_test'] != record['test']
    assert not list(tmp_path.glob('runs/*.pt'))


def test_a_killed_program_goes_on_where_it_was(write, tmp_path):
    content = changed(fit={'epochs': 100, 'patience': 100}, budget=1)
    path, work = write(content), tmp_path / 'work'
    command = [sys.executable, '-m', 'benchmarks', 'run', path, '--jobs', '1', '--work', str(work),
               '--out', str(tmp_path / 'out')]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not (files(work) and list(work.glob('runs/*.pt'))):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.2)
    before, (interrupted, ) = files(work), work.glob('runs/*.pt')
    assert 1 <= len(before) < 4 and not (tmp_path / 'out').exists()
    harness = Harness(path, work)
    assert harness.progress()['runs'] == f'{len(before)}/4'
    harness.run('data', 1, tmp_path / 'out')
    after = files(work)
    assert len(after) == 4 and before.items() <= after.items() and not list(work.glob('runs/*.pt'))
    assert len(json.loads((tmp_path / 'out' / 'tiny.json').read_text())) == 4
    # The interrupted run ended as it would have without the interruption.
    spec, = (spec for _, spec in harness.specs() if run.digest(spec) == interrupted.stem)
    whole, resumed = run.run(spec, tmp_path / 'other', 'data'), run.record_of(spec, work)
    for key in ('best_epoch', 'epochs', 'valid', 'test'):
        assert whole[key] == resumed[key], key


def test_an_interrupted_trial_is_tried_again(write, tmp_path):
    search = Harness(write(TINY), tmp_path).searches['infonce']
    assert list(search.left()) == [0, 1]
    search.study().ask()  # The published setting, by a program that then died.
    assert list(search.left()) == [0, 1]
    trial = search.study().ask({'method.temperature': optuna.distributions.CategoricalDistribution(
        search.plan.choices['method.temperature'])})
    assert trial.params == {'method.temperature': 0.1}


def test_a_hopeless_trial_is_pruned_after_the_warm_up(write, tmp_path):
    class Trial:
        reported: list[int] = []

        def report(self, value, epoch):
            self.reported.append(epoch)

        def should_prune(self):
            return len(self.reported) == 2

    content = changed(methods={'infonce': None, 'advinfonce': None, 'bc': {
        'method': {'warmup_epochs': 2}}}, fit={'epochs': 9}, space={'method.temperature': [0.1]})
    found, = Harness(write(content), tmp_path).plans
    with pytest.raises(optuna.TrialPruned):
        run.run(found.spec({}, 0), tmp_path, 'data', Trial())
    assert Trial.reported == [2, 3] and not list(tmp_path.glob('runs/*'))


def test_extras_are_recorded_where_they_are_asked_for(write, tmp_path):
    split = 'pyg_advcf.transforms.{}'
    content = changed(
        budget=1, curves=True, data={'num_users': 200, 'num_items': 100},
        prepare={'users': 0.9, 'resplit': True, 'transforms': [
            {'class_path': split.format('ColdStartSplit'),
             'init_args': {'val': 0.2, 'threshold': 2}},
            {'class_path': split.format('RandomSplit'),
             'init_args': {'val': 0, 'outer': 0.1, 'per_user': False, 'seed': '$seed'}}]},
        measures={'degree': {'function': 'pyg_advcf.metrics.evaluate_by_degree',
                             'arguments': {'bounds': [0, 3, float('inf')], 'k': 5}}})
    found = Harness(write(content), tmp_path).plans[0]
    record = run.run(found.spec({}, 7), tmp_path, 'data')
    transforms = record['prepare']['arguments']['transforms']
    assert record['users'] == 0.9 and [t['init_args']['seed'] for t in transforms] == [0, 7]
    assert set(record['groups']) == {'cold', 'warm'} and list(record['test']) == ['test']
    assert set(record['degree']) <= {'[0, 3)', '[3, inf)'}
    assert record['curves']['epoch'] == [0, 1] and len(record['curves']['test/recall@20']) == 2
    assert run.record_of(found.spec({}, 7), tmp_path) == record


def test_measures_are_followed_over_training(write, tmp_path):
    measures = {
        'geometry': {'function': 'pyg_advcf.metrics.alignment_uniformity',
                     'every_evaluation': True},
        'hardness': {'function': 'benchmarks.measures.hardness', 'every_evaluation': True,
                     'arguments': {'split': 'test_ood', 'bins': 2}},
        'degree': {'function': 'pyg_advcf.metrics.evaluate_by_degree',
                   'arguments': {'bounds': [0, 3, float('inf')], 'k': 5, 'split': 'test_iid'}}}
    plain, followed = (
        run.run(Harness(write(changed(budget=1, methods={'infonce': None}, measures=m)),
                        tmp_path).plans[0].spec({}, 1), tmp_path, 'data')
        for m in ({}, measures))
    assert followed['test'] == plain['test'] and 'curves' not in plain
    curves = followed['curves']
    assert curves['epoch'] == [0, 1] and 'test_ood/recall@20' not in curves
    assert not [key for key in curves if key.startswith('degree')]
    for name in ('geometry', 'hardness'):
        keys = [key for key in curves if key.startswith(f'{name}/')]
        assert sorted(keys) == sorted(f'{name}/{key}' for key in followed[name])
        last = followed['best_epoch']
        assert [curves[key][last] for key in keys] == pytest.approx(
            list(followed[name].values()), abs=1e-5)
    # Two bins of equally many items, whose hardness averages 1; a rate is a share.
    assert 0 < followed['hardness']['false_negatives'] < 1
    assert followed['hardness']['kl_uniform_p'] > 0


def test_tables_have_intervals_and_paired_differences():
    records = [{'label': label, 'method': {}, 'seed': seed, 'best_epoch': 4,
                'valid': {'recall@20': 0.1}, 'test': {'test': {'ndcg@20': 0.1 * seed + shift}}}
               for label, shift in (('a', 0.), ('b', 0.5)) for seed in (1, 2, 3)]
    runs = tables.frame(records)
    assert tables.summary(runs).loc['a', 'test ndcg@20'] == '0.2000 ± 0.2484'
    found = tables.paired(runs, [('b', 'a')], ['test ndcg@20']).loc[0]
    assert found.to_dict() == {'difference': 'b minus a', 'metric': 'test ndcg@20',
                               'mean': '+0.5000', 'p': '< 0.001'}


def test_old_records_say_what_made_them_and_what_ran():
    results = ROOT / 'benchmarks' / 'results'
    new = {f'{name}{part}.json' for name in CONFIGS for part in ('', '_search')}
    # These say it themselves.
    new |= {path.name for kind in ('fuzz', 'sampling') for path in results.glob(f'{kind}*.json')}
    assert set(program.PROVENANCE) == {path.name for path in results.glob('*.json')} - new
    assert {made['commit'] for made in program.PROVENANCE.values()} == {'aeb113e'}
    for path in results.glob('*.json'):
        for record in json.loads(path.read_text()):
            if isinstance(record, dict) and 'options' in record:
                same = record['options'].keys() & record['settings'].keys()
                assert all(record['options'][k] == record['settings'][k] for k in same), path


def test_every_method_has_a_cost(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
    import cost
    args = argparse.Namespace(dim=8, num_layers=2, batch_size=64, num_neg=4, steps=1)
    data, unsupported = plan._tiny(), set()
    variants = ['no-contrast', 'unrolled', 'unrolled/2', 'finite_difference', 'alternating']
    for label in ('mf', 'lightgcn'):
        for name in [*METHODS, 'sam', *(f'accf-{variant}' for variant in variants)]:
            if cost.warm(args, label, name, data) is None:
                unsupported.add((label, name))
    assert unsupported == {('mf', name) for name in ('dccf', 'lightgcl', 'ncl', 'sgl', 'simgcl',
                                                     'xsimgcl')}


def test_two_commits_are_compared_turn_by_turn(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
    import compare
    before = np.array([[1., 2., 8.], [1., 4., 1.]])
    ratio, low, high = compare.compared(before, before * [[1.1], [1.3]])
    assert np.allclose([ratio, low, high], [1.2, 1.1, 1.3])

    class Side:
        def __init__(self, folder):
            self.speed = {'before': 1., 'after': 2.}[folder.name]

        def __call__(self, work, times):
            return [self.speed * times, 3 * self.speed * times]

        def close(self):
            pass

    monkeypatch.setattr(compare, 'Side', Side)
    found = compare.take_turns(['load coat', 'step bpr'],
                               [tmp_path / name for name in ('before', 'after')], turns=3)
    assert all(seconds.tolist() == 3 * [[[1., 3.], [2., 6.]]] for seconds in found.values())


def test_fuzz_writes_a_record_and_names_what_is_unknown(tmp_path, monkeypatch, capsys):
    from benchmarks import fuzz
    example = {'function': 'f', 'corruption': 'k: negative', 'outcome': 'silent',
               'detail': 'accepted', 'seed': 3000, 'call': 5, 'of': 200}

    def run_all(names, seed, minutes, rounds, library):
        assert (names, seed, rounds, library) == (['frame'], 3, 2, ROOT)
        for turn in (1, 2):
            yield {'seconds': turn, 'rounds': turn, 'last': 'frame', 'campaigns': {'frame': {
                'counts': {'correct': turn, 'silent': turn}, 'examples': [example] * turn}}}

    monkeypatch.setattr(fuzz, 'run_all', run_all)
    fuzz.fuzz(campaign=['frame'], seed=3, rounds=2, out=tmp_path / 'x.json')
    record = json.loads((tmp_path / 'x.json').read_text())
    assert record['campaigns'] == {'frame': {'counts': {'correct': 2, 'silent': 2},
                                             'examples': [{**example, 'times': 2}]}}
    assert (record['seed'], record['rounds'], record['seconds']) == (3, 2, 2)
    assert record['commit'][:40] == record['generators'][:40] and record['torch']
    assert 'silent | 2 | f | k: negative | accepted' in capsys.readouterr().out
    with pytest.raises(ConfigError, match="'campaign' is 'frames'.*Did you mean 'frame'"):
        fuzz.fuzz(campaign=['frames'])
    for wrong in ({'minutes': 0.}, {'rounds': 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            fuzz.fuzz(**wrong)


@pytest.mark.parametrize('dataset', [(), ('--dataset', 'synthetic', '--epochs', '2')])
def test_sampled_neighbourhoods_are_measured(monkeypatch, tmp_path, capsys, dataset):
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
    import sampling
    monkeypatch.setattr(sys, 'argv', [
        'sampling.py', '--json', str(tmp_path / 'out.json'), '--edges', '20000', '--dim', '8',
        '--num-neighbors', '3', '2', '--batch-size', '64', '--num-neg', '2', '--steps', '4',
        '--evaluate-every', '2', *dataset])
    monkeypatch.setattr(sampling, 'keep_freed_memory', lambda: None)
    threads = torch.get_num_threads()
    sampling.main()
    torch.set_num_threads(threads)
    found = json.loads((tmp_path / 'out.json').read_text())
    assert [row['sampled'] for row in found['rows']] == [False, True]
    for row in found['rows']:
        assert len(row['curve']) == 2 and 0 <= row['curve'][-1]['recall@20'] <= 1
    assert found['settings']['num_neighbors'] == [3, 2]
