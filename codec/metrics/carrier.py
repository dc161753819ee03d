"""Measures carrier repetition: whether the fine structure of noisy sounds is noise, or one pattern
over and over.

A decoder can fill all fricatives with one frozen waveform under the right envelope: distances of
spectra do not see it, ears do.
"""

from __future__ import annotations

import numpy as np

from .bands import ANALYSIS_HZ, band_pass
from .metric import NothingToMeasure, Weighted, check_pair, resampled

__all__ = ["carrier_repetition"]

_BLOCK = ANALYSIS_HZ // 100  # 10 ms
_SHORTEST_BLOCKS = 9
_LAG = ANALYSIS_HZ // 25  # 40 ms
_NEAR = 3
_BAND_HZ = (4000, 7500)


def carrier_repetition(
    reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int
) -> Weighted:
    """Correlate fricatives with themselves 40 ms later, from 0 to 1: noise has about .08, a frozen
    pattern .9.

    That is |Σ q(t)·q(t + 40 ms)| / (n − lag) over Σ q(t)² / n, q the estimate from 4 to 7.5 kHz at
    16 kHz inside a fricative of n samples, the highest of seven neighbouring lags. Fricatives are
    stretches of 90 ms or more in which the reference has most of its energy above 4 kHz; they weigh
    by their length, within a clip and over clips.

    Raises:
        NothingToMeasure: There is no fricative.
    """
    check_pair(reference, estimate, both_heard=True)
    original, decoded = (
        resampled(signal, sample_rate_hz, ANALYSIS_HZ) for signal in (reference, estimate)
    )
    stretches = _fricatives(original)
    if not stretches:
        raise NothingToMeasure("no fricative of 90 ms or more")
    high = band_pass(decoded, *_BAND_HZ)
    lengths = [stretch.stop - stretch.start for stretch in stretches]
    values = [_repetition(high[stretch]) for stretch in stretches]
    return Weighted(float(np.average(values, weights=lengths)), sum(lengths) / ANALYSIS_HZ)


def _fricatives(wave: np.ndarray) -> list[slice]:
    """The inner part, without half a block at both ends, of each stretch of blocks that are high
    and not quiet.
    """
    if len(wave) < _BLOCK * _SHORTEST_BLOCKS:
        return []
    high, low = (_block_powers(band_pass(wave, *band_hz)) for band_hz in (_BAND_HZ, (0, 3000)))
    found = (high > 2 * low) & (high > 0.01 * high.max()) & (high > 1e-7)
    edges = np.flatnonzero(np.diff(found, prepend=False, append=False)).tolist()
    return [
        slice(first * _BLOCK + _BLOCK // 2, last * _BLOCK - _BLOCK // 2)
        for first, last in zip(edges[::2], edges[1::2], strict=True)
        if last - first >= _SHORTEST_BLOCKS
    ]


def _block_powers(wave: np.ndarray) -> np.ndarray:
    return np.square(wave[: len(wave) // _BLOCK * _BLOCK]).reshape(-1, _BLOCK).mean(axis=1)


def _repetition(stretch: np.ndarray) -> float:
    power = np.mean(stretch**2)
    if not power:
        return 0.0
    lags = range(_LAG - _NEAR, _LAG + _NEAR + 1)
    return float(max(abs(np.mean(stretch[:-lag] * stretch[lag:])) for lag in lags) / power)
