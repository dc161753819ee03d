"""The fundamental frequency of speech: the autocorrelation method of Boersma (1993), as Praat's
"ac" has it.

A frame's autocorrelation, divided by that of its window, peaks at the periods of the frame with the
share of its power that is periodic. Each peak is a candidate, having no voice is another, and the
cheapest path through all frames decides. Costs and thresholds are Praat's defaults. Where Praat
interpolates between lags by a sinc, four times as many lags are computed here, with a parabola
between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["Track", "track_pitch"]

LOWEST_HZ, HIGHEST_HZ = 65, 520
HOP_SECONDS = 0.01
_PERIODS = 3  # of the lowest pitch in a window
_FINER = 4  # lags for each sample
_CANDIDATES = 14
_SILENCE, _VOICING = 0.03, 0.45
_OCTAVE_COST, _OCTAVE_JUMP_COST, _VOICE_CHANGE_COST = 0.01, 0.35, 0.14
_BLOCK_FRAMES = 256  # computed at once: bounds the memory


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """The pitch in Hz around each time in seconds; 0 where there is no voice."""

    times: Float[np.ndarray, " frames"]
    hz: Float[np.ndarray, " frames"]


@dataclass(frozen=True, slots=True, eq=False)
class _Candidates:
    """Pitches (frames, candidates) and what speaks for each; the first, 0 Hz, is to have no
    voice.
    """

    hz: Float[np.ndarray, "frames candidates"]
    strength: Float[np.ndarray, "frames candidates"]


def track_pitch(wave: Float[np.ndarray, " samples"], sample_rate_hz: int) -> Track:
    """The pitch from 65 to 520 Hz every 10 ms, of all windows of 46 ms that fit into the wave."""
    wave = wave.astype(np.float64)
    window = round(_PERIODS / LOWEST_HZ * sample_rate_hz)
    frames = (
        max(0, int((len(wave) - window) / sample_rate_hz / HOP_SECONDS) + 1)
        if len(wave) >= window
        else 0
    )
    times = len(wave) / sample_rate_hz / 2 + HOP_SECONDS * (np.arange(frames) - (frames - 1) / 2)
    if not frames:
        return Track(times, np.zeros(0))
    starts = np.round(times * sample_rate_hz - window / 2).astype(int).clip(0, len(wave) - window)
    loudest = np.abs(wave - wave.mean()).max()
    blocks = [
        _candidates(frame_block, loudest, sample_rate_hz)
        for frame_block in _frame_blocks(wave, starts, window)
    ]
    hz = np.concatenate([block.hz for block in blocks])
    return Track(times, _best_path(hz, np.concatenate([block.strength for block in blocks])))


def _frame_blocks(wave: np.ndarray, starts: np.ndarray, window: int) -> Iterator[np.ndarray]:
    for first in range(0, len(starts), _BLOCK_FRAMES):
        yield wave[starts[first : first + _BLOCK_FRAMES, None] + np.arange(window)]


def _candidates(frames: np.ndarray, loudest: float, sample_rate_hz: int) -> _Candidates:
    period = sample_rate_hz // LOWEST_HZ
    middle = slice(frames.shape[1] // 2 - period // 2, frames.shape[1] // 2 + period // 2)
    frames = frames - frames.mean(axis=1, keepdims=True)
    level = np.abs(frames[:, middle]).max(axis=1) / max(loudest, 1e-12)
    lags, heights = _peaks(_autocorrelation(frames, period + 2), _FINER * sample_rate_hz)
    hz = np.where(lags > 0, _FINER * sample_rate_hz / np.maximum(lags, 1), 0.0)
    voiced = heights - _OCTAVE_COST * np.log2(HIGHEST_HZ / np.maximum(hz, 1.0))
    unvoiced = _VOICING + np.maximum(0, 2 - level * (1 + _VOICING) / _SILENCE)
    return _Candidates(
        hz=np.concatenate([np.zeros((len(hz), 1)), hz], axis=1),
        strength=np.concatenate([unvoiced[:, None], np.where(hz > 0, voiced, -np.inf)], axis=1),
    )


def _autocorrelation(frames: np.ndarray, lags: int) -> np.ndarray:
    """(frames, lags · _FINER), 1 at lag 0, without the window's own decay."""
    length = frames.shape[1]
    size = 1 << (length + lags).bit_length()
    hann = np.hanning(length + 2)[1:-1]
    products, of_window = (
        np.fft.irfft(np.abs(np.fft.rfft(part, size)) ** 2, _FINER * size)[..., : lags * _FINER]
        for part in (frames * hann, hann)
    )
    return products / np.maximum(products[:, :1], 1e-20) / (of_window / of_window[0])


def _peaks(correlation: np.ndarray, lags_per_second: int) -> tuple[np.ndarray, np.ndarray]:
    """The lags (frames, candidates) of the highest peaks and their heights; lag 0 where a frame has
    fewer.
    """
    left, middle, right = correlation[:, :-2], correlation[:, 1:-1], correlation[:, 2:]
    lag = np.arange(1, correlation.shape[1] - 1)
    is_peak = (middle > left) & (middle >= right) & (middle > _VOICING / 2)
    slope, bend = (right - left) / 2, 2 * middle - left - right
    offset = slope / np.where(is_peak, bend, 1.0)
    exact = lag + offset
    height = middle + slope * offset / 2
    height = np.where(height > 1, 1 / np.maximum(height, 1), height)
    is_peak &= (exact >= lags_per_second / HIGHEST_HZ) & (exact <= lags_per_second / LOWEST_HZ)
    rank = np.where(
        is_peak, height + _OCTAVE_COST * np.log2(lags_per_second / exact.clip(1)), -np.inf
    )
    chosen = np.argpartition(-rank, _CANDIDATES, axis=1)[:, :_CANDIDATES]
    found = np.take_along_axis(is_peak, chosen, axis=1)
    lags, heights = (
        np.where(found, np.take_along_axis(part, chosen, axis=1), 0.0) for part in (exact, height)
    )
    return lags, heights


def _best_path(hz: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """The path of the greatest strength less the costs of its steps (Viterbi)."""
    total, origins = strength[0], []
    for last, here, gain in zip(hz[:-1], hz[1:], strength[1:], strict=True):
        reached = total[:, None] - _step_costs(last, here)
        origins.append(reached.argmax(axis=0))
        total = reached.max(axis=0) + gain
    path = [int(total.argmax())]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return hz[np.arange(len(hz)), path[::-1]]


def _step_costs(last_hz: np.ndarray, here_hz: np.ndarray) -> np.ndarray:
    was_voiced, is_voiced = last_hz[:, None] > 0, here_hz[None] > 0
    octaves = np.abs(np.log2(np.maximum(last_hz, 1)[:, None] / np.maximum(here_hz, 1)))
    jump = np.where(was_voiced & is_voiced, _OCTAVE_JUMP_COST * octaves, 0.0)
    return np.where(was_voiced ^ is_voiced, _VOICE_CHANGE_COST, jump)
