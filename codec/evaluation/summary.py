"""Means over clips, and how sure they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .result import Clip, Mean

__all__ = ["summarise"]

RESAMPLES = 2000
SEED = 0
CONFIDENCE = 0.95
LEAST_CLIPS = 3  # for an interval: two clips have three means, the clips' values among them
_BLOCK_VALUES = 1 << 20  # what one block of resamples may hold in memory


def summarise(clips: Sequence[Clip], metrics: Iterable[str]) -> dict[str, Mean]:
    """The mean of each metric over the clips that have it; the others count as failed."""
    return {name: _mean(_values(clips, name), len(clips)) for name in metrics}


def _values(clips: Sequence[Clip], name: str) -> np.ndarray:
    scores = [clip.scores[name].value for clip in clips if name in clip.scores]
    return np.array([value for value in scores if value is not None], dtype=np.float64)


def _mean(values: np.ndarray, clips: int) -> Mean:
    low, high = _interval(values) if len(values) >= LEAST_CLIPS else (None, None)
    mean = float(values.mean()) if len(values) else None
    return Mean(mean=mean, low=low, high=high, clips=len(values), failed=clips - len(values))


def _interval(values: np.ndarray) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of the mean of clips drawn with replacement (Efron's percentile bootstrap).

    The draws are the same on each run, and for each metric that has as many values.
    """
    generator = np.random.default_rng(SEED)
    means, block = [], max(1, _BLOCK_VALUES // len(values))
    for start in range(0, RESAMPLES, block):
        draws = generator.integers(len(values), size=(min(block, RESAMPLES - start), len(values)))
        means.append(values[draws].mean(axis=1))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail])
    return float(low), float(high)
