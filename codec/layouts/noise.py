"""The noise that enters the decoder: a function of the frame's number alone, the same on every
machine.

Integers up to the last step, so that windows, packets, backends and machines all make the same
values.
"""

from __future__ import annotations

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_MEAN = 2 * 0xFFFF  # of a sum of four numbers of 16 bits
_DEVIATION = np.float32(2 * ((2**32 - 1) / 12) ** 0.5)


def decoder_noise(first_frame: int, frames: int, values: int) -> np.ndarray:
    """Noise of zero mean and unit variance, nearly Gaussian: float32 (frames, values), from
    `first_frame` on.

    A value is the sum of the four quarters of a hash (Steele, Lea, Flood, "Fast splittable
    pseudorandom number
    generators", 2014: SplitMix64) of its place in the stream.

    >>> noise = decoder_noise(0, 1000, 96)
    >>> bool((decoder_noise(10, 5, 96) == noise[10:15]).all())
    True
    """
    if not values:
        return np.zeros((frames, 0), np.float32)
    place = np.arange(first_frame * values, (first_frame + frames) * values, dtype=np.uint64)
    hashed = (place + np.uint64(1)) * _GOLDEN  # products of 64 bits wrap around, as is meant
    for shift, factor in zip(_SHIFTS, _FACTORS, strict=False):
        hashed = (hashed ^ (hashed >> shift)) * factor
    hashed ^= hashed >> _SHIFTS[-1]
    total = hashed.view(np.uint16).reshape(-1, 4).sum(1, dtype=np.int64) - _MEAN
    return (total.astype(np.float32) / _DEVIATION).reshape(frames, values)
