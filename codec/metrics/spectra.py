"""Distances between short-time spectra."""

from __future__ import annotations

import functools
import math

import numpy as np

from .metric import MetricError, check_length, check_pair

__all__ = ["log_spectral_distance", "mel_bands", "mel_distance", "stft_distance"]

MEL_WINDOWS = (512, 1024)
MEL_BANDS = 80
MAGNITUDE_FLOOR = 1e-5
SPECTRAL_WINDOW = 1024
STFT_WINDOWS = (512, 1024, 2048)


def mel_distance(reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int) -> float:
    """Mean |Δ log10 mel| over windows of 512 and 1024 samples, all frames and 80 bands; 0 is best.

    Magnitudes (not powers) of a periodic Hann window with a hop of a quarter, frames centred, edges
    reflected; Slaney's mel scale and area-normalised triangles from 0 Hz to half the rate; values
    below 1e-5 count as 1e-5.
    """
    check_pair(reference, estimate)
    check_length(reference, max(MEL_WINDOWS))
    return float(
        np.mean(
            [_mel_distance(reference, estimate, sample_rate_hz, window) for window in MEL_WINDOWS]
        )
    )


def _mel_distance(
    reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int, window: int
) -> float:
    bands = mel_bands(sample_rate_hz, window, MEL_BANDS)
    logs = [
        np.log10(np.maximum(bands @ _magnitudes(signal, window), MAGNITUDE_FLOOR))
        for signal in (reference, estimate)
    ]
    return float(np.mean(np.abs(logs[0] - logs[1])))


def log_spectral_distance(
    reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int | None = None
) -> float:
    """Mean over frames of the RMS over bins of the difference of levels, in dB; 0 is best.

    Windows of 1024 samples at any rate, a hop of 256; magnitudes below 1e-5 count as 1e-5.
    """
    del sample_rate_hz
    check_pair(reference, estimate)
    check_length(reference, SPECTRAL_WINDOW)
    levels = [
        20 * np.log10(np.maximum(_magnitudes(signal, SPECTRAL_WINDOW), MAGNITUDE_FLOOR))
        for signal in (reference, estimate)
    ]
    return float(np.mean(np.sqrt(np.mean((levels[0] - levels[1]) ** 2, axis=0))))


def stft_distance(
    reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int | None = None
) -> float:
    """Multi-resolution STFT distance (Yamamoto et al. 2020): mean over windows of 512, 1024, 2048
    samples; 0 is best.

    For each window, with R and E the magnitudes of all bins and frames: the spectral convergence |R
    - E| / |R| of Frobenius norms, plus the mean |ln R - ln E|. Hops are a quarter of the window at
      any rate; in the logarithm,
    magnitudes below 1e-5 count as 1e-5.
    """
    del sample_rate_hz
    check_pair(reference, estimate)
    check_length(reference, max(STFT_WINDOWS))
    if not reference.any():
        raise MetricError("the reference is silent")
    return float(np.mean([_stft_distance(reference, estimate, window) for window in STFT_WINDOWS]))


def _stft_distance(reference: np.ndarray, estimate: np.ndarray, window: int) -> float:
    magnitudes = [_magnitudes(signal, window) for signal in (reference, estimate)]
    convergence = np.linalg.norm(magnitudes[0] - magnitudes[1]) / np.linalg.norm(magnitudes[0])
    logs = [np.log(np.maximum(magnitude, MAGNITUDE_FLOOR)) for magnitude in magnitudes]
    return float(convergence + np.mean(np.abs(logs[0] - logs[1])))


def _magnitudes(signal: np.ndarray, window: int) -> np.ndarray:
    """Compute the short-time spectrum (bins, frames) with a hop of a quarter."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    padded = np.pad(signal.astype(np.float64), window // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[:: window // 4]
    return np.abs(np.fft.rfft(hann * frames)).T


@functools.lru_cache
def mel_bands(sample_rate_hz: int, window: int, bands: int) -> np.ndarray:
    """Triangles of equal area, (bands, bins), in Slaney's Auditory Toolbox' manner."""
    edges_hz = _mel_to_hz(np.linspace(0, _hz_to_mel(sample_rate_hz / 2), bands + 2))
    bins_hz = np.fft.rfftfreq(window, 1 / sample_rate_hz)
    low, centre, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising, falling = (bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)


# Linear to 1 kHz (mel 15), logarithmic from there: 27 bands for a factor of 6.4.
_LOG_STEP = math.log(6.4) / 27


def _hz_to_mel(frequency_hz: float) -> float:
    return (
        frequency_hz * 3 / 200
        if frequency_hz < 1000
        else 15 + math.log(frequency_hz / 1000) / _LOG_STEP
    )


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(_LOG_STEP * (mel - 15)))
