"""Draws spectrograms as small pictures, all of one clip on the same axes and scale of levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .colours import lightness_palette
from .png import palette_png

__all__ = ["Axes", "spectrogram_png"]

_COLUMNS, _ROWS = 480, 128
_WINDOW_SECONDS = 0.032
_RANGE_DB = 80.0
_FLOOR = 1e-10


@dataclass(frozen=True, slots=True)
class Axes:
    """What the edges of a picture mean: 0 to `seconds`, 0 to `top_hz`, and 80 dB below `peak` (a
    power) to `peak`.
    """

    seconds: float
    top_hz: float
    peak: float

    @classmethod
    def of(cls, reference: np.ndarray, sample_rate_hz: int) -> Axes:
        """Those on which the reference (samples,) fills the picture."""
        axes = cls(seconds=len(reference) / sample_rate_hz, top_hz=sample_rate_hz / 2, peak=1.0)
        power = _power(reference, sample_rate_hz, axes)
        return cls(seconds=axes.seconds, top_hz=axes.top_hz, peak=max(float(power.max()), _FLOOR))


def spectrogram_png(signal: np.ndarray, sample_rate_hz: int, axes: Axes) -> bytes:
    """Draw a PNG of 480 x 128 pixels: time to the right, frequency upward, light is loud.

    Args:
        signal: float (samples,); what the axes do not cover is cut, what it lacks is silence.
        sample_rate_hz: Its own; frequencies that it does not reach are silence as well.
        axes: Those of the clip's reference, for all of its pictures.
    """
    level = 10 * np.log10(np.maximum(_power(signal, sample_rate_hz, axes) / axes.peak, _FLOOR))
    indices = np.rint(255 * (1 + level / _RANGE_DB).clip(0, 1)).astype(np.uint8)
    return palette_png(indices[::-1], lightness_palette())


def _power(signal: np.ndarray, sample_rate_hz: int, axes: Axes) -> np.ndarray:
    """Power at the middle of each pixel (rows from 0 Hz up, columns), of windows around the
    columns' times.
    """
    window = max(16, round(_WINDOW_SECONDS * sample_rate_hz))
    starts = np.rint((np.arange(_COLUMNS) + 0.5) / _COLUMNS * axes.seconds * sample_rate_hz).astype(
        int
    )
    padded = np.zeros(max(starts[-1], len(signal)) + 2 * window)
    padded[window // 2 : window // 2 + len(signal)] = signal
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[starts]
    power = np.abs(np.fft.rfft(frames * np.hanning(window), axis=1)) ** 2 / window**2
    bins_hz = np.fft.rfftfreq(window, 1 / sample_rate_hz)
    rows_hz = (np.arange(_ROWS) + 0.5) / _ROWS * axes.top_hz
    return np.stack([np.interp(rows_hz, bins_hz, column, right=0.0) for column in power], axis=1)
