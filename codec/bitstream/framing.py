"""Packets and the end marker as bytes: heads, lengths, checksums. See FORMAT.md."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import BitstreamError
from .checksum import CHECK_BYTES, index_under, packet_check
from .header import StreamHeader
from .packet_run import Coding, PacketBytes, PacketRun, RunLayout
from .range_coding import range_size_limit
from .source import ByteSource, Cursor
from .stage_counts import extremes, most_depth_bytes, pack_depths
from .varint import encode_varint, take_varint

_CODINGS: tuple[Coding, Coding] = ("fixed", "range")

MAX_PACKETS = (1 << 32) - 1
LEAST_PACKET_BYTES = 5
_RUN_BYTES = 1 << 14
_END_HEAD = b"\0"
RANGE, SHORT, VARIED, LENGTH_SHIFT = 1, 1 << 1, 1 << 2, 3
FLAGS = (1 << LENGTH_SHIFT) - 1
MAX_HEAD_BYTES = 4
_MAX_FRAMES_BYTES = 3
MAX_MISSING_BYTES = 9
SUM_BYTES = 4
MAX_END_BYTES = len(_END_HEAD) + MAX_MISSING_BYTES + SUM_BYTES + CHECK_BYTES


class Unit(NamedTuple):
    """A packet or the end marker as read: its bytes, and the index that its checksum implies.

    `index` is the one under which its checksum fits; of the end marker, the number of packets.
    `content` is head ‖ body, and `check` the bytes of the checksum behind it.
    """

    index: int  # pyright: ignore[reportIncompatibleMethodOverride] (a unit is no sequence)
    head: int
    head_size: int
    content: bytes
    check: bytes

    @property
    def is_end(self) -> bool:
        return self.head == 0

    @property
    def size(self) -> int:
        return len(self.content) + CHECK_BYTES


class End(NamedTuple):
    """What the end marker states: samples at the original rate, and the sum of the packets'
    CRCs.
    """

    samples: int
    sum: int


def packet_content(
    header: StreamHeader, depths: np.ndarray, coding: Coding, payload: bytes
) -> bytes:
    """Head and body of a packet; `depths` (channels, frames) are the stages of its frames."""
    frames, stages = depths.shape[1], len(header.stages)
    least, most = extremes(depths)
    is_short, is_varied = frames < header.packet_frames, least < stages
    body = encode_varint(frames) if is_short else b""
    if is_varied and most:
        body += pack_depths(depths, stages)
    body += payload
    flags = VARIED * is_varied | SHORT * is_short | _CODINGS.index(coding)
    return encode_varint(len(body) << LENGTH_SHIFT | flags) + body


def sum_of(check: bytes, before: int) -> int:
    """The sum of the CRCs of packets up to one of CRC `check`."""
    return zlib.crc32(check, before)


class Framing:
    """The framing of one stream; every checksum starts with its header and its identity."""

    def __init__(self, header: StreamHeader, identity: int) -> None:
        self.header = header
        self._packet_frames = header.packet_frames
        self.identity = identity
        self.seed = zlib.crc32(header.checked_bytes(identity))
        stages, channels, frames = len(header.stages), header.channels, header.packet_frames
        self._layout = RunLayout(header)
        self._full_size = self._layout.full_bytes(frames)
        self._range_limit = range_size_limit(stages, channels, frames)
        self._depth_limit = most_depth_bytes(stages, channels, frames)
        self.lengths = [self._limits(flags) for flags in range(FLAGS + 1)]

    @property
    def most_body_bytes(self) -> int:
        return max(high for _, high in self.lengths)

    def end(self, packets: int, samples: int, sum_of_checks: int) -> bytes:
        """Return the end marker of a stream of `packets` packets and `samples` samples."""
        missing = self.header.samples_in(packets * self.header.packet_frames) - samples
        content = _END_HEAD + encode_varint(missing) + sum_of_checks.to_bytes(SUM_BYTES, "little")
        return self.sealed(content, packets)

    def sealed(self, content: bytes, index: int) -> bytes:
        """Append the checksum of unit `index` to its content."""
        check = packet_check(zlib.crc32(content, self.seed), index)
        return content + check.to_bytes(CHECK_BYTES, "little")

    def read(self, source: ByteSource, position: int = 0, *, expected: int = 0) -> Unit:
        """Parse the unit `position` bytes ahead without consuming it; raise a `BitstreamError`
        where there is none. A unit whose index is `expected` takes less time than others.
        """
        buffer, head_size = source.buffer, 1
        if position >= len(buffer) or (head := buffer[position]) > 0x7F:
            head, head_size = _head(source, position)
        stop = position + head_size + (length := head >> LENGTH_SHIFT)
        if head == 0:
            cursor = Cursor(source, position + head_size)
            cursor.varint("the end marker", MAX_MISSING_BYTES)
            stop += cursor.size + SUM_BYTES
        else:
            low, high = self.lengths[head & FLAGS]
            if not low <= length <= high:
                raise _absurd_length(length, low, high)
        needed = stop + CHECK_BYTES
        if len(buffer) < needed and (available := source.fill(needed)) < needed:
            raise BitstreamError(
                f"the stream is cut off in {'a packet' if head else 'the end marker'}: "
                f"{available - position} of {needed - position} bytes are there"
            )
        content, check = bytes(buffer[position:stop]), bytes(buffer[stop:needed])
        state = zlib.crc32(content, self.seed)
        index = expected
        if zlib.crc32(expected.to_bytes(4, "little"), state).to_bytes(4, "little") != check:
            index = index_under(state, int.from_bytes(check, "little"))
        return Unit(index, head, head_size, content, check)

    def read_run(self, buffer: bytearray, index: int, offset: int) -> PacketRun | None:
        """The packets of the usual number of frames that a buffer starts with, from the one of
        `index` on, up to the first that there is anything to find fault with; None where it is the
        first.
        """
        with memoryview(buffer) as view:
            data = bytes(view[:_RUN_BYTES])
        heads: list[int] = []
        firsts: list[int] = []
        starts: list[int] = []
        stops: list[int] = []
        position, expected, size = 0, index, len(data)
        while position < size:
            head, start = data[position], position + 1
            if head >= 0x80:
                head, start = _head_in(data, position)
            length = head >> LENGTH_SHIFT
            low, high = self.lengths[head & FLAGS]
            stop = start + length
            if head & SHORT or not head or not low <= length <= high or stop + CHECK_BYTES > size:
                break
            state = zlib.crc32(data[position:stop] + expected.to_bytes(4, "little"), self.seed)
            if state != int.from_bytes(data[stop : stop + CHECK_BYTES], "little"):
                break
            heads.append(head)
            firsts.append(position)
            starts.append(start)
            stops.append(stop)
            position, expected = stop + CHECK_BYTES, expected + 1
        if not heads:
            return None
        try:
            return self._run(data, heads, firsts, starts, stops, index, self._packet_frames, offset)
        except BitstreamError:
            return None

    def open_packet(self, unit: Unit, offset: int) -> PacketRun:
        """Open the packet in `unit`, which starts `offset` bytes into the stream."""
        head, frames, start = unit.head, self._packet_frames, unit.head_size
        if head & SHORT:
            cursor = Cursor.over(unit.content[start : start + _MAX_FRAMES_BYTES])
            frames = cursor.varint("the frame count", _MAX_FRAMES_BYTES)
            start += cursor.size
            if not 1 <= frames < self.header.packet_frames:
                raise BitstreamError(
                    f"its frame count is absurd: a short packet with {frames} frames"
                )
        data = unit.content + unit.check
        stop = len(unit.content)
        return self._run(data, [head], [0], [start], [stop], unit.index, frames, offset)

    def _run(
        self,
        data: bytes,
        heads: Sequence[int],
        firsts: Sequence[int],
        starts: Sequence[int],
        stops: Sequence[int],
        index: int,
        frames: int,
        offset: int,
    ) -> PacketRun:
        flags = np.array(heads)
        packets = PacketBytes(
            data,
            np.array(firsts),
            np.array(starts),
            np.array(stops),
            is_range=flags & RANGE > 0,
            is_varied=flags & VARIED > 0,
        )
        return PacketRun(self._layout, packets, index=index, frames=frames, offset=offset)

    def open_end(self, unit: Unit) -> End:
        """Parse the end marker in `unit`."""
        cursor = Cursor.over(unit.content[unit.head_size :])
        missing = cursor.varint("the end marker", MAX_MISSING_BYTES)
        packet_frames = self.header.packet_frames
        samples = self.header.samples_in(unit.index * packet_frames) - missing
        frames = self.header.frames_for(samples)
        if samples < 0 or -(-frames // packet_frames) != unit.index:
            raise BitstreamError(
                f"the end marker is absurd: {unit.index} packets for {samples} samples"
            )
        return End(samples, cursor.integer(SUM_BYTES, "the end marker"))

    def _limits(self, flags: int) -> tuple[int, int]:
        """The least and the most bytes of a body under a head's flags."""
        if flags & (RANGE | VARIED):
            most = self._range_limit + self._depth_limit * bool(flags & VARIED)
            return int(bool(flags & SHORT)), most
        if flags & SHORT:
            return 2, _MAX_FRAMES_BYTES + self._full_size
        return self._full_size, self._full_size


def _absurd_length(length: int, low: int, high: int) -> BitstreamError:
    expected = f"{low}" if low == high else f"{low} to {high}"
    return BitstreamError(f"its length is absurd: {length} bytes where {expected} are possible")


def _head(source: ByteSource, position: int) -> tuple[int, int]:
    """The head `position` bytes ahead, and its size."""
    cursor = Cursor(source, position)
    return cursor.varint("the head of a packet", MAX_HEAD_BYTES), cursor.size


def _head_in(data: bytes, position: int) -> tuple[int, int]:
    """The head at `position` and where it stops; 0 where there is none."""
    try:
        return take_varint(data, position, MAX_HEAD_BYTES, "the head of a packet")
    except BitstreamError:
        return 0, position
