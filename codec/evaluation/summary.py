"""Means over clips, and how sure they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..metrics import Score
from .result import Clip, Mean, Reference

__all__ = ["summarise"]

RESAMPLES = 2000
SEED = 0
CONFIDENCE = 0.95
LEAST_CLIPS = 3  # for an interval: two clips have three means, the clips' values among them
_MISSING = Score(None, "not measured")
_BLOCK_VALUES = 1 << 20  # what one block of resamples may hold in memory


def summarise(clips: Sequence[Clip | Reference], metrics: Iterable[str]) -> dict[str, Mean]:
    """Average each metric over the clips that have it, by their weights."""
    return {name: _mean([clip.scores.get(name, _MISSING) for clip in clips]) for name in metrics}


def _mean(scores: Sequence[Score]) -> Mean:
    measured = [(score.value, score.weight) for score in scores if score.value is not None]
    values, weights = np.array(measured, dtype=np.float64).reshape(-1, 2).T
    low, high = _interval(values, weights) if len(values) >= LEAST_CLIPS else (None, None)
    mean = float(np.average(values, weights=weights)) if len(values) else None
    failed = sum(score.failure is not None for score in scores)
    return Mean(mean=mean, low=low, high=high, clips=len(values), failed=failed)


def _interval(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile of the mean of clips drawn with replacement (Efron's
    percentile bootstrap).

    The draws are the same on each run, and for each metric that has as many values.
    """
    generator = np.random.default_rng(SEED)
    means, block = [], max(1, _BLOCK_VALUES // len(values))
    for start in range(0, RESAMPLES, block):
        draws = generator.integers(len(values), size=(min(block, RESAMPLES - start), len(values)))
        means.append((values * weights)[draws].sum(axis=1) / weights[draws].sum(axis=1))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail])
    return float(low), float(high)
