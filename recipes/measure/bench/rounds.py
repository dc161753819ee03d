"""Wall-clock times that can be compared: all calls take turns, round after round, so that what else
the machine does falls on all of them alike.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

CONFIDENCE = 0.95


def times_in_turn(calls: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Seconds of each call in each round."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, taken in zip(calls, times, strict=True):
            started = time.perf_counter()
            call()
            taken.append(time.perf_counter() - started)
    return times


@dataclass(frozen=True)
class Ratio:
    """A median over rounds, and its 95 % interval, which fewer than six rounds do not have."""

    median: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        interval = "" if self.low is None else f" ({self.low:.3g} to {self.high:.3g})"
        return f"{self.median:.3g}{interval}"


def paired_ratio(theirs: Sequence[float], ours: Sequence[float]) -> Ratio:
    """How many times as long they take, round by round.

    The interval is that of the sign test: each ratio is above the median with probability 1/2, so
    the outermost k - 1 on either side are left out as long as fewer than k are beyond it in 2.5 %
    of all series at most.
    """
    ratios = sorted(one / other for one, other in zip(theirs, ours, strict=True))
    rounds, k = len(ratios), 0
    while sum(math.comb(rounds, i) for i in range(k + 1)) <= (1 - CONFIDENCE) / 2 * 2**rounds:
        k += 1
    if not k:
        return Ratio(median(ratios), None, None)
    return Ratio(median(ratios), ratios[k - 1], ratios[-k])
