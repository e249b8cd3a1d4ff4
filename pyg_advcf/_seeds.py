r"""Random seeds for what is drawn in every epoch."""
import numpy as np


def epoch_seed(*parts: int) -> int:
    r"""A seed below 2**32 from a tuple such as ``(seed, epoch)``: a resumed run draws the same.

    A sum would not work, since ``(0, 1)`` and ``(1, 0)`` would give the same seed.

    Example:
        >>> epoch_seed(0, 1) == epoch_seed(0, 1), epoch_seed(0, 1) == epoch_seed(1, 0)
        (True, False)
    """
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
