r"""A whole comparison: validated, searched, run with all seeds, and recorded."""
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks import config
from benchmarks.arguments import naming
from benchmarks.build import Spec, load
from benchmarks.plan import Plan
from benchmarks.run import record_of, run, write_json
from benchmarks.search import Search


def _set_up_worker() -> None:
    r"""One thread, and an end when the program ends, however it does."""
    def follow() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    torch.set_num_threads(1)
    threading.Thread(target=follow, daemon=True).start()


class Harness:
    r"""The searches and runs of a comparison, and what is done of them in the folder ``work``."""
    def __init__(self, name: str, work: Path) -> None:
        self.work = work
        with naming(name):
            self.comparison = config.load(name)
            self.plans = [Plan(label, method, self.comparison.budget)
                          for label, method in self.comparison.methods.items()]
            self.searches = {plan.label: Search(self.comparison, plan, work)
                             for plan in self.plans if plan.budget > 1}

    def specs(self) -> Iterator[tuple[str, Spec]]:
        r"""The runs with all seeds of the methods whose settings are chosen, by label."""
        for plan in self.plans:
            search = self.searches.get(plan.label)
            if search is None or len(search.trials()) >= plan.budget:
                setting = plan.first[0] if search is None else search.chosen()
                for seed in self.comparison.seeds:
                    yield plan.label, plan.spec(setting, seed)

    def progress(self) -> dict[str, str]:
        r"""How many trials and runs are done, and of how many."""
        searches = self.searches.values()
        trials = sum(len(search.trials()) for search in searches)
        runs = sum(record_of(spec, self.work) is not None for _, spec in self.specs())
        return {'trials': f'{trials}/{sum(search.plan.budget for search in searches)}',
                'runs': f'{runs}/{len(self.plans) * len(self.comparison.seeds)}'}

    def run(self, data_dir: str, jobs: int, out: Path) -> None:
        r"""Does what is left, and writes the record when all is done."""
        seeds, name = self.comparison.seeds, self.comparison.name
        for plan in self.plans:  # Fetched before several processes want to, and with all splits.
            with naming(f"method '{plan.label}'"):
                load(plan.spec(plan.first[0], seeds[0]), data_dir)
        left = [(search, place) for search in self.searches.values() for place in search.left()]

        def final(label: str, spec: Spec) -> str:
            done = record_of(spec, self.work)
            record = done or processes.submit(run, spec, self.work, data_dir).result()
            return (f"{label}, seed {spec['seed']}, {'done before' if done else 'trained'}: "
                    f"{record['valid']}, best epoch {record['best_epoch']}")

        def each(tasks: list[Callable[[], str]]) -> None:
            with ThreadPoolExecutor(jobs) as threads:
                futures = [threads.submit(task) for task in tasks]
                try:
                    for future in as_completed(futures):
                        bar.write(future.result())
                        bar.update()
                except BaseException:
                    threads.shutdown(wait=False, cancel_futures=True)
                    raise

        os.environ['OMP_NUM_THREADS'] = '1'  # Of the workers; read when PyTorch is imported.
        spawn = multiprocessing.get_context('spawn')  # A fork of threads may hang.
        with ProcessPoolExecutor(jobs, spawn, _set_up_worker) as processes, tqdm(
                total=len(left) + len(self.plans) * len(seeds), desc=name) as bar:
            each([partial(search.attempt, place, processes, data_dir) for search, place in left])
            specs = list(self.specs())
            each([partial(final, label, spec) for label, spec in specs])
        if self.searches:
            write_json(out / f'{name}_search.json',
                       [row for search in self.searches.values() for row in search.records()])
        write_json(out / f'{name}.json',
                   [{'label': label, **record_of(spec, self.work)} for label, spec in specs])
