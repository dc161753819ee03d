"""Removes what lies below speech: the offset of a sound card, rumble, wind.

There is little of it in the speech that models learn from, and they spend bits and quality on it.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable, Iterator

import numpy as np

CUTOFF_HZ = 20.0
_LEAST_POWER = 0.005  # of a pole within a block: a sum over its inverses then loses two digits


def coefficients(sample_rate_hz: int) -> tuple[list[float], list[float]]:
    """A Butterworth filter of second order, -3 dB at `CUTOFF_HZ`: numerator and denominator of its
    transfer function in powers of 1/z.
    """
    tangent = math.tan(math.pi * CUTOFF_HZ / sample_rate_hz)
    gain = 1 / (1 + math.sqrt(2) * tangent + tangent**2)
    middle, last = 2 * (tangent**2 - 1) * gain, (1 - math.sqrt(2) * tangent + tangent**2) * gain
    return [gain, -2 * gain, gain], [1.0, middle, last]


class HighPass:
    """The filter of these `coefficients`, for blocks (channels, samples) of any size: the result
    does not depend on them.

    By partial fractions its poles, p and its conjugate, are one complex pole to a real signal,

        s[n] = p s[n-1] + x[n],    y[n] = direct x[n] + 2 Re(residue s[n]),

    and within a block a sum stands for the recursion: s[n] = p^n (sum over m <= n of x[m] / p^m).
    Arrays are never changed in place: `copy.copy` makes a second filter that goes on alike.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        (gain, *_), (_, middle, last) = coefficients(sample_rate_hz)
        self._pole = pole = (-middle + cmath.sqrt(middle**2 - 4 * last)) / 2
        self._direct = gain / last
        self._residue = gain * (1 - 1 / pole) ** 2 / (1 - pole.conjugate() / pole)
        self._powers = pole ** np.arange(max(1, int(math.log(_LEAST_POWER, abs(pole)))))
        self._inverses = 1 / self._powers
        self._sum = np.zeros((1, 1), complex)  # over the block so far, (channels, 1)
        self._position = 0  # in the block

    def push(self, wave: np.ndarray) -> np.ndarray:
        """Filter the next samples (channels, n): float32 of the same shape."""
        parts, start = [np.zeros((len(wave), 0), np.float32)], 0
        while start < wave.shape[1]:
            end = start + len(self._powers) - self._position
            parts.append(self._within_block(wave[:, start:end]))
            start = end
        return np.concatenate(parts, axis=1)

    def _within_block(self, wave: np.ndarray) -> np.ndarray:
        end = self._position + wave.shape[1]
        place = slice(self._position, end)
        before = np.broadcast_to(self._sum, (len(wave), 1))
        terms = np.concatenate([before, self._inverses[place] * wave], axis=1)
        sums = np.cumsum(terms, axis=1)[:, 1:]
        states = self._powers[place] * sums
        self._sum, self._position = sums[:, -1:], end
        if end == len(self._powers):
            self._sum, self._position = self._pole * states[:, -1:], 0
        return (self._direct * wave + 2 * (self._residue * states).real).astype(np.float32)


def high_passed(blocks: Iterable[np.ndarray], sample_rate_hz: int) -> Iterator[np.ndarray]:
    """Filter the blocks (channels, samples) of one signal."""
    return map(HighPass(sample_rate_hz).push, blocks)
