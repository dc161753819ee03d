"""A codec's delay: found, and removed.

Low bitrates keep the envelope of speech but not its waveform, whose correlation then peaks a few pitch periods off.
So the delay is first that at which band energies, 1 ms apart, correlate best, which on real speech was within 3 ms
for Codec2 at 1.2 kbps as for Opus; the waveforms may refine it, where they agree at all.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..errors import AudioError
from .signal import Signal

__all__ = ["MAX_DELAY_SECONDS", "find_delay", "line_up", "overlap"]

MAX_DELAY_SECONDS = 0.5
_SEARCHED_SECONDS = 60
_ENVELOPE_RATE_HZ = 1000
_ENVELOPE_SOURCE_HZ = 16_000
_WINDOW = 256  # 16 ms
_BANDS = 16
_ENERGY_FLOOR = 1e-6  # a window of white noise at -84 dBFS
_LEAST_ENVELOPE_CORRELATION = 0.2
_LEAST_WAVEFORM_CORRELATION = 0.5
_REFINED_SECONDS = 0.005


def find_delay(reference: Signal, decoded: Signal) -> int:
    """By how many samples `decoded` is late, from -0.5 to 0.5 s; negative where it is early, 0 where none is found.

    Args:
        reference: The original.
        decoded: At the same rate, with as many channels; all of them are late by the same.
    """
    rate = reference.sample_rate_hz
    part = _loudest(reference)
    one = Signal(wave=reference.wave[:, part], sample_rate_hz=rate)
    other = Signal(wave=decoded.wave[:, part], sample_rate_hz=rate)
    coarse = _best_lag(
        _envelopes(one), _envelopes(other), 0, int(MAX_DELAY_SECONDS * _ENVELOPE_RATE_HZ), _LEAST_ENVELOPE_CORRELATION
    )
    if coarse is None:
        return 0
    delay = round(coarse * rate / _ENVELOPE_RATE_HZ)
    refined = _best_lag(one.wave, other.wave, delay, int(_REFINED_SECONDS * rate), _LEAST_WAVEFORM_CORRELATION)
    return delay if refined is None else refined


def line_up(decoded: Float[np.ndarray, "channels samples"], delay: int, length: int) -> np.ndarray:
    """The decoded wave with its delay removed, (channels, length): cut, or filled with zeros, at both ends."""
    placed = np.zeros((len(decoded), length), decoded.dtype)
    first, last = overlap(decoded.shape[1], delay, length)
    placed[:, first:last] = decoded[:, first + delay : last + delay]
    return placed


def overlap(decoded_length: int, delay: int, length: int) -> tuple[int, int]:
    """Where a reference of `length` samples has a decoded one beside it: the first sample, and one past the last.

    Raises:
        AudioError: There is no overlap.
    """
    first, last = max(0, -delay), min(length, decoded_length - delay)
    if last <= first:
        raise AudioError("the decoded audio and the reference do not overlap")
    return first, last


def _loudest(reference: Signal) -> slice:
    """The minute with the most energy: what is longer would take memory, and tell no more."""
    window = _SEARCHED_SECONDS * reference.sample_rate_hz
    samples = reference.wave.shape[1]
    if samples <= window:
        return slice(None)
    energy = np.concatenate([[0.0], np.cumsum(np.square(reference.wave, dtype=np.float64).sum(axis=0))])
    start = int(np.argmax(energy[window:] - energy[:-window]))
    return slice(start, start + window)


def _envelopes(signal: Signal) -> np.ndarray:
    """Log energies of bands, each with its mean removed: (channels · bands, frames), 1000 frames a second."""
    wave = np.pad(signal.at(_ENVELOPE_SOURCE_HZ).wave, ((0, 0), (_WINDOW // 2, _WINDOW // 2)))
    frames = np.lib.stride_tricks.sliding_window_view(wave, _WINDOW, axis=1)
    frames = frames[:, :: _ENVELOPE_SOURCE_HZ // _ENVELOPE_RATE_HZ]
    hann = np.hanning(_WINDOW).astype(np.float32)
    energies = np.abs(np.fft.rfft(frames * hann)) ** 2
    bands = [part.mean(axis=-1) for part in np.array_split(energies[..., 1:], _BANDS, axis=-1)]
    logs = np.log(np.concatenate(bands) + _ENERGY_FLOOR)
    return logs - logs.mean(axis=1, keepdims=True)


def _best_lag(one: np.ndarray, other: np.ndarray, around: int, reach: int, least: float) -> int | None:
    """The lag of `other` in around ± reach whose correlation, over all rows, is best; None where it is below `least`.

    The correlation is relative to the energies of both: 1 is a perfect match.
    """
    energy = np.square(one, dtype=np.float64).sum() * np.square(other, dtype=np.float64).sum()
    if not energy:
        return None
    size = 1 << int(one.shape[1] + other.shape[1] + abs(around) + reach).bit_length()
    spectrum = sum(np.conj(np.fft.rfft(a, size)) * np.fft.rfft(b, size) for a, b in zip(one, other, strict=True))
    lags = np.arange(around - reach, around + reach + 1)
    correlations = np.fft.irfft(spectrum, size)[lags % size] / np.sqrt(energy)
    best = int(np.argmax(correlations))
    return int(lags[best]) if correlations[best] >= least else None
