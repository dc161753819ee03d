"""Defines metrics, their values, and the checks of their signals."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

import numpy as np
import soxr

from ..errors import AudioError, ConfigError, DiveqCodecError

__all__ = [
    "Metric",
    "MetricError",
    "NothingToMeasure",
    "Score",
    "Weighted",
    "check_length",
    "check_pair",
    "package_for",
    "resampled",
]


class MetricError(DiveqCodecError):
    """A metric that has no value for these signals."""


class NothingToMeasure(MetricError):
    """The signals lack what a metric measures, such as fricatives; this is no failure."""


class Weighted(NamedTuple):
    """A value that counts in means as much as its weight, such as the words that an error rate is
    of.
    """

    value: float
    weight: float


@dataclass(frozen=True, slots=True)
class Score:
    """The value of a metric, or why there is none; neither where there was nothing to measure.

    `weight` is what the value counts in means.
    """

    value: float | None
    failure: str | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Metric:
    """How to measure, and how to show what was measured: a title, a unit ("" for none), and which
    way is better.

    Attributes:
        measure: Takes reference, estimate and sample_rate_hz.
        best: The best value, where both more and less are worse; `higher_is_better` has no meaning
            then.
        judges_originals: It says something of an original, too, which is measured as its own
            reference.
    """

    measure: Callable[..., float | Weighted]
    title: str
    unit: str = ""
    higher_is_better: bool = True
    best: float | None = None
    judges_originals: bool = False

    def __call__(
        self, reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int
    ) -> float | Weighted:
        return self.measure(reference, estimate, sample_rate_hz=sample_rate_hz)


def package_for(name: str, *, extra: str = "eval") -> ModuleType:
    """Import a package that an extra of this project installs.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"this metric needs the package {name}: pip install 'diveq-codec[{extra}]'"
        ) from error


def check_pair(reference: np.ndarray, estimate: np.ndarray, *, both_heard: bool = False) -> None:
    """Check two signals (samples,): of one length, finite, and with `both_heard` neither silent."""
    if reference.ndim != 1 or reference.shape != estimate.shape:
        raise AudioError(
            f"metrics compare two signals (samples,) of one length, not {reference.shape} with "
            f"{estimate.shape}"
        )
    for name, signal in (("reference", reference), ("estimate", estimate)):
        if not np.isfinite(signal).all():
            raise MetricError(f"the {name} has samples that are NaN or infinite")
        if both_heard and not signal.any():
            raise MetricError(f"the {name} is silent")


def check_length(signal: np.ndarray, window: int) -> None:
    """Check that there is at least a window of samples."""
    if len(signal) < window:
        raise MetricError(f"{len(signal)} samples, but the longest window has {window}")


def resampled(signal: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Resample to float32 (samples,) at another rate, at soxr's best quality."""
    signal = np.asarray(signal, dtype=np.float32)
    return signal if from_hz == to_hz else soxr.resample(signal, from_hz, to_hz, quality="VHQ")
