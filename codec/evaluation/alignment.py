"""Finds and removes a codec's delay.

Where the waveform is kept, its correlation tells the delay to the sample. Low bitrates keep the
envelope alone: the correlation of waveforms then peaks anywhere within some pitch periods, and that
of band energies, 1 ms apart, tells the delay better. On 18 clips of real speech the former had 0.80
to 0.99 at its peak for Opus at 6 and 12 kbps, and 0.07 to 0.54 for Codec2 at 1.2 and 3.2 kbps, for
which the latter was within 3 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import AudioError
from .signal import Signal

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["MAX_DELAY_SECONDS", "find_delay", "line_up", "overlap"]

MAX_DELAY_SECONDS = 0.5
_SEARCHED_SECONDS = 60
_ENVELOPE_RATE_HZ = 1000
_ENVELOPE_SOURCE_HZ = 16_000
_WINDOW = 256  # 16 ms
_BANDS = 16
_ENERGY_FLOOR = 1e-6  # a window of white noise at -84 dBFS
_LEAST_ENVELOPE_CORRELATION = 0.2
_LEAST_WAVEFORM_CORRELATION = 0.65


def find_delay(reference: Signal, decoded: Signal) -> int:
    """Estimate by how many samples `decoded` is late, from -0.5 to 0.5 s; negative where it is
    early, 0 where none is found.

    Args:
        reference: The original.
        decoded: At the same rate, with as many channels; all of them are late by the same.
    """
    rate = reference.sample_rate_hz
    part = _loudest(reference)
    one = Signal(wave=reference.wave[:, part], sample_rate_hz=rate)
    other = Signal(wave=decoded.wave[:, part], sample_rate_hz=rate)
    lag, correlation = _best_lag(one.wave, other.wave, int(MAX_DELAY_SECONDS * rate))
    if correlation >= _LEAST_WAVEFORM_CORRELATION:
        return lag
    lag, correlation = _best_lag(
        _envelopes(one), _envelopes(other), int(MAX_DELAY_SECONDS * _ENVELOPE_RATE_HZ)
    )
    return (
        round(lag * rate / _ENVELOPE_RATE_HZ) if correlation >= _LEAST_ENVELOPE_CORRELATION else 0
    )


def line_up(decoded: Float[np.ndarray, "channels samples"], delay: int, length: int) -> np.ndarray:
    """Remove a delay: (channels, length), cut or filled with zeros at both ends."""
    placed = np.zeros((len(decoded), length), decoded.dtype)
    first, last = overlap(decoded.shape[1], delay, length)
    placed[:, first:last] = decoded[:, first + delay : last + delay]
    return placed


def overlap(decoded_length: int, delay: int, length: int) -> tuple[int, int]:
    """Return the range of samples of a reference that a decoded wave covers: the first, and one
    past the last.

    Raises:
        AudioError: There is no overlap.
    """
    first, last = max(0, -delay), min(length, decoded_length - delay)
    if last <= first:
        raise AudioError("the decoded audio and the reference do not overlap")
    return first, last


def _loudest(reference: Signal) -> slice:
    """Select the minute with the most energy; more would take memory and add nothing."""
    window = _SEARCHED_SECONDS * reference.sample_rate_hz
    samples = reference.wave.shape[1]
    if samples <= window:
        return slice(None)
    energy = np.concatenate(
        [[0.0], np.cumsum(np.square(reference.wave, dtype=np.float64).sum(axis=0))]
    )
    start = int(np.argmax(energy[window:] - energy[:-window]))
    return slice(start, start + window)


def _envelopes(signal: Signal) -> np.ndarray:
    """Log energies of bands, each with its mean removed: (channels · bands, frames), 1000 frames a
    second.
    """
    wave = np.pad(signal.at(_ENVELOPE_SOURCE_HZ).wave, ((0, 0), (_WINDOW // 2, _WINDOW // 2)))
    frames = np.lib.stride_tricks.sliding_window_view(wave, _WINDOW, axis=1)
    frames = frames[:, :: _ENVELOPE_SOURCE_HZ // _ENVELOPE_RATE_HZ]
    hann = np.hanning(_WINDOW).astype(np.float32)
    energies = np.abs(np.fft.rfft(frames * hann)) ** 2
    bands = [part.mean(axis=-1) for part in np.array_split(energies[..., 1:], _BANDS, axis=-1)]
    logs = np.log(np.concatenate(bands) + _ENERGY_FLOOR)
    return logs - logs.mean(axis=1, keepdims=True)


def _best_lag(one: np.ndarray, other: np.ndarray, reach: int) -> tuple[int, float]:
    """Return the lag of `other`, up to ± reach, of the highest correlation with `one` over all
    rows, and that correlation.
    """
    energy = np.square(one, dtype=np.float64).sum() * np.square(other, dtype=np.float64).sum()
    size = 1 << int(one.shape[1] + other.shape[1] + reach).bit_length()
    spectrum = sum(
        np.conj(np.fft.rfft(a, size)) * np.fft.rfft(b, size)
        for a, b in zip(one, other, strict=True)
    )
    lags = np.arange(-reach, reach + 1)
    correlations = np.fft.irfft(spectrum, size)[lags % size]
    best = int(np.argmax(correlations))
    return int(lags[best]), float(correlations[best] / np.sqrt(energy)) if energy else 0.0
