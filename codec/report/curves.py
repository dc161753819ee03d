"""What a rate–quality chart shows: the points of each family, and the axes they need."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..evaluation.result import Evaluation
from .figures import ticks

__all__ = ["AxisScale", "Curve", "CurvePoint", "curves_of", "kbps_scale", "quality_scale"]


_MOST_TICKS = 10  # of rates; more run into each other on a phone


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A system: its place in `Evaluation.systems`, its rate and mean, and the ends of the interval
    (or the mean).
    """

    system: int
    kbps: float
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Curve:
    """The systems of one family by rising rate; `style` numbers its colour and marker, the same in
    all charts.
    """

    family: str
    style: int
    points: tuple[CurvePoint, ...]


def curves_of(evaluation: Evaluation, metric: str) -> tuple[Curve, ...]:
    """The families with at least one system that has a rate and a mean, in the evaluation's
    order.
    """
    families = list(dict.fromkeys(system.family for system in evaluation.systems))
    points: dict[str, list[CurvePoint]] = {family: [] for family in families}
    for number, system in enumerate(evaluation.systems):
        mean = system.means[metric]
        if mean.mean is None or not system.kbps or system.kbps < 0:
            continue
        low = mean.mean if mean.low is None else mean.low
        high = mean.mean if mean.high is None else mean.high
        points[system.family].append(CurvePoint(number, system.kbps, mean.mean, low, high))
    curves = (
        Curve(family, style, tuple(sorted(points[family], key=lambda point: point.kbps)))
        for style, family in enumerate(families)
    )
    return tuple(curve for curve in curves if curve.points)


@dataclass(frozen=True, slots=True)
class AxisScale:
    """An axis from `low` to `high` with its ticks, mapped to the pixels `start` to `end`."""

    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value lies, in pixels."""
        low, high, at = (
            math.log(v) if self.logarithmic else v for v in (self.low, self.high, value)
        )
        return self.start + (self.end - self.start) * (at - low) / (high - low)


def kbps_scale(curves: tuple[Curve, ...], start: float, end: float) -> AxisScale:
    """A logarithmic axis, for each doubling of the rate looks alike; a little wider than the
    points.

    Its ticks are 1, 1.5, 2, 3, 4, 6, 8, 12, …; of many octaves 1, 2, 4, 8, … alone.
    """
    rates = [point.kbps for curve in curves for point in curve.points]
    low, high = min(rates) / 1.15, max(rates) * 1.15
    octaves = range(math.floor(math.log2(low)), math.ceil(math.log2(high)) + 1)
    marks = [
        2.0**octave * half
        for octave in octaves
        for half in (1, 1.5)
        if low <= 2.0**octave * half <= high
    ]
    if len(marks) > _MOST_TICKS:
        marks = [mark for mark in marks if math.log2(mark).is_integer()]
    elif len(marks) < 3:
        marks = [rate for rate in ticks(low, high) if low <= rate <= high]
    return AxisScale(low, high, tuple(marks), True, start, end)


def quality_scale(curves: tuple[Curve, ...], start: float, end: float) -> AxisScale:
    """A linear axis from the lowest to the highest end of an interval, rounded outward."""
    low = min(point.low for curve in curves for point in curve.points)
    high = max(point.high for curve in curves for point in curve.points)
    marks = ticks(low, high)
    return AxisScale(marks[0], marks[-1], tuple(marks), False, start, end)
