"""How many stages each frame has, where packets do not give all stages to all: stored by groups of frames.

Codes mark a stage that a frame does not have by `NONE`; its later stages are NONE too. A frame has one stage at least.
"""

from __future__ import annotations

import numpy as np

from ..errors import BitstreamError

NONE = -1
GROUP_FRAMES = 3


def depths_of(codes: np.ndarray) -> np.ndarray:
    """Stages of each frame, (channels, frames), of codes (channels, stages, frames)."""
    return np.count_nonzero(codes != NONE, axis=1)


def full_depths(stages: int, channels: int, frames: int) -> np.ndarray:
    """Depths of frames that have all stages: one number in memory."""
    return np.broadcast_to(np.int64(stages), (channels, frames))


def present(depths: np.ndarray, stages: int) -> np.ndarray:
    """Which indices are there: (stages, channels, frames)."""
    return np.arange(stages)[:, None, None] < depths


def most_depth_bytes(stages: int, channels: int, frames: int) -> int:
    """No packet's depths take more."""
    return -(-channels * groups(frames) * (stages + 1) // 8)


def groups(frames: int) -> int:
    return -(-frames // GROUP_FRAMES)


def pack_depths(depths: np.ndarray, stages: int) -> bytes:
    """The field of depths (channels, frames), the same within each group."""
    bits: list[str] = []
    for channel in depths[:, ::GROUP_FRAMES].tolist():
        before = _first_guess(stages)
        for depth in channel:
            step = depth - before
            bits.append("1" * abs(step) + ("0" if not step else "00" if step < 0 else "01"))
            before = depth
    joined = "".join(bits)
    size = -(-len(joined) // 8)
    return int(joined.ljust(8 * size, "0"), 2).to_bytes(size, "big")


def depth_bits(group_depths: np.ndarray, stages: int) -> int:
    """How many bits a channel takes in the field of depths, whose groups have so many stages."""
    steps = np.abs(np.diff(group_depths, prepend=_first_guess(stages)))
    return int(steps.sum()) + len(steps) + int(np.count_nonzero(steps))


def unpack_depths(body: bytes, stages: int, channels: int, frames: int) -> tuple[np.ndarray, int]:
    """The depths (channels, frames) that the bytes start with, and how many bytes they are."""
    front = body[: most_depth_bytes(stages, channels, frames)]
    bits = f"{int.from_bytes(front, 'big'):0{8 * len(front)}b}" if front else ""
    position, rows = 0, []
    for _ in range(channels):
        depth, row = _first_guess(stages), []
        for _ in range(groups(frames)):
            zero = bits.find("0", position)
            step = zero - position
            position = zero + 1 + (step > 0)
            if zero < 0 or position > len(bits):
                raise BitstreamError("its stages per frame are cut off")
            if step:
                depth += step if bits[zero + 1] == "1" else -step
            if not 1 <= depth <= stages:
                raise BitstreamError(f"its stages per frame are absurd: {depth} of {stages}")
            row.append(depth)
        rows.append(row)
    size = -(-position // 8)
    if "1" in bits[position : 8 * size]:
        raise BitstreamError("the bits that fill up the last byte of its stages per frame are not zero")
    depths = np.repeat(np.array(rows), GROUP_FRAMES, axis=1)[:, :frames]
    if (depths == stages).all():
        raise BitstreamError("its stages per frame are absurd: all of them, which are not stored")
    return depths, size


def _first_guess(stages: int) -> int:
    """What the first group's depth is stored as the difference to."""
    return (stages + 1) // 2
