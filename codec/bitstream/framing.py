"""Packets and the end marker as bytes: heads, lengths, checksums. See FORMAT.md."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import BitstreamError
from .checksum import index_under, packet_check
from .header import StreamHeader
from .packing import fixed_size
from .range_coding import range_size_limit
from .source import ByteSource, Cursor
from .stage_counts import full_depths, most_depth_bytes, pack_depths, unpack_depths
from .varint import encode_varint

Coding = Literal["fixed", "range"]
_CODINGS: tuple[Coding, Coding] = ("fixed", "range")

MAX_PACKETS = (1 << 32) - 1
_END_HEAD = b"\0"
SHORT, VARIED, _LENGTH_SHIFT = 1 << 1, 1 << 2, 3
_MAX_HEAD_BYTES = 4
_MAX_FRAMES_BYTES = 3
_MAX_MISSING_BYTES = 9
MAX_END_BYTES = len(_END_HEAD) + _MAX_MISSING_BYTES + 4


@dataclass(frozen=True, slots=True)
class Unit:
    """A packet or the end marker, framed well; `index` is that under which its checksum fits.

    For the end marker, `index` is the number of packets and `body` the bytes after the head.
    """

    index: int
    head: int
    body: bytes
    size: int

    @property
    def is_end(self) -> bool:
        return self.head == 0


@dataclass(frozen=True, slots=True)
class RawPacket:
    """A packet whose payload has not been decoded; `payload` and `coding` are None where it is lost.

    `first_frame` and `frames` place it in time, `offset` and `size_bytes` in the stream; `depths` (channels, frames)
    says how many stages each frame has.
    """

    index: int
    first_frame: int
    frames: int
    depths: np.ndarray
    coding: Coding | None
    payload: bytes | None
    offset: int
    size_bytes: int


class Framing:
    """The framing of one stream; every checksum starts with the stream's header."""

    def __init__(self, header: StreamHeader) -> None:
        self.header = header
        self._seed = zlib.crc32(header.checked_bytes())
        stages, channels, frames = len(header.stages), header.channels, header.packet_frames
        self._range_limit = range_size_limit(stages, channels, frames)
        self._depth_limit = most_depth_bytes(stages, channels, frames)
        self._full_size = self._fixed_size_of_full(frames)

    @property
    def full_packet_bytes(self) -> int:
        """A whole packet at fixed width: the largest that a writer makes of `packet_frames` frames."""
        body = self._full_size
        if self.header.may_vary:
            body += self._depth_limit
        return len(encode_varint(body << _LENGTH_SHIFT)) + body + 4

    def full_depths(self, frames: int) -> np.ndarray:
        """Depths of frames that have all stages."""
        return full_depths(len(self.header.stages), self.header.channels, frames)

    def _fixed_size_of_full(self, frames: int) -> int:
        """Bytes at fixed width of frames that have all stages."""
        return -(-self.header.bits_per_frame * frames // 8)

    def packet(self, index: int, depths: np.ndarray, coding: Coding, payload: bytes) -> bytes:
        """A packet as bytes; `depths` (channels, frames) are the stages of its frames."""
        frames, stages = depths.shape[1], len(self.header.stages)
        is_short, is_varied = frames < self.header.packet_frames, bool((depths < stages).any())
        body = b"".join(
            (encode_varint(frames) if is_short else b"", pack_depths(depths, stages) if is_varied else b"", payload)
        )
        flags = VARIED * is_varied | SHORT * is_short | _CODINGS.index(coding)
        head = encode_varint(len(body) << _LENGTH_SHIFT | flags)
        return self._sealed(head + body, index)

    def end(self, packets: int, samples: int) -> bytes:
        """The end marker of a stream of `packets` packets that make `samples` samples at the original rate."""
        missing = self.header.samples_in(packets * self.header.packet_frames) - samples
        return self._sealed(_END_HEAD + encode_varint(missing), packets)

    def _sealed(self, content: bytes, index: int) -> bytes:
        check = packet_check(zlib.crc32(content, self._seed), index)
        return content + check.to_bytes(4, "little")

    def read(self, source: ByteSource, position: int = 0) -> Unit:
        """The unit `position` bytes ahead, not consumed; a `BitstreamError` where there is none."""
        cursor = Cursor(source, position)
        head = cursor.varint("the head of a packet", _MAX_HEAD_BYTES)
        head_size = cursor.size
        if head == 0:
            cursor.varint("the end marker", _MAX_MISSING_BYTES)
        else:
            self._check_length(head)
            cursor.take(head >> _LENGTH_SHIFT, "a packet")
        content = cursor.taken
        check = cursor.integer(4, "the end marker" if head == 0 else "a packet")
        index = index_under(zlib.crc32(content, self._seed), check)
        return Unit(index, head, content[head_size:], cursor.size)

    def _check_length(self, head: int) -> None:
        """Whether a packet may be so long, before it is read."""
        length = head >> _LENGTH_SHIFT
        low, high = 0, self._range_limit + (self._depth_limit if head & VARIED else 0)
        if not head & (VARIED | 1):
            low = high = self._full_size
            if head & SHORT:
                low, high = 2, _MAX_FRAMES_BYTES + self._full_size
        if not low <= length <= high:
            expected = f"{low}" if low == high else f"{low} to {high}"
            raise BitstreamError(f"its length is absurd: {length} bytes where {expected} are possible")

    def open_packet(self, unit: Unit, offset: int) -> RawPacket:
        """The packet in `unit`, which starts `offset` bytes into the stream."""
        if unit.head & VARIED and not self.header.may_vary:
            raise BitstreamError("it has a bit set that its version of the format does not know")
        cursor = Cursor.over(unit.body)
        frames = self.header.packet_frames
        if unit.head & SHORT:
            frames = cursor.varint("the frame count", _MAX_FRAMES_BYTES)
            if not 1 <= frames < self.header.packet_frames:
                raise BitstreamError(f"its frame count is absurd: a short packet with {frames} frames")
        payload, depths = unit.body[cursor.size :], self.full_depths(frames)
        coding = _CODINGS[unit.head & 1]
        size = self._fixed_size_of_full(frames)
        if unit.head & VARIED:
            depths, depth_bytes = unpack_depths(payload, len(self.header.stages), self.header.channels, frames)
            payload = payload[depth_bytes:]
            if coding == "fixed":
                size = fixed_size(self.header.stages, depths)
        if coding == "fixed" and len(payload) != size:
            raise BitstreamError(f"its length is absurd: {len(payload)} bytes for {frames} frames, which take {size}")
        first_frame = unit.index * self.header.packet_frames
        return RawPacket(unit.index, first_frame, frames, depths, coding, payload, offset, unit.size)

    def open_end(self, unit: Unit) -> int:
        """The number of samples at the original rate that the end marker in `unit` states."""
        missing = Cursor.over(unit.body).varint("the end marker", _MAX_MISSING_BYTES)
        packet_frames = self.header.packet_frames
        samples = self.header.samples_in(unit.index * packet_frames) - missing
        frames = self.header.frames_for(samples)
        if samples < 0 or -(-frames // packet_frames) != unit.index:
            raise BitstreamError(f"the end marker is absurd: {unit.index} packets for {samples} samples")
        return samples
