"""How sure a difference between two methods is that were trained with the same seeds and scored on
the same clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean and half the width of its interval."""

    mean: float
    half_width: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return abs(self.mean) > self.half_width

    def __str__(self) -> str:
        return f"{self.mean:+.3f} ± {self.half_width:.3f}"


def crossed_interval(differences: Sequence[Sequence[float]]) -> Interval:
    """The 95 % interval of the mean of (seeds, clips) differences, for other seeds and other clips
    alike.

    Seeds and clips are crossed random effects: with the mean squares A between seeds, B between
    clips and E of the rest, the mean's variance is (A + B − E) / (seeds · clips), with
    Satterthwaite's degrees of freedom. Where chance makes that less than one of the effects alone
    would give, the larger effect stands.
    """
    table = np.asarray(differences, dtype=np.float64)
    seeds, clips = table.shape
    if min(seeds, clips) < 2:
        raise ValueError(f"an interval needs two seeds and two clips, not {seeds} and {clips}")
    mean, by_seed, by_clip = table.mean(), table.mean(1), table.mean(0)
    rest = table - by_seed[:, None] - by_clip + mean
    free = np.array([seeds - 1, clips - 1, (seeds - 1) * (clips - 1)])
    squares = np.array(
        [
            clips * np.square(by_seed - mean).sum(),
            seeds * np.square(by_clip - mean).sum(),
            np.square(rest).sum(),
        ]
    )
    squares = squares / free
    total = max(squares[0] + squares[1] - squares[2], squares[0], squares[1])
    if not total:
        return Interval(float(mean), 0.0)
    degrees = total**2 / (squares**2 / free).sum()
    quantile = stdtrit(degrees, 0.5 + CONFIDENCE / 2)  # of Student's t
    return Interval(float(mean), float(quantile * np.sqrt(total / table.size)))
