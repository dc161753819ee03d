"""How good decoded speech is: models of hearing and of listeners, distances, and diagnostics of its
fine structure.

All take two equally long signals (samples,), reference first, already aligned: a constant delay of
a codec must be removed before. A metric that has no answer raises `MetricError` (too short, silent,
…), and never gives a number in its place; `score` turns that into a `Score` with the reason.

PESQ and STOI need the packages of `pip install 'diveq-codec[eval]'`, ViSQOL that of
`diveq-codec[visqol]`, DistillMOS, DNSMOS
and PLCMOS those of `diveq-codec[listeners]`.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from ..errors import ConfigError, DiveqCodecError
from .bands import BANDS_KHZ, band_correlation, band_level
from .carrier import carrier_repetition
from .harmonics import harmonic_contrast
from .hearing import estoi, pesq_nb, pesq_wb, stoi, visqol
from .listeners import distillmos, dnsmos_ovrl, dnsmos_p808, plcmos
from .metric import Metric, MetricError, NothingToMeasure, Score, Weighted
from .spectra import log_spectral_distance, mel_distance, stft_distance
from .waveform import si_sdr

__all__ = [
    "BAND_METRICS",
    "DEFAULT_METRICS",
    "METRICS",
    "Metric",
    "MetricError",
    "NothingToMeasure",
    "Score",
    "Weighted",
    "absent_metrics",
    "band_correlation",
    "band_level",
    "carrier_repetition",
    "distillmos",
    "dnsmos_ovrl",
    "dnsmos_p808",
    "estoi",
    "harmonic_contrast",
    "log_spectral_distance",
    "mel_distance",
    "pesq_nb",
    "pesq_wb",
    "plcmos",
    "score",
    "select_metrics",
    "si_sdr",
    "stft_distance",
    "stoi",
    "visqol",
]


def _of_bands(
    name: str, title: str, measure: Callable[..., float], **facts: Any
) -> Iterator[tuple[str, Metric]]:
    """A metric for each of `BANDS_KHZ`."""
    for low, high in BANDS_KHZ:
        measured = functools.partial(measure, band_khz=(low, high))
        yield f"{name}_{low}_{high}", Metric(measured, f"{title} {low}-{high} kHz", **facts)


_BANDS: dict[str, Metric] = {
    **dict(_of_bands("contrast", "Harmonic contrast", harmonic_contrast, unit="dB", best=0.0)),
    **dict(_of_bands("correlation", "Correlation", band_correlation)),
    **dict(_of_bands("level", "Level", band_level, unit="dB", best=0.0)),
}

METRICS: dict[str, Metric] = {
    "pesq_wb": Metric(pesq_wb, "PESQ-WB", "MOS-LQO"),
    "pesq_nb": Metric(pesq_nb, "PESQ-NB", "MOS-LQO"),
    "stoi": Metric(stoi, "STOI"),
    "estoi": Metric(estoi, "ESTOI"),
    "visqol": Metric(visqol, "ViSQOL", "MOS-LQO"),
    "distillmos": Metric(distillmos, "DistillMOS", "MOS", judges_originals=True),
    "dnsmos_p808": Metric(dnsmos_p808, "DNSMOS P.808", "MOS", judges_originals=True),
    "dnsmos_ovrl": Metric(dnsmos_ovrl, "DNSMOS OVRL", "MOS", judges_originals=True),
    "plcmos": Metric(plcmos, "PLCMOS", "MOS", judges_originals=True),
    "si_sdr": Metric(si_sdr, "SI-SDR", "dB"),
    "mel_distance": Metric(mel_distance, "Mel distance", higher_is_better=False),
    "stft_distance": Metric(
        stft_distance, "Multi-resolution STFT distance", higher_is_better=False
    ),
    "log_spectral_distance": Metric(
        log_spectral_distance, "Log-spectral distance", "dB", higher_is_better=False
    ),
    "carrier_repetition": Metric(
        carrier_repetition, "Carrier repetition", higher_is_better=False, judges_originals=True
    ),
    **_BANDS,
}

BAND_METRICS = tuple(_BANDS)
"""Those that are of one frequency band each."""

DEFAULT_METRICS = tuple(name for name in METRICS if name not in ("visqol", "plcmos"))
"""ViSQOL is measured where it is asked for: it is slow, and its package is one more to compile.
PLCMOS too: it judges speech of which packets were lost."""

_OPTIONAL_PACKAGES = {
    "distillmos": ("torch", "distillmos"),
    "dnsmos_p808": ("speechmos",),
    "dnsmos_ovrl": ("speechmos",),
}

_NONE: Mapping[str, Metric] = MappingProxyType({})


def absent_metrics() -> list[str]:
    """The models of listeners whose packages, those of the extra `listeners`, are not installed."""
    return [
        name
        for name, packages in _OPTIONAL_PACKAGES.items()
        if any(importlib.util.find_spec(package) is None for package in packages)
    ]


def select_metrics(
    names: Iterable[str] | None = None, extra_metrics: Mapping[str, Metric] = _NONE
) -> dict[str, Metric]:
    """The metrics of these names, by default `DEFAULT_METRICS` without the absent ones; then all
    `extra_metrics`.

    Raises:
        ConfigError: A name is unknown, or both ours and the user's.
    """
    if names is None:
        absent = absent_metrics()
        names = [name for name in DEFAULT_METRICS if name not in absent]
    names = list(names)
    if unknown := [name for name in names if name not in METRICS]:
        raise ConfigError(f"unknown metric {', '.join(unknown)}; known: {', '.join(METRICS)}")
    if taken := [name for name in extra_metrics if name in METRICS]:
        raise ConfigError(
            f"{', '.join(taken)} is a metric of this package; give yours another name"
        )
    return {**{name: METRICS[name] for name in names}, **extra_metrics}


def score(
    reference: np.ndarray,
    estimate: np.ndarray,
    *,
    sample_rate_hz: int,
    names: Iterable[str] | None = None,
    extra_metrics: Mapping[str, Metric] = _NONE,
) -> dict[str, Score]:
    """Several metrics at once.

    Args:
        reference: The original, float (samples,).
        estimate: The decoded signal, float (samples,), aligned.
        sample_rate_hz: Rate of both, in Hz.
        names: Keys of `METRICS`; by default `DEFAULT_METRICS` without `absent_metrics`.
        extra_metrics: Metrics of the user, by name. Any exception of theirs is a failure.

    Raises:
        ConfigError: A name is unknown, or a package is not installed.
        AudioError: The signals are not of one length and one dimension.

    Example:
        >>> wave = np.sin(np.arange(16000) / 10)
        >>> score(wave, 0.5 * wave, sample_rate_hz=16000, names=["si_sdr"])
        {'si_sdr': Score(value=100.0, failure=None, weight=1.0)}
        >>> found = score(wave[:9], wave[:9], sample_rate_hz=16000, names=["mel_distance"])
        >>> found["mel_distance"].failure
        '9 samples, but the longest window has 1024'
    """
    metrics = select_metrics(names, extra_metrics)
    return {
        name: _attempt(metric, reference, estimate, sample_rate_hz, is_ours=name in METRICS)
        for name, metric in metrics.items()
    }


def _attempt(
    metric: Metric, reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int, is_ours: bool
) -> Score:
    try:
        found = metric(reference, estimate, sample_rate_hz=sample_rate_hz)
        value, weight = found if isinstance(found, Weighted) else (float(found), 1.0)
    except NothingToMeasure:
        return Score(None)
    except MetricError as error:
        return Score(None, str(error))
    except Exception as error:  # a package, or a user's own metric, may raise anything
        if is_ours and isinstance(error, DiveqCodecError):  # misuse, or a package that is missing
            raise
        return Score(None, f"{type(error).__name__}: {error}")
    return (
        Score(value, weight=weight)
        if math.isfinite(value)
        else Score(None, f"the value is {value}")
    )
