"""Stores how many stages each frame has, by groups of frames, where packets do not give all stages
to all.

Codes mark a stage that a frame does not have by `NONE`; its later stages are NONE too. A frame may
have no stage.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ..errors import BitstreamError

NONE = -1
GROUP_FRAMES = 3
_KNOWN_BYTES = 2
_FEW = 100
_MANY = 8  # bodies
_CUT_OFF = "its stages per frame are cut off"


def depths_of(codes: np.ndarray) -> np.ndarray:
    """Count the stages of each frame, (channels, frames), in codes (channels, stages, frames)."""
    return np.count_nonzero(codes != NONE, axis=1)


def equal_depths(depth: int, channels: int, frames: int) -> np.ndarray:
    """Return depths of frames that all have `depth` stages, as one number in memory."""
    return np.broadcast_to(np.int64(depth), (channels, frames))


def extremes(depths: list[int] | np.ndarray) -> tuple[int, int]:
    """The least and the greatest depth."""
    if isinstance(depths, list):
        return min(depths), max(depths)
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


class DepthGroups:
    """The depths of a packet's frames as read: one of each group, channel by channel, or one of all
    frames.

    `frames_of_depth[d]` is how many frames have d stages, over all channels.
    """

    __slots__ = ("_channels", "_depths", "_frames", "deepest", "frames_of_depth")

    def __init__(
        self,
        depths: Sequence[int] | np.ndarray,
        deepest: int,
        frames_of_depth: list[int],
        channels: int,
        frames: int,
    ) -> None:
        self._depths = depths
        self._channels = channels
        self._frames = frames
        self.deepest = deepest
        self.frames_of_depth = frames_of_depth

    @classmethod
    def equal(cls, depth: int, stages: int, channels: int, frames: int) -> DepthGroups:
        """Those of frames that all have `depth` stages."""
        frames_of_depth = [0] * (stages + 1)
        frames_of_depth[depth] = channels * frames
        return cls([depth], depth, frames_of_depth, channels, frames)

    @property
    def array(self) -> np.ndarray:
        """The depths of all frames, (channels, frames)."""
        if len(self._depths) == 1:
            return equal_depths(self._depths[0], self._channels, self._frames)
        depths = np.asarray(self._depths, np.int64).reshape(self._channels, -1)
        return depths.repeat(GROUP_FRAMES, axis=1)[:, : self._frames]


class DepthField:
    """The field of depths of packets of so many stages, channels and frames."""

    def __init__(self, stages: int, channels: int, frames: int) -> None:
        self._stages, self._channels, self._frames = stages, channels, frames
        self._groups = channels * groups(frames)
        self._most_bytes = most_depth_bytes(stages, channels, frames)
        self._known: dict[bytes, tuple[DepthGroups, int] | None] = {}

    def unpack(self, body: bytes) -> tuple[DepthGroups, int]:
        """The depths that a body starts with, and how many bytes they are."""
        if self._groups > 8 * _KNOWN_BYTES:
            return self._unpack(body)
        front = body[:_KNOWN_BYTES]  # packets of a file may be so short that each is met often
        if front not in self._known:
            self._known[front] = self._try_to_unpack(front)
        return self._known[front] or self._unpack(body)

    def unpack_at_once(self, bodies: list[bytes]) -> list[tuple[DepthGroups, int] | None]:
        """What `unpack` gives for each of several short bodies; None where it takes no longer, or
        finds a fault.
        """
        found: list[tuple[DepthGroups, int] | None] = [None] * len(bodies)
        if not 8 * _KNOWN_BYTES < self._groups <= _FEW or len(bodies) < _MANY:
            return found
        longest = min(max(map(len, bodies)), self._most_bytes)
        rows = b"".join(body[:longest].ljust(longest, b"\0") for body in bodies)
        bits = np.unpackbits(np.frombuffer(rows, np.uint8).reshape(len(bodies), -1), axis=1)
        guess, stages = _first_guess(self._stages), self._stages
        depths, stops = _unpack_rows(bits, guess, self._channels, self._groups)
        sizes, lowest, highest = -(-stops // 8), depths.min(axis=1), depths.max(axis=1)
        filled = bits * (np.arange(bits.shape[1]) >= stops[:, None])
        filled *= np.arange(bits.shape[1]) < 8 * sizes[:, None]
        is_sound = (sizes <= [min(len(body), longest) for body in bodies]) & ~filled.any(axis=1)
        is_sound &= (lowest >= 0) & (lowest < stages) & (highest > 0) & (highest <= stages)
        sound = is_sound.nonzero()[0]
        of_channel = self._groups // self._channels
        frames = np.full(of_channel, GROUP_FRAMES)
        frames[-1] -= -self._frames % GROUP_FRAMES
        places = depths[sound] + (stages + 1) * np.arange(len(sound))[:, None]
        counts = np.bincount(
            places.ravel(),
            np.tile(frames, len(sound) * self._channels),
            minlength=(stages + 1) * len(sound),
        )
        counts = counts.astype(int).reshape(-1, stages + 1).tolist()
        for row, count in zip(map(int, sound), counts, strict=True):
            deepest, size = int(highest[row]), int(sizes[row])
            groups = DepthGroups(depths[row], deepest, count, self._channels, self._frames)
            found[row] = groups, size
        return found

    def _try_to_unpack(self, front: bytes) -> tuple[DepthGroups, int] | None:
        try:
            return self._unpack(front)
        except BitstreamError:
            return None

    def _unpack(self, body: bytes) -> tuple[DepthGroups, int]:
        front = body[: self._most_bytes]
        unpack = _unpack_few if self._groups <= _FEW else _unpack_many
        guess, stages = _first_guess(self._stages), self._stages
        depths, stop = unpack(front, guess, self._channels, self._groups)
        size = -(-stop // 8)
        if front[size - 1] & (1 << -stop % 8) - 1:
            raise BitstreamError(
                "the bits that fill up the last byte of its stages per frame are not zero"
            )
        lowest, highest = extremes(depths)
        if lowest < 0 or highest > stages:
            outside = lowest if lowest < 0 else highest
            raise BitstreamError(f"its stages per frame are absurd: {outside} of {stages}")
        if lowest == stages or highest == 0:
            raise BitstreamError(
                f"its stages per frame are absurd: {lowest} for all, which is not stored so"
            )
        frames_of_depth = self._count_frames(depths)
        return DepthGroups(depths, highest, frames_of_depth, self._channels, self._frames), size

    def _count_frames(self, depths: list[int] | np.ndarray) -> list[int]:
        """How many frames have each depth, given the depths of groups."""
        frames = [0] * (self._stages + 1)
        if isinstance(depths, list):
            for depth in depths:
                frames[depth] += GROUP_FRAMES
        else:
            frames = (GROUP_FRAMES * np.bincount(depths, minlength=len(frames))).tolist()
        if missing := -self._frames % GROUP_FRAMES:  # in the last group of each channel
            of_channel = self._groups // self._channels
            for depth in depths[of_channel - 1 :: of_channel]:
                frames[depth] -= missing
        return frames


def _unpack_few(front: bytes, guess: int, channels: int, count: int) -> tuple[list[int], int]:
    """The depths of `count` groups, and how many bits they take; for a few NumPy would take
    longer.
    """
    bits = bin(int.from_bytes(b"\1" + front, "big"))[3:]
    runs = bits.split("0", count)
    signs = runs.pop()
    steps = list(map(len, runs))
    moves = len(steps) - steps.count(0)
    if len(steps) < count or len(signs) < moves:
        raise BitstreamError(_CUT_OFF)
    for place, sign in zip(itertools.compress(range(count), steps), signs, strict=False):
        if sign == "0":
            steps[place] = -steps[place]
    depths: list[int] = []
    for start in range(0, count, of_channel := count // channels):
        steps[start] += guess
        depths += itertools.accumulate(steps[start : start + of_channel])
    return depths, len(bits) - len(signs) + moves


def _unpack_rows(
    bits: np.ndarray, guess: int, channels: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """As `_unpack_few`, for each row of bits, which zeros follow without end."""
    bits = np.pad(bits, ((0, 0), (0, 2 * count)))
    is_end = bits == 0
    is_end &= is_end.cumsum(axis=1) <= count
    ends = is_end.nonzero()[1].reshape(-1, count)
    steps = np.diff(ends, axis=1, prepend=-1) - 1
    signs = ends[:, -1:] + (steps > 0).cumsum(axis=1)
    steps[np.take_along_axis(bits, signs, axis=1) == 0] *= -1
    depths = guess + steps.reshape(len(bits), channels, -1).cumsum(axis=2)
    return depths.reshape(len(bits), -1), signs[:, -1] + 1


def _unpack_many(front: bytes, guess: int, channels: int, count: int) -> tuple[np.ndarray, int]:
    """As `_unpack_few`, for many."""
    steps, stop = _unpack_steps(front, count)
    return (guess + steps.reshape(channels, -1).cumsum(axis=1)).ravel(), stop


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
