r"""Pages of results, generated from the files under ``benchmarks/results`` at every build."""
from pages import accf, advinfonce, gowalla, sharpcf, speed, unbiased
from pages.common import PAGES


def write_all() -> None:
    PAGES.mkdir(exist_ok=True)
    for page in (advinfonce, gowalla, sharpcf, accf, unbiased, speed):
        page.write()
