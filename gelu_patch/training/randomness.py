"""Chance as a function of where a run is, so that nothing has to be saved, restored or kept in step.

Before each micro-batch the random states of Python, numpy and torch are set from the seed, the step and the number of
the micro-batch in its step. A run that is continued therefore draws what it would have drawn, also when it validates
in between, and so do two processes that share the micro-batches of a step among them: process 1 of 2 draws for its
first micro-batch what a single process draws for its second.
"""

from __future__ import annotations

import numpy as np


def set_randomness(seed: int, step: int, micro_batch: int) -> None:
    """Set the random states of this process for one micro-batch; ``step`` and ``micro_batch`` count from 0."""
    from accelerate.utils import set_seed

    state = np.random.SeedSequence([seed, step, micro_batch]).generate_state(1)
    set_seed(int(state[0]))
