r"""Kills training at any moment, resumes it, and compares with the run that nobody killed.

    python -m tests.fuzz.kill_resume --kills 200 --json benchmarks/results/fuzz_kills.json

Every method is trained with a checkpoint in a process that is killed, half of the times after a
random time, and half of the times around one of the calls that write the checkpoint. The next
process resumes, and is killed in turn. When one reaches the end, weights, states of optimizers,
generators and history have to be those of the uninterrupted run, bit for bit, and nothing but the
checkpoint may lie in its folder.
"""
import os

os.environ['OMP_NUM_THREADS'] = '1'  # Processes are forked here; see `pyg_advcf.training.fork`.

import argparse  # noqa: E402
import inspect  # noqa: E402
import itertools  # noqa: E402
import json  # noqa: E402
import math  # noqa: E402
import platform  # noqa: E402
import random  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402
from pathlib import Path  # noqa: E402

import torch  # noqa: E402
from tqdm import tqdm  # noqa: E402

from pyg_advcf import InteractionLoader, SAMStep, fit, interaction_data  # noqa: E402
from pyg_advcf.files import load_safely  # noqa: E402
from pyg_advcf.registry import BACKBONES, METHODS  # noqa: E402
from pyg_advcf.training import step_for  # noqa: E402

from .run import commit  # noqa: E402

EPOCHS = 8
_LONGEST = 120.  # Seconds; a process that takes longer hangs.
_SMALL = {'warmup_epochs': 2, 'num_clusters': 4, 'lag': 2}
_STEPS = {'sam': ('bpr', {}), 'accf-finite_difference': ('accf', {'mode': 'finite_difference'}),
          'accf-alternating': ('accf', {'mode': 'alternating', 'every': 2})}
COUNTS = ('in_training', 'in_writing', 'compared', 'different', 'bad_files', 'stray_files',
          'errors', 'hangs')


def cases():
    r"""The names of what is trained: every method, and the steps that a method may have."""
    return [*METHODS, *_STEPS]


def interactions():
    r"""Few users and items, with validation and outer pairs."""
    generator = torch.Generator().manual_seed(0)
    keys = torch.randperm(40 * 30, generator=generator)[:340]
    pairs = torch.stack([keys // 30, keys % 30]).split([270, 40, 30], dim=1)
    edge_index, val, outer = (t.contiguous() for t in pairs)
    return interaction_data(edge_index, 40, 30, val=val, outer=outer)


def build(case, data):
    r"""The step and the loader of a case, the same every time."""
    torch.manual_seed(0)
    name, options = _STEPS.get(case, (case, {}))
    backbone = BACKBONES[name if name in BACKBONES else 'lightgcn'](data, dim=4)
    method = METHODS[name]
    takes = inspect.signature(method).parameters
    recommender = method(backbone, **{k: v for k, v in _SMALL.items() if k in takes})
    # Both samplers, in turn.
    sampler = ('interaction', 'user')[cases().index(case) % 2]
    loader = InteractionLoader(data, 64, 1 if recommender.negatives == 'one' else 4, sampler)
    if case == 'sam':
        return SAMStep(recommender, lr=0.01, warmup_epochs=2), loader
    if recommender.adversary_parameters():
        options = {'interval': 2, 'adversary_lr': 0.01}
    return step_for(recommender, loader, lr=0.01, **options), loader


def train(case, data, checkpoint=None):
    r"""Trains to the end, from the checkpoint where there is one; returns all that there is."""
    step, loader = build(case, data)
    if checkpoint is not None and checkpoint.exists():
        torch.manual_seed(random.getrandbits(32))  # A new process has another state.
        loader.generator.manual_seed(random.getrandbits(32))
    history = fit(step, loader, EPOCHS, evaluate_every=1, monitor='recall@5', patience=None,
                  checkpoint=checkpoint, resume=checkpoint is not None, progress=False).to_dict()
    for record in history['epochs']:
        record.pop('seconds'), record.pop('adversary_seconds', None)
    return {'step': step.state_dict(), 'loader': loader.state_dict(), 'history': history,
            'generator': torch.get_rng_state()}


def same(a, b):
    r"""Whether two states are equal bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.shape == b.shape and (
            torch.equal(a.contiguous().view(-1).view(torch.uint8),
                        b.contiguous().view(-1).view(torch.uint8)))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (isinstance(a, float) and math.isnan(a)
                                              and math.isnan(b)))


def _die_at_a_call(folder, count, delay):
    r"""Kills this process when it has touched the folder so often, or so many seconds later."""
    left = itertools.count(count, -1)

    def hook(event, args):
        if event.partition('.')[0] not in ('open', 'os') or not args or not isinstance(
                args[0], (str, bytes, os.PathLike)) or not os.fsdecode(args[0]).startswith(folder):
            return
        if next(left) == 0:
            if delay > 0:  # In the midst of what follows; nothing handles this signal.
                signal.setitimer(signal.ITIMER_REAL, delay)
            else:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


class Campaign:
    r"""Kills and resumes; counts what came of it by case."""
    def __init__(self, seed):
        torch.set_num_threads(1)
        # By default all processes share a lock, and one that is killed would never release it.
        tqdm.monitor_interval = 0
        tqdm.set_lock(threading.RLock())
        self.random, self.data = random.Random(seed), interactions()
        self.counts, self.examples = {}, []

    def _life(self, case, folder, out, kind):
        r"""One process: whether it was killed, and what it wrote if it came to the end."""
        count, delay = self.random.randrange(60), self.random.choice(
            [0., self.random.uniform(1e-5, 4e-3)])
        start, self_seed = time.monotonic(), self.random.getrandbits(32)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                random.seed(self_seed)
                if kind == 'in_writing':
                    _die_at_a_call(str(folder), count, delay)
                torch.save(train(case, self.data, folder / 'run.pt'), out)
                status = 0
            except BaseException:
                out.with_suffix('.txt').write_text(traceback.format_exc())
            finally:
                os._exit(status)
        until = self.random.uniform(0, self.duration[case])
        while True:
            found, status = os.waitpid(child, os.WNOHANG)
            if found == child:
                break
            spent = time.monotonic() - start
            if kind == 'in_training' and spent > until or spent > _LONGEST:
                os.kill(child, signal.SIGKILL)
                status = os.waitpid(child, 0)[1]
                if spent > _LONGEST:
                    return 'hangs'
                break
            time.sleep(1e-3)
        if os.WIFSIGNALED(status):
            return kind if os.WTERMSIG(status) in (signal.SIGKILL, signal.SIGALRM) else 'errors'
        return 'compared' if os.WEXITSTATUS(status) == 0 else 'errors'

    def run(self, case, kills, work):
        r"""Kills the case so often; a generator of the outcome of each process."""
        begin = time.monotonic()
        expected = train(case, self.data)
        self.duration = {case: time.monotonic() - begin}
        counts = self.counts.setdefault(case, dict.fromkeys(COUNTS, 0))
        folder, out = work / case / 'run', work / case / 'end.pt'
        folder.mkdir(parents=True)
        done, kind, last = 0, None, None
        while done < kills or last != 'compared':
            if done < kills:
                kind = self.random.choice(('in_training', 'in_writing'))
            else:
                kind = None  # To the end.
            last = self._life(case, folder, out, kind)
            counts[last] += 1
            if last in ('errors', 'hangs'):
                text = out.with_suffix('.txt')
                self.examples.append({'case': case, 'outcome': last, 'detail': (
                    text.read_text()[-600:] if text.exists() else '')})
                return
            done += last in ('in_training', 'in_writing')
            self._check(case, counts, folder, out, last, expected)
            yield last

    def _check(self, case, counts, folder, out, last, expected):
        path = folder / 'run.pt'
        if path.exists():
            try:
                load_safely(path, 'delete it')
            except ValueError as e:
                counts['bad_files'] += 1
                self.examples.append({'case': case, 'outcome': 'bad_files', 'detail': str(e)})
        if last != 'compared':
            return
        if not same(torch.load(out, weights_only=True), expected):
            counts['different'] += 1
            self.examples.append({'case': case, 'outcome': 'different', 'detail': ''})
        stray = sorted(set(os.listdir(folder)) - {'run.pt'})
        if stray:
            counts['stray_files'] += len(stray)
            self.examples.append({'case': case, 'outcome': 'stray_files', 'detail': str(stray)})
        shutil.rmtree(folder)
        folder.mkdir()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--kills', type=int, default=200, help='over all cases together')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--case', nargs='+', default=cases(), choices=cases())
    parser.add_argument('--json', type=Path)
    args = parser.parse_args()
    campaign, begin = Campaign(args.seed), time.monotonic()
    with tempfile.TemporaryDirectory() as work, tqdm(total=args.kills, unit='kills') as bar:
        for place, case in enumerate(args.case):
            bar.set_description(case)
            share = (args.kills * (place + 1) // len(args.case)
                     - args.kills * place // len(args.case))
            for outcome in campaign.run(case, share, Path(work)):
                bar.update(outcome in ('in_training', 'in_writing'))
    total = {name: sum(counts[name] for counts in campaign.counts.values()) for name in COUNTS}
    record = {'command': f'python -m tests.fuzz.kill_resume --kills {args.kills} --seed '
                         f'{args.seed}' + (
                             '' if args.case == cases() else f" --case {' '.join(args.case)}"),
              'commit': commit(Path.cwd()), 'python': platform.python_version(),
              'torch': torch.__version__, 'seconds': round(time.monotonic() - begin, 1),
              'kills': total['in_training'] + total['in_writing'], **total,
              'cases': campaign.counts, 'examples': campaign.examples}
    print(json.dumps({k: v for k, v in record.items() if k != 'cases'}, indent=1))
    if args.json is not None:
        args.json.write_text(json.dumps(record, indent=1) + '\n')
    wrong = sum(total[name] for name in ('different', 'bad_files', 'stray_files', 'errors',
                                         'hangs'))
    sys.exit(1 if wrong else 0)


if __name__ == '__main__':
    main()
