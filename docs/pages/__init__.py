r"""Pages of results, generated from the files under ``benchmarks/results`` at every build."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # Tables are made by ``benchmarks.tables``.

from pages import (  # noqa: E402
    accf,
    advinfonce,
    baselines,
    gowalla,
    harness,
    reliability,
    sharpcf,
    speed,
    strategies,
    unbiased,
)
from pages.common import PAGES, fill  # noqa: E402


def write_all() -> None:
    PAGES.mkdir(exist_ok=True)
    for page in (advinfonce, harness, strategies, gowalla, sharpcf, accf, unbiased, speed,
                 reliability, baselines):
        page.write()
    fill('claims.md')
