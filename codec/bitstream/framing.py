"""Packets and the end marker as bytes: heads, lengths, checksums. See FORMAT.md."""

from __future__ import annotations

import zlib
from typing import Literal, NamedTuple

import numpy as np

from ..errors import BitstreamError
from .checksum import index_under, packet_check
from .header import StreamHeader
from .packing import FixedFields
from .range_coding import range_size_limit
from .source import ByteSource, Cursor
from .stage_counts import DepthField, DepthGroups, extremes, most_depth_bytes, pack_depths
from .varint import encode_varint

Coding = Literal["fixed", "range"]
_CODINGS: tuple[Coding, Coding] = ("fixed", "range")

MAX_PACKETS = (1 << 32) - 1
LEAST_PACKET_BYTES = 5
_READ_AT_ONCE = 4096
_END_HEAD = b"\0"
RANGE, SHORT, VARIED, LENGTH_SHIFT = 1, 1 << 1, 1 << 2, 3
FLAGS = (1 << LENGTH_SHIFT) - 1
MAX_HEAD_BYTES = 4
_MAX_FRAMES_BYTES = 3
MAX_MISSING_BYTES = 9
CHECK_BYTES = 4
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


class RawPacket(NamedTuple):
    """A packet whose payload has not been decoded; `payload` and `coding` are None where it is
    lost.

    `first_frame` and `frames` place it in time, `offset` and `size_bytes` in the stream;
    `depth_groups` says how many stages each frame has.
    """

    index: int  # pyright: ignore[reportIncompatibleMethodOverride] (a packet is no sequence)
    first_frame: int
    frames: int
    depth_groups: DepthGroups
    coding: Coding | None
    payload: bytes | None
    offset: int
    size_bytes: int

    @property
    def depths(self) -> np.ndarray:
        """The stages of each frame, (channels, frames)."""
        return self.depth_groups.array


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
        self._fields = FixedFields(header.stages)
        stages, channels, frames = len(header.stages), header.channels, header.packet_frames
        self._full_size = self._fixed_size_of_full(frames)
        self._range_limit = range_size_limit(stages, channels, frames)
        self._depth_limit = most_depth_bytes(stages, channels, frames)
        self.lengths = [self._limits(flags) for flags in range(FLAGS + 1)]
        self._depth_field = DepthField(stages, channels, frames)
        self._silent, self._full = (  # made once, as most packets are whole
            DepthGroups.equal(depth, stages, channels, frames) for depth in (0, stages)
        )

    @property
    def most_body_bytes(self) -> int:
        return max(high for _, high in self.lengths)

    @property
    def full_packet_bytes(self) -> int:
        """A whole packet at fixed width: the largest that a writer makes of `packet_frames`
        frames.
        """
        body = self._full_size + self._depth_limit
        return len(encode_varint(body << LENGTH_SHIFT)) + body + CHECK_BYTES

    def full_depths(self, frames: int) -> DepthGroups:
        """Depths of frames that have all stages."""
        return self._equal_depths(self._full, frames)

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

    def read_tiny(
        self, buffer: bytearray, index: int, offset: int
    ) -> list[tuple[RawPacket, bytes]]:
        """The packets of less than 21 bytes that a buffer starts with, and their checksums, as far
        as all is in order, from the one of `index` on: one by one, a file of them would take long.
        """
        data, position, expected = bytes(buffer[:_READ_AT_ONCE]), 0, index
        read: list[tuple[int, bytes, bytes]] = []  # head, body, checksum
        while position < len(data):
            head = data[position]
            size = LEAST_PACKET_BYTES + (length := head >> LENGTH_SHIFT)
            low, high = self.lengths[head & FLAGS]
            if not 0 < head < 0x80 or head & SHORT or not low <= length <= high:
                break
            stop = position + 1 + length
            content, check = data[position:stop], data[stop : position + size]
            state = zlib.crc32(content, self.seed)
            if packet_check(state, expected).to_bytes(CHECK_BYTES, "little") != check:
                break
            read.append((head, content[1:], check))
            position, expected = position + size, expected + 1
        return self._open_tiny(read, index, offset)

    def _open_tiny(
        self, read: list[tuple[int, bytes, bytes]], index: int, offset: int
    ) -> list[tuple[RawPacket, bytes]]:
        found: list[tuple[RawPacket, bytes]] = []
        varied = [body for head, body, _ in read if head & VARIED]
        of_varied, frames = iter(self._depth_field.unpack_at_once(varied)), self._packet_frames
        for head, payload, check in read:
            depths, size = self._full, LEAST_PACKET_BYTES + len(payload)
            if head & VARIED:
                try:
                    depths, payload = self._take_depths(head, frames, payload, next(of_varied))
                except BitstreamError:
                    break
            coding, start = _CODINGS[head & RANGE], index * frames
            packet = RawPacket(index, start, frames, depths, coding, payload, offset, size)
            found.append((packet, check))
            offset, index = offset + size, index + 1
        return found

    def open_packet(self, unit: Unit, offset: int) -> RawPacket:
        """Parse the packet in `unit`, which starts `offset` bytes into the stream."""
        head, frames, start = unit.head, self._packet_frames, unit.head_size
        if head & SHORT:
            cursor = Cursor.over(unit.content[start : start + _MAX_FRAMES_BYTES])
            frames = cursor.varint("the frame count", _MAX_FRAMES_BYTES)
            start += cursor.size
            if not 1 <= frames < self.header.packet_frames:
                raise BitstreamError(
                    f"its frame count is absurd: a short packet with {frames} frames"
                )
        coding, payload = _CODINGS[head & RANGE], unit.content[start:]
        depths = self._full
        if head & (SHORT | VARIED):
            depths, payload = self._take_depths(head, frames, payload)
        first_frame = unit.index * self._packet_frames
        size = len(unit.content) + CHECK_BYTES
        return RawPacket(unit.index, first_frame, frames, depths, coding, payload, offset, size)

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

    def _take_depths(
        self,
        head: int,
        frames: int,
        payload: bytes,
        unpacked: tuple[DepthGroups, int] | None = None,
    ) -> tuple[DepthGroups, bytes]:
        """Split `payload` into the stage counts at its start, if any, and the rest; `unpacked` are
        these counts and their size, where they are known.
        """
        if head & VARIED and not payload and not head & RANGE:
            return self._equal_depths(self._silent, frames), payload
        depths = self.full_depths(frames)
        if head & VARIED:
            field = self._depth_field
            if frames < self._packet_frames:
                field = DepthField(len(self.header.stages), self.header.channels, frames)
            depths, size = unpacked or field.unpack(payload)
            payload = payload[size:]
        if not head & RANGE:  # else the length has been checked
            self._check_size(payload, depths, frames)
        return depths, payload

    def _equal_depths(self, of_whole: DepthGroups, frames: int) -> DepthGroups:
        """Those of a whole packet, or of one that is shorter."""
        if frames == self._packet_frames:
            return of_whole
        header = self.header
        return DepthGroups.equal(of_whole.deepest, len(header.stages), header.channels, frames)

    def _check_size(self, payload: bytes, depths: DepthGroups, frames: int) -> None:
        """Compare the length of a payload at fixed width with the indices that it holds."""
        if len(payload) != (size := -(-self._fields.bits(depths.frames_of_depth) // 8)):
            raise BitstreamError(
                f"its length is absurd: {len(payload)} bytes for {frames} frames, which take {size}"
            )

    def _fixed_size_of_full(self, frames: int) -> int:
        """Bytes at fixed width of frames that have all stages."""
        return -(-self.header.bits_per_frame * frames // 8)

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
