"""Formats numbers for people."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..evaluation.result import Evaluation, Mean
from ..metrics import BAND_METRICS

__all__ = [
    "band_metrics",
    "decimals_of",
    "interval",
    "metric_decimals",
    "overall_metrics",
    "plural",
    "ticks",
    "value",
]


def overall_metrics(evaluation: Evaluation) -> list[str]:
    """The metrics that are shown one by one: those that are of no band, or all where all are."""
    return [metric for metric in evaluation.metrics if metric not in BAND_METRICS] or list(
        evaluation.metrics
    )


def band_metrics(evaluation: Evaluation) -> list[str]:
    """The others, which have one table."""
    return [metric for metric in evaluation.metrics if metric not in overall_metrics(evaluation)]


def decimals_of(values: Iterable[float]) -> int:
    """How many decimals give the largest of a column's values three digits, 0 to 4."""
    largest = max((abs(value) for value in values), default=0.0)
    return 2 if not largest else min(4, max(0, 2 - math.floor(math.log10(largest))))


def metric_decimals(evaluation: Evaluation, metric: str) -> int:
    """Decimals of a metric all over the page."""
    means = [system.means[metric].mean for system in evaluation.systems]
    means += [mean.mean for name, mean in evaluation.original_means.items() if name == metric]
    return decimals_of(mean for mean in means if mean is not None)


def value(number: float, decimals: int) -> str:
    """Format a number with a real minus sign."""
    return f"{number:.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def interval(mean: Mean, decimals: int) -> str | None:
    """Format an interval as "2.91 to 3.15"; None where there is none."""
    if mean.low is None or mean.high is None:
        return None
    return f"{value(mean.low, decimals)} to {value(mean.high, decimals)}"


def plural(count: int, singular: str, plural: str | None = None) -> str:
    """Format a count as "1 clip", "1,200 clips"."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def ticks(low: float, high: float, about: int = 7) -> list[float]:
    """Choose round numbers (1, 2 or 5 times a power of ten apart) that cover low to high.

    Example:
        >>> ticks(1.12, 3.4)
        [1.0, 1.5, 2.0, 2.5, 3.0, 3.5]
    """
    span = high - low
    if math.isclose(low, high, abs_tol=1e-9):  # steps below 1e-10 would be rounded away
        span = abs(high) if abs(high) > 1e-9 else 1.0
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= about)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]
