r"""Evaluation mode for the length of a block."""
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    r"""Puts ``module`` into evaluation mode, and back into its own mode at the end."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
