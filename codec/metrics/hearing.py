"""Metrics that model listeners: PESQ, STOI, ViSQOL, each from a package that is installed on
demand.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np

from .metric import MetricError, check_pair, package_for, resampled

__all__ = ["estoi", "pesq_nb", "pesq_wb", "stoi", "visqol"]

# The reference implementation of PESQ overruns its tables at more than 50 utterances, and crashes
# or worse. An utterance lasts 200 ms at least, as does the pause behind it: 50 cannot fit into
# this.
_PESQ_SECONDS = 20


def pesq_wb(reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int) -> float:
    """Wide-band PESQ (ITU-T P.862.2), about 1.0 to 4.64, of both signals resampled to 16 kHz.

    Signals of more than 20 s are scored in equal parts, and these averaged by the energy of the
    reference, so that
    a pause does not count as speech: the standard is meant for 8 to 20 s, and its implementation
    overruns its tables on long ones.
    """
    return _pesq("wb", 16_000, reference, estimate, sample_rate_hz)


def pesq_nb(reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int) -> float:
    """Narrow-band PESQ (ITU-T P.862), about 1.0 to 4.55: at 8 kHz for signals of 8 kHz, else at 16
    kHz.
    """
    return _pesq(
        "nb", 8_000 if sample_rate_hz == 8_000 else 16_000, reference, estimate, sample_rate_hz
    )


def _pesq(
    mode: str, rate_hz: int, reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int
) -> float:
    package = package_for("pesq")
    check_pair(reference, estimate, both_heard=True)
    signals = [resampled(signal, sample_rate_hz, rate_hz) for signal in (reference, estimate)]
    parts = max(1, -(-len(signals[0]) // (_PESQ_SECONDS * rate_hz)))
    values, weights = [], []
    for one, other in zip(*(np.array_split(signal, parts) for signal in signals), strict=True):
        if not one.any():
            continue
        if not other.any():
            raise MetricError(f"PESQ: {len(other) / rate_hz:g} s of the estimate are silent")
        try:
            values.append(float(package.pesq(rate_hz, one, other, mode)))
            weights.append(np.square(one, dtype=np.float64).sum())
        except package.NoUtterancesError:
            continue
        except package.PesqError as error:
            raise MetricError(f"PESQ: {error.args[0].decode()}") from error
    if not values:
        raise MetricError("PESQ: no speech in the reference")
    return float(np.average(values, weights=weights))


def stoi(reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int) -> float:
    """Short-time objective intelligibility (Taal et al. 2011), up to 1."""
    return _stoi(reference, estimate, sample_rate_hz, extended=False)


def estoi(reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int) -> float:
    """Extended STOI (Jensen and Taal 2016), up to 1."""
    return _stoi(reference, estimate, sample_rate_hz, extended=True)


def _stoi(
    reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int, *, extended: bool
) -> float:
    package = package_for("pystoi")
    check_pair(reference, estimate, both_heard=True)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "error", RuntimeWarning
        )  # pystoi warns, and returns 1e-5 as if measured
        try:
            value = float(package.stoi(reference, estimate, sample_rate_hz, extended=extended))
        except (RuntimeWarning, ValueError, IndexError) as error:
            raise MetricError("STOI: fewer than 30 frames (0.4 s) of speech") from error
    return value


def visqol(reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int) -> float:
    """ViSQOL v3 in speech mode (Chinen et al. 2020), 1 to 5, of both signals resampled to 16 kHz.

    Similarity becomes a score by the exponential fit, as with `--use_lattice_model=false` of the
    original. The port that computes it is within 0.0011 of the figures that the original publishes
    for speech, and within 0.028 of that for a pair that hardly matches.
    """
    package = package_for("visqol", extra="visqol")
    check_pair(reference, estimate, both_heard=True)
    signals = [
        resampled(signal, sample_rate_hz, 16_000).astype(np.float64)
        for signal in (reference, estimate)
    ]
    try:
        return float(_visqol_of(package).measure_from_arrays(*signals, 16_000).moslqo)
    except ValueError as error:
        raise MetricError(f"ViSQOL: {error}") from error
    except IndexError as error:  # its list of patches is empty
        raise MetricError("ViSQOL: too little speech to compare") from error


@functools.lru_cache
def _visqol_of(package: Any) -> Any:
    api = package.VisqolApi()
    api.create(mode="speech", use_lattice_model=False)
    return api
