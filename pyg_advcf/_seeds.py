r"""Seeds of what is drawn anew every epoch."""
import numpy as np


def epoch_seed(*parts: int) -> int:
    r"""A seed below 2**32 of a tuple like ``(seed, epoch)``: a resumed run draws the same.

    Sums would not do, since ``(0, 1)`` and ``(1, 0)`` would draw alike.

    Example:
        >>> epoch_seed(0, 1) == epoch_seed(0, 1), epoch_seed(0, 1) == epoch_seed(1, 0)
        (True, False)
    """
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
