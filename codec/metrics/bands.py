"""Measures how well the waveform and the level are kept in each frequency band."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from .metric import NothingToMeasure, check_pair, resampled

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["ANALYSIS_HZ", "BANDS_KHZ", "band_correlation", "band_level", "band_pass", "check_band"]

ANALYSIS_HZ = 16_000
"""The rate that fine structure is measured at."""
BANDS_KHZ = ((0, 1), (1, 2), (2, 4), (4, 8))
LOWEST_DB = -80
"""What is below, of the whole reference or of a level, counts as nothing."""

_Products = tuple[float, float, float]
"""The energies of both signals, and their product."""


def band_pass(
    wave: Float[np.ndarray, " samples"], low_hz: float, high_hz: float
) -> Float[np.ndarray, " samples"]:
    """Filter a signal of `ANALYSIS_HZ` to the band from `low_hz` up to `high_hz`, without delay, in
    float64.
    """
    spectrum, hz = _spectrum(wave)
    return np.fft.irfft(spectrum * ((hz >= low_hz) & (hz < high_hz)))[: len(wave)]


def band_correlation(
    reference: np.ndarray,
    estimate: np.ndarray,
    *,
    sample_rate_hz: int,
    band_khz: tuple[float, float],
) -> float:
    """Correlation of both signals in a band: 1 where the waveform is kept, 0 where another one has
    its place.

    Levels have no influence. Both signals are resampled to 16 kHz.

    Raises:
        NothingToMeasure: The reference has nothing in the band.
    """
    one, other, both = _in_band(reference, estimate, sample_rate_hz, band_khz)
    return both / math.sqrt(one * other) if other else 0.0


def band_level(
    reference: np.ndarray,
    estimate: np.ndarray,
    *,
    sample_rate_hz: int,
    band_khz: tuple[float, float],
) -> float:
    """The energy that the estimate has in a band over that of the reference, in dB, -80 at least;
    both at 16 kHz.

    Raises:
        NothingToMeasure: The reference has nothing in the band.
    """
    one, other, _ = _in_band(reference, estimate, sample_rate_hz, band_khz)
    return 10 * math.log10(max(other / one, 10 ** (LOWEST_DB / 10)))


def check_band(sample_rate_hz: int, band_khz: tuple[float, float]) -> None:
    """Check that signals of this rate reach into a band."""
    if 2000 * band_khz[0] >= sample_rate_hz:
        raise NothingToMeasure(
            f"signals of {sample_rate_hz} Hz have nothing from {band_khz[0]} kHz upwards"
        )


def _in_band(
    reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int, band_khz: tuple[float, float]
) -> _Products:
    check_pair(reference, estimate, both_heard=True)
    check_band(sample_rate_hz, band_khz)
    waves = [resampled(signal, sample_rate_hz, ANALYSIS_HZ) for signal in (reference, estimate)]
    products = _products(*(wave.tobytes() for wave in waves))
    found = products[BANDS_KHZ.index(band_khz)]
    if found[0] <= sum(energy for energy, _, _ in products) * 10 ** (LOWEST_DB / 10):
        raise NothingToMeasure(f"the reference has nothing from {band_khz[0]} to {band_khz[1]} kHz")
    return found


@functools.lru_cache(maxsize=1)  # all bands of a pair are asked for in a row
def _products(reference: bytes, estimate: bytes) -> tuple[_Products, ...]:
    """The products of each band, by Parseval's theorem from the spectra of whole signals; without
    their means.
    """
    (one, hz), (other, _) = (
        _spectrum(np.frombuffer(samples, np.float32)) for samples in (reference, estimate)
    )
    inside = [(hz > 1000 * low) & (hz < 1000 * high) for low, high in BANDS_KHZ]
    bins = len(hz) - 1  # half of the size of the transform: the other half is the same again
    return tuple(
        (
            _inner(one[band], one[band]) / bins,
            _inner(other[band], other[band]) / bins,
            _inner(one[band], other[band]) / bins,
        )
        for band in inside
    )


def _inner(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.vdot(one, other).real)


def _spectrum(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the spectrum, padded to a power of two: for other lengths, such as primes, a
    transform takes 20 times as long.
    """
    size = 1 << max(1, len(wave) - 1).bit_length()
    return np.fft.rfft(wave.astype(np.float64), size), np.fft.rfftfreq(size, 1 / ANALYSIS_HZ)
