"""Measures harmonic contrast: how far the harmonics of a voice stand out of what lies between them.

A decoder that fills a band with noise of the right level keeps all that distances of spectral
envelopes see, and
loses the harmonics: this tells.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from .bands import ANALYSIS_HZ, BANDS_KHZ, check_band
from .metric import NothingToMeasure, check_pair, resampled
from .pitch import track_pitch

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["harmonic_contrast"]

_WINDOW = 640  # 40 ms
_BINS = 8192
_LOWEST_HZ = 80  # the window does not part harmonics that are nearer
_HIGHEST_HZ = 7600  # recordings often end there
_SAME_PITCH_OCTAVES = 0.25
_LEAST_FRAMES = 10
_SMALLEST_POWER = 1e-12


def harmonic_contrast(
    reference: np.ndarray,
    estimate: np.ndarray,
    *,
    sample_rate_hz: int,
    band_khz: tuple[float, float],
) -> float:
    """The harmonic contrast of the estimate less that of the reference in one of `BANDS_KHZ`, in
    dB; 0 is best.

    The contrast of a frame is 10 log10 of the power at the harmonics k·f0 inside the band over that
    at (k + ½)·f0; white noise has 0 dB, speech about 25, 11, 7 and 3 dB in the four bands. The
    power is that of a Hann window of 40 ms. Each signal has its own f0; what counts is the mean
    over the frames, every 10 ms, that are voiced in both with pitches less than a quarter of an
    octave apart.

    Raises:
        NothingToMeasure: Fewer than 10 frames have a contrast in both signals.
    """
    check_pair(reference, estimate, both_heard=True)
    check_band(sample_rate_hz, band_khz)
    band = BANDS_KHZ.index(band_khz)
    waves = [resampled(signal, sample_rate_hz, ANALYSIS_HZ) for signal in (reference, estimate)]
    (one_hz, one), (other_hz, other) = (_contrasts(wave.tobytes()) for wave in waves)
    apart = np.abs(np.log2(np.maximum(one_hz, 1) / np.maximum(other_hz, 1)))
    change = (other[:, band] - one[:, band])[
        (one_hz > 0) & (other_hz > 0) & (apart < _SAME_PITCH_OCTAVES)
    ]
    change = change[np.isfinite(change)]
    if len(change) < _LEAST_FRAMES:
        raise NothingToMeasure(f"{len(change)} frames with harmonics there in both signals")
    return float(change.mean())


@functools.lru_cache(
    maxsize=4
)  # all bands, and all systems on one reference, share a signal's pitch
def _contrasts(
    samples: bytes,
) -> tuple[Float[np.ndarray, " frames"], Float[np.ndarray, "frames bands"]]:
    """The pitch of each frame (0: no voice) and its contrast in all bands; NaN where a band has
    under two harmonics.
    """
    wave = np.frombuffer(samples, np.float32)
    track = track_pitch(wave, ANALYSIS_HZ)
    contrasts = np.full((len(track.hz), len(BANDS_KHZ)), np.nan)
    padded = np.pad(wave, _WINDOW)
    for frame in np.flatnonzero(track.hz > _LOWEST_HZ):
        start = (
            int(track.times[frame] * ANALYSIS_HZ) + _WINDOW // 2
        )  # centred: `padded` is a window late
        windowed = padded[start : start + _WINDOW] * np.hanning(_WINDOW)
        contrasts[frame] = _contrasts_of_frame(
            np.abs(np.fft.rfft(windowed, _BINS)) ** 2, track.hz[frame]
        )
    return track.hz, contrasts


def _contrasts_of_frame(power: np.ndarray, f0_hz: float) -> np.ndarray:
    hz = np.fft.rfftfreq(_BINS, 1 / ANALYSIS_HZ)
    numbers = np.arange(1, int(_HIGHEST_HZ / f0_hz))
    peaks, valleys = (np.interp(n * f0_hz, hz, power) for n in (numbers, numbers + 0.5))
    result = np.full(len(BANDS_KHZ), np.nan)
    for band, (low_khz, high_khz) in enumerate(BANDS_KHZ):
        lowest, highest = max(1000 * low_khz, 0.9 * f0_hz), min(1000 * high_khz, _HIGHEST_HZ)
        inside = (numbers * f0_hz > lowest) & ((numbers + 0.5) * f0_hz < highest)
        if inside.sum() > 1:
            sums = [part[inside].sum() + _SMALLEST_POWER for part in (peaks, valleys)]
            result[band] = 10 * np.log10(sums[0] / sums[1])
    return result
