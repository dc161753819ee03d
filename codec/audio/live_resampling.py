"""Resampling of a stream as it comes, with a delay of a few milliseconds that is known."""

from __future__ import annotations

from math import gcd

import numpy as np

_CROSSINGS = 48  # of zero of the filter's sine, on each side: 3 ms at 16 kHz
_KAISER_BETA = 8.0  # 80 dB
_CUTOFF = 0.95  # of the lower Nyquist frequency; 72 dB down at the frequency itself
_LARGEST_TABLE = 1 << 12  # phases


class LiveResampler:
    """Samples (channels, n) of any blocks → those of another rate, sample k at the time k / to_hz.

    A windowed sine (Julius O. Smith, "Digital audio resampling", 2002) around each new sample. The
    result does not depend on the blocks. Arrays are never changed in place: `copy.copy` makes a
    second one that goes on alike.
    """

    def __init__(self, *, from_hz: int, to_hz: int, channels: int) -> None:
        shared = gcd(from_hz, to_hz)
        self._up, self._down = to_hz // shared, from_hz // shared
        self._width = 0 if from_hz == to_hz else -(-_CROSSINGS * max(from_hz, to_hz) // to_hz)
        self._scale = min(1.0, to_hz / from_hz) * _CUTOFF
        self._table = self._taps(np.arange(self._up)) if self._up <= _LARGEST_TABLE else None
        self.delay_seconds = self._width / from_hz
        self._pending = np.zeros(
            (channels, max(self._width - 1, 0)), np.float32
        )  # from sample `_first` on
        self._first = -self._pending.shape[1]
        self._taken = self._made = 0

    def push(self, wave: np.ndarray) -> np.ndarray:
        """Take a block and return the samples that it completes."""
        self._taken += wave.shape[1]
        if not self._width:
            return wave
        self._pending = np.concatenate([self._pending, wave], axis=1)
        # Sample k lies at k·down/up, and its filter reaches `width` samples further.
        ready = -(-(self._taken - self._width) * self._up // self._down)
        return self._make(max(ready, self._made))

    def flush(self) -> np.ndarray:
        """Return the remaining samples: ⌈N·to_hz / from_hz⌉ of N in all."""
        if not self._width:
            return self._pending[:, :0]
        silence = np.zeros((len(self._pending), self._width + 1), np.float32)
        self._pending = np.concatenate([self._pending, silence], axis=1)
        return self._make(-(-self._taken * self._up // self._down))

    def _make(self, end: int) -> np.ndarray:
        """Compute samples up to number `end`."""
        if end == self._made:
            return self._pending[:, :0]
        places = np.arange(self._made, end) * self._down
        whole, phases = places // self._up, places % self._up
        taps = self._taps(phases) if self._table is None else self._table[phases]
        starts = whole - self._width + 1 - self._first
        windows = np.lib.stride_tricks.sliding_window_view(self._pending, 2 * self._width, axis=1)
        made = np.einsum("ckw,kw->ck", windows[:, starts], taps)
        self._made = end
        keep = end * self._down // self._up - self._width + 1 - self._first
        self._pending, self._first = self._pending[:, keep:].copy(), self._first + keep
        return made.astype(np.float32, copy=False)

    def _taps(self, phases: np.ndarray) -> np.ndarray:
        """The filters (phases, 2·width) of samples that lie phase/up behind the sample in their
        middle.
        """
        distance = np.arange(-self._width + 1, self._width + 1) - phases[:, None] / self._up
        inside = (
            np.clip(1 - np.square(distance / self._width), 0, None) if self._width else distance
        )
        window = np.i0(_KAISER_BETA * np.sqrt(inside)) / np.i0(_KAISER_BETA)
        return (self._scale * np.sinc(self._scale * distance) * window).astype(np.float32)
