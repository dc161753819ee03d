"""Stores how many stages each frame has, by groups of frames, where packets do not give all stages
to all.

Codes mark a stage that a frame does not have by `NONE`; its later stages are NONE too. A frame may
have no stage.
"""

from __future__ import annotations

import functools

import numpy as np

from ..errors import BitstreamError

NONE = -1
GROUP_FRAMES = 3
_KNOWN_BYTES = 2
_FEW = 100
_CUT_OFF = "its stages per frame are cut off"


def depths_of(codes: np.ndarray) -> np.ndarray:
    """Count the stages of each frame, (channels, frames), in codes (channels, stages, frames)."""
    return np.count_nonzero(codes != NONE, axis=1)


def equal_depths(depth: int, channels: int, frames: int) -> np.ndarray:
    """Return depths of frames that all have `depth` stages, as one number in memory."""
    return np.broadcast_to(np.int64(depth), (channels, frames))


def extremes(depths: np.ndarray) -> tuple[int, int]:
    """The least and the greatest depth."""
    if depths.strides == (0, 0):  # `equal_depths`
        return (depth := depths.item(0)), depth
    if depths.size <= _FEW:  # NumPy would take longer
        few = depths.ravel().tolist()
        return min(few), max(few)
    return int(depths.min()), int(depths.max())


def limited(depths: np.ndarray, stages: int) -> np.ndarray:
    """The depths, none more than `stages`."""
    return np.broadcast_to(np.minimum(_one_of_each(depths), stages), depths.shape)


def count_depths(depths: np.ndarray, stages: int) -> np.ndarray:
    """Count how many frames, over all channels, have 0, 1, … `stages` stages."""
    ones = _one_of_each(depths)
    return np.bincount(ones.ravel(), minlength=stages + 1) * (depths.size // ones.size)


def _one_of_each(depths: np.ndarray) -> np.ndarray:
    """The depths, or one of them where they are `equal_depths`: then no work is done per frame."""
    return depths[:1, :1] if depths.strides == (0, 0) else depths


def present(depths: np.ndarray, stages: int) -> np.ndarray:
    """Compute which indices a packet holds: (stages, channels, frames)."""
    return np.arange(stages)[:, None, None] < depths


def most_depth_bytes(stages: int, channels: int, frames: int) -> int:
    """Return an upper bound of the bytes of a packet's depths."""
    return -(-channels * groups(frames) * (stages + 2) // 8)


def groups(frames: int) -> int:
    return -(-frames // GROUP_FRAMES)


def pack_depths(depths: np.ndarray, stages: int) -> bytes:
    """The field of depths (channels, frames), the same within each group, neither all `stages` nor
    all 0.
    """
    steps = np.diff(
        depths[:, ::GROUP_FRAMES].astype(np.int64), axis=1, prepend=_first_guess(stages)
    ).ravel()
    sizes = np.abs(steps)
    unary = np.ones(int(sizes.sum()) + len(sizes), np.uint8)
    unary[np.cumsum(sizes + 1) - 1] = 0
    rises = (steps[steps != 0] > 0).astype(np.uint8)
    return np.packbits(np.concatenate([unary, rises])).tobytes()


def depth_bits(group_depths: np.ndarray, stages: int) -> int:
    """How many bits a channel takes in the field of depths, whose groups have so many stages."""
    steps = np.abs(np.diff(group_depths, prepend=_first_guess(stages)))
    return int(steps.sum()) + len(steps) + int(np.count_nonzero(steps))


def unpack_depths(body: bytes, stages: int, channels: int, frames: int) -> tuple[np.ndarray, int]:
    """The depths (channels, frames) that the bytes start with, and how many bytes they are."""
    for size in range(1, min(_KNOWN_BYTES, len(body)) + 1):
        known = _known_depths(body[:size], stages, channels, frames)
        if known is not None:
            return known, size
    return _unpack_depths(body, stages, channels, frames)


@functools.lru_cache(1 << 8 * _KNOWN_BYTES)
def _known_depths(field: bytes, stages: int, channels: int, frames: int) -> np.ndarray | None:
    """The depths whose field is all of these few bytes; None where it is not. The packets of a
    file may be so short that unpacking them one by one would take minutes.
    """
    try:
        depths, size = _unpack_depths(field, stages, channels, frames)
    except BitstreamError:
        return None
    depths.flags.writeable = False
    return depths if size == len(field) else None


def _unpack_depths(body: bytes, stages: int, channels: int, frames: int) -> tuple[np.ndarray, int]:
    count = channels * groups(frames)
    front = body[: most_depth_bytes(stages, channels, frames)]
    steps, stop = _unpack_steps(front, count)
    size = -(-stop // 8)
    if front[size - 1] & (1 << -stop % 8) - 1:
        raise BitstreamError(
            "the bits that fill up the last byte of its stages per frame are not zero"
        )
    depths = _first_guess(stages) + steps.reshape(channels, -1).cumsum(axis=1)
    lowest, highest = int(depths.min()), int(depths.max())
    if lowest < 0 or highest > stages:
        outside = lowest if lowest < 0 else highest
        raise BitstreamError(f"its stages per frame are absurd: {outside} of {stages}")
    if lowest == stages or highest == 0:
        raise BitstreamError(
            f"its stages per frame are absurd: {lowest} for all, which is not stored so"
        )
    return depths.repeat(GROUP_FRAMES, axis=1)[:, :frames], size


def _unpack_steps(front: bytes, count: int) -> tuple[np.ndarray, int]:
    """`count` differences at the start of the bytes, and how many bits they take."""
    bits = np.unpackbits(np.frombuffer(front, np.uint8))
    zeros = np.flatnonzero(bits == 0)[:count]
    if len(zeros) < count:
        raise BitstreamError(_CUT_OFF)
    steps = zeros.copy()
    steps[1:] -= zeros[:-1] + 1
    moves = np.flatnonzero(steps)
    first_sign = int(zeros[-1]) + 1
    stop = first_sign + len(moves)
    if stop > len(bits):
        raise BitstreamError(_CUT_OFF)
    steps[moves] *= 2 * bits[first_sign:stop].astype(np.int64) - 1
    return steps, stop


def _first_guess(stages: int) -> int:
    """Return the prediction of the first group's depth."""
    return (stages + 1) // 2
