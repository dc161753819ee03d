"""Packets that stand side by side in a stream, opened and checked all at once: a file of short ones
would take long otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from ..errors import BitstreamError
from .checksum import CHECK_BYTES
from .header import StreamHeader
from .packing import FixedFields
from .range_coding import find_bad_ends
from .stage_counts import DepthField, equal_depths

Coding = Literal["fixed", "range"]


class RawPacket(NamedTuple):
    """A packet whose payload has not been decoded; `payload` and `coding` are None where it is
    lost.

    `first_frame` and `frames` place it in time, `offset` and `size_bytes` in the stream; `depths`
    (channels, frames) are the stages of each frame.
    """

    index: int  # pyright: ignore[reportIncompatibleMethodOverride] (a packet is no sequence)
    first_frame: int
    frames: int
    depths: np.ndarray
    coding: Coding | None
    payload: bytes | None
    offset: int
    size_bytes: int


class PacketBytes(NamedTuple):
    """Where packets lie in `data`, and what their heads say: arrays of one number for each.

    A packet's first byte is at `firsts`; its body, without a count of frames, is from `starts` to
    `stops`, and its checksum follows.
    """

    data: bytes
    firsts: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    is_range: np.ndarray
    is_varied: np.ndarray

    def first(self, count: int) -> PacketBytes:
        """Those of the first packets alone."""
        return PacketBytes(self.data, *(array[:count] for array in self[1:]))


class PacketRun:
    """Whole packets of `frames` frames each, from packet `index` on, which starts `offset` bytes
    into the stream.

    A run ends before the first packet whose stages per frame, or whose length, are at fault; where
    this is the very first, opening it is a `BitstreamError`.
    """

    def __init__(
        self, layout: RunLayout, packets: PacketBytes, *, index: int, frames: int, offset: int
    ) -> None:
        self._layout = layout
        self.index, self.frames = index, frames
        self._offset = offset
        fault = self._open(packets, layout.depth_field(frames))
        if fault and not len(self):
            raise BitstreamError(fault)

    def __len__(self) -> int:
        """Return the number of packets."""
        return len(self._packets.starts)

    @property
    def first_frame(self) -> int:
        return self.index * self._layout.header.packet_frames

    @property
    def size_bytes(self) -> int:
        stops = self._packets.stops
        return int(stops[-1] - self._packets.firsts[0]) + CHECK_BYTES

    @property
    def checks(self) -> bytes:
        """The bytes of the packets' checksums, one after another."""
        places = self._packets.stops[:, None] + np.arange(CHECK_BYTES)
        return self._bytes[places].tobytes()

    @property
    def range_packets(self) -> int:
        return int(np.count_nonzero(self._packets.is_range))

    @property
    def payload_bytes(self) -> int:
        return int((self._packets.stops - self._payloads).sum())

    @property
    def frames_of_depth(self) -> np.ndarray:
        """How many frames have 0, 1, … all stages, over all channels and packets."""
        counts = np.zeros(len(self._layout.header.stages) + 1, np.int64)
        if len(self._depths):
            counts += self._field.frames_of_depth(self._depths).sum(axis=0)
        frames = self._layout.header.channels * self.frames
        counts[0] += frames * np.count_nonzero(self._is_silent)
        counts[-1] += frames * np.count_nonzero(~self._packets.is_varied)
        return counts

    def packets(self) -> Iterator[RawPacket]:
        """Yield them one by one."""
        data, firsts, _, stops, is_range, _ = self._packets
        channels, all_stages = self._layout.header.channels, len(self._layout.header.stages)
        rows = iter(self._depths)
        for number in range(len(self)):
            stop = int(stops[number])
            if self._has_depths[number]:
                depths = self._field.of_frames(next(rows))
            else:
                depth = 0 if self._is_silent[number] else all_stages
                depths = equal_depths(depth, channels, self.frames)
            yield RawPacket(
                self.index + number,
                self.first_frame + number * self.frames,
                self.frames,
                depths,
                "range" if is_range[number] else "fixed",
                data[int(self._payloads[number]) : stop],
                self._offset + int(firsts[number] - firsts[0]),
                stop - int(firsts[number]) + CHECK_BYTES,
            )

    def payload_faults(self, *, with_range: bool) -> dict[int, str]:
        """What is wrong with payloads, by packet: at fixed width all that decoding would find, and
        `with_range` the ends of the stages of range-coded ones.
        """
        packets, payloads = self._packets, self._payloads
        fixed = np.flatnonzero(~packets.is_range & ~self._is_silent)
        found: dict[int, str] = {}
        if len(fixed):
            places = payloads[fixed], packets.stops[fixed]
            faults = self._layout.fields.find_faults(self._bytes, *places, self._counts(fixed))
            found |= {int(fixed[number]): fault for number, fault in faults.items()}
        ranged = np.flatnonzero(packets.is_range)
        if with_range and len(ranged):
            ends = self._deepest(ranged) - 1
            faults = find_bad_ends(packets.data, payloads[ranged], packets.stops[ranged], ends)
            found |= {int(ranged[number]): fault for number, fault in faults.items()}
        return found

    def _open(self, packets: PacketBytes, field: DepthField) -> str | None:
        """Take the packets up to the first that is at fault; return what is wrong with it."""
        self._field = field
        self._bytes = np.frombuffer(packets.data, np.uint8)
        self._depths = np.zeros((0, 1), np.int64)
        self._is_silent = packets.is_varied & ~packets.is_range & (packets.starts == packets.stops)
        self._has_depths = packets.is_varied & ~self._is_silent
        self._packets, self._payloads = packets, packets.starts
        if self._has_depths.any():
            return self._open_varied()
        is_full = not (packets.is_range[0] or self._is_silent[0])
        found = int(packets.stops[0] - packets.starts[0])
        expected = self._layout.full_bytes(self.frames)
        if is_full and found != expected:  # which only short packets can have
            return self._keep(0, self._wrong_length(found, expected))
        return None

    def _open_varied(self) -> str | None:
        """Go on with stages per frame, where some packets have them."""
        packets = self._packets
        rows = np.flatnonzero(self._has_depths)
        starts, stops = packets.starts[rows], packets.stops[rows]
        self._depths, sizes, fault = self._field.unpack(self._bytes, starts, stops)
        rows, opened = rows[: len(sizes)], rows[len(sizes) :]
        self._payloads = packets.starts.copy()
        self._payloads[rows] += sizes
        bits = self._field.sum_over_frames(self._depths, self._layout.fields.bits_of_depth)
        found, expected = packets.stops[rows] - self._payloads[rows], -(-bits // 8)
        is_wrong = (found != expected) & ~packets.is_range[rows]
        if is_wrong.any():
            first = int(is_wrong.argmax())
            length = self._wrong_length(int(found[first]), int(expected[first]))
            return self._keep(int(rows[first]), length)
        return self._keep(int(opened[0]), fault) if fault else None

    def _wrong_length(self, found: int, expected: int) -> str:
        return (
            f"its length is absurd: {found} bytes for {self.frames} frames, which take {expected}"
        )

    def _keep(self, count: int, fault: str | None) -> str | None:
        """Keep so many packets, of which the next has a fault; return it."""
        self._packets, self._payloads = self._packets.first(count), self._payloads[:count]
        self._is_silent, self._has_depths = self._is_silent[:count], self._has_depths[:count]
        self._depths = self._depths[: np.count_nonzero(self._has_depths)]
        return fault

    def _counts(self, numbers: np.ndarray) -> np.ndarray:
        """How many frames of each of these packets, which are not silent, have 0, 1, … all stages,
        over all channels.
        """
        counts = np.zeros((len(numbers), len(self._layout.header.stages) + 1), np.int64)
        counts[:, -1] = self._layout.header.channels * self.frames
        of_depths = self._has_depths[numbers]
        if of_depths.any():
            rows = np.cumsum(self._has_depths)[numbers[of_depths]] - 1
            counts[of_depths] = self._field.frames_of_depth(self._depths[rows])
        return counts

    def _deepest(self, numbers: np.ndarray) -> np.ndarray:
        """The most stages of a frame in each of these packets, which are not silent."""
        deepest = np.full(len(self), len(self._layout.header.stages))
        if len(self._depths):
            deepest[self._has_depths] = self._depths.max(axis=1)
        return deepest[numbers]


class RunLayout:
    """What all runs of a stream share."""

    def __init__(self, header: StreamHeader) -> None:
        self.header = header
        self.fields = FixedFields(header.stages)
        self._depth_field = self._new_depth_field(header.packet_frames)

    def full_bytes(self, frames: int) -> int:
        """Bytes at fixed width of frames that have all stages."""
        return -(-self.header.bits_per_frame * frames // 8)

    def depth_field(self, frames: int) -> DepthField:
        """Return the depths of packets of so many frames, made once for those of whole packets."""
        if frames == self.header.packet_frames:
            return self._depth_field
        return self._new_depth_field(frames)

    def _new_depth_field(self, frames: int) -> DepthField:
        return DepthField(len(self.header.stages), self.header.channels, frames)
