"""The bootstrap interval of a ratio of sums, such as the loss per token over documents of unequal length."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gelu_patch.stats.paired import Interval

_RESAMPLES = (1_000, 10_000)
_DRAWS = 20_000_000  # bounds the time
_CHUNK = 2_000_000  # bounds the memory: numbers held at once


def percentile_ratio(
    numerators: npt.ArrayLike, denominators: npt.ArrayLike, *, seed: int = 0, level: float = 0.95
) -> Interval:
    """Return the percentile bootstrap interval of Σ numerators / Σ denominators, resampling pairs of both ``(n,)``.

    For describing one arm only. Raises ValueError unless both are equally long rows of finite numbers, the
    denominators positive.
    """
    above, below = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    finite = above.ndim == 1 and above.shape == below.shape and np.isfinite([above, below]).all()
    if not finite or not len(above) or below.min() <= 0:
        raise ValueError(f"need two equal rows of finite numbers, got shapes {above.shape} and {below.shape}")
    n, ratios = len(above), list[npt.NDArray[np.float64]]()
    left = int(np.clip(_DRAWS // n, *_RESAMPLES))
    generator = np.random.default_rng(seed)
    while left > 0:
        some = min(left, max(1, _CHUNK // n))
        drawn = generator.integers(0, n, size=(some, n), dtype=np.int32)
        ratios.append(above[drawn].sum(axis=1) / below[drawn].sum(axis=1))
        left -= some
    low, high = np.quantile(np.concatenate(ratios), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
