"""Stores how many stages each frame has, by groups of frames, where packets do not give all stages
to all.

Codes mark a stage that a frame does not have by `NONE`; its later stages are NONE too. A frame may
have no stage.
"""

from __future__ import annotations

import numpy as np

NONE = -1
GROUP_FRAMES = 3
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


class DepthField:
    """The field of depths of packets of so many stages, channels and frames, read of many packets
    at once: depths of groups (packets, groups), channel by channel.
    """

    def __init__(self, stages: int, channels: int, frames: int) -> None:
        self._stages, self._channels, self._frames = stages, channels, frames
        self._most_bytes = most_depth_bytes(stages, channels, frames)
        self._of_channel = groups(frames)
        self._missing = -frames % GROUP_FRAMES  # in the last group of each channel

    def unpack(
        self, data: np.ndarray, starts: np.ndarray, stops: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, str | None]:
        """Unpack what bodies start with, which lie from `starts` to `stops` in `data`, up to the
        first that is at fault.

        Returns the depths, how many bytes of each body they are, and what is wrong with the body
        behind the last of them, if there is one.
        """
        stops = np.minimum(stops, starts + self._most_bytes)
        depths, bits = self._unpack(data, starts, stops)
        fault = _CUT_OFF if len(depths) < len(starts) else None
        sizes = -(-bits // 8)
        rest = data[starts[: len(sizes)] + sizes - 1] & (1 << -bits % 8) - 1
        lowest, highest = depths.min(axis=1), depths.max(axis=1)
        is_sound = (rest == 0) & (lowest >= 0) & (highest <= self._stages)
        is_sound &= (lowest < self._stages) & (highest > 0)
        count = _count_true(is_sound)
        if count < len(depths):
            fault = self._fault(int(rest[count]), int(lowest[count]), int(highest[count]))
        return depths[:count], sizes[:count], fault

    def frames_of_depth(self, depths: np.ndarray) -> np.ndarray:
        """Count how many frames have 0, 1, … all stages, over all channels: (packets, stages +
        1).
        """
        columns = self._stages + 1
        places = depths + columns * np.arange(len(depths))[:, None]
        counts = GROUP_FRAMES * np.bincount(places.ravel(), minlength=columns * len(depths))
        if self._missing:
            last = self._last_groups(places).ravel()
            counts -= self._missing * np.bincount(last, minlength=len(counts))
        return counts.reshape(-1, columns)

    def sum_over_frames(self, depths: np.ndarray, of_depth: np.ndarray) -> np.ndarray:
        """Add up over each packet's frames what `of_depth` has for their depths."""
        found = of_depth[depths]
        missing = self._missing * self._last_groups(found).sum(axis=1)
        return GROUP_FRAMES * found.sum(axis=1) - missing

    def of_frames(self, depths: np.ndarray) -> np.ndarray:
        """The depths (channels, frames) of the frames of one packet."""
        by_channel = depths.reshape(self._channels, -1)
        return by_channel.repeat(GROUP_FRAMES, axis=1)[:, : self._frames]

    def _last_groups(self, of_groups: np.ndarray) -> np.ndarray:
        return of_groups[:, self._of_channel - 1 :: self._of_channel]

    def _unpack(
        self, data: np.ndarray, starts: np.ndarray, stops: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The depths of all bodies up to the first where they are cut off, unchecked, and how many
        bits they take.
        """
        count = self._channels * self._of_channel
        long_enough = _count_true(8 * (stops - starts) >= count)
        starts, stops = starts[:long_enough], stops[:long_enough]
        if not long_enough:
            return np.zeros((0, count), np.int64), np.zeros(0, np.int64)
        bits = np.unpackbits(data[starts[0] : stops[-1]])
        first_bits, stop_bits = 8 * (starts - starts[0]), 8 * (stops - starts[0])
        ends = _ends_of_groups(bits, first_bits, stop_bits, count)
        first_bits, stop_bits = first_bits[: len(ends)], stop_bits[: len(ends)]
        steps = np.diff(ends, axis=1, prepend=first_bits[:, None] - 1) - 1
        signs = ends[:, -1:] + (steps > 0).cumsum(axis=1)
        is_whole = signs[:, -1] < stop_bits
        sound = _count_true(is_whole)
        steps, signs = steps[:sound], signs[:sound]
        np.negative(steps, out=steps, where=bits[signs] == 0)
        by_channel = steps.reshape(sound, self._channels, self._of_channel)
        depths = _first_guess(self._stages) + by_channel.cumsum(axis=2)
        return depths.reshape(sound, count), signs[:, -1] + 1 - first_bits[:sound]

    def _fault(self, rest: int, lowest: int, highest: int) -> str:
        if rest:
            return "the bits that fill up the last byte of its stages per frame are not zero"
        if lowest < 0 or highest > self._stages:
            outside = lowest if lowest < 0 else highest
            return f"its stages per frame are absurd: {outside} of {self._stages}"
        return f"its stages per frame are absurd: {lowest} for all, which is not stored so"


def _ends_of_groups(
    bits: np.ndarray, first_bits: np.ndarray, stop_bits: np.ndarray, count: int
) -> np.ndarray:
    """Where the next `count` zero bits are from each of the first bits on (bodies, count), up to
    the first body that has fewer.
    """
    zeros = np.flatnonzero(bits == 0)
    first = np.searchsorted(zeros, first_bits)
    padded = np.append(zeros, len(bits))
    last = padded[np.minimum(first + count - 1, len(zeros))]
    first = first[: _count_true(last < stop_bits)]
    return zeros[first[:, None] + np.arange(count)]


def _count_true(values: np.ndarray) -> int:
    """How many are true before the first that is not."""
    return len(values) if values.all() else int(values.argmin())


def _first_guess(stages: int) -> int:
    """Return the prediction of the first group's depth."""
    return (stages + 1) // 2
