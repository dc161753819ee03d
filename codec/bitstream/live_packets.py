"""Packets for a call: each a datagram of a few frames that decodes alone. Specified in LIVE.md.

A packet has so few indices that Python's integers and strings pack them sooner than arrays.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import BitstreamError
from .entropy import EntropyTables
from .layout import StageLayout, find_bad_index
from .packing import FILL
from .range_coding import decode_stream, encode_stream
from .stage_counts import GROUP_FRAMES, NONE

SEQUENCE_NUMBERS = 128
MAX_LIVE_FRAMES = 16
MAX_COPIES = 15

_HAS_COPIES = 0x80
_FRAMES_BITS = 4
_MAX_COPY_BYTES = 255
_MOST_SILENT_BYTES = 255  # at most: fields of all channels, and no indices

_Depths = list[list[int]]  # of frames, or groups of them, by channels


@dataclass(frozen=True, kw_only=True, eq=False)
class LivePacket:
    """Codes (channels, stages, frames), NONE where a frame has no more stages, possibly none at
    all.

    `sequence` is the packet's number modulo 128. `copies` are codes of the packets before, latest
    first, of fewer stages; None where there is no copy of a packet.
    """

    sequence: int
    codes: np.ndarray
    copies: tuple[np.ndarray | None, ...] = ()

    @property
    def frames(self) -> int:
        return self.codes.shape[2]

    @property
    def is_silent(self) -> bool:
        """Whether no frame has a stage."""
        return bool((self.codes == NONE).all())


class LiveFormat:
    """Live packets of one model: codes to bytes and back.

    Args:
        fingerprint: names the model's weights and tables.
        stages: all stages of the model.
        channels: 1 to 255, each coded by itself.
        tables: the model's, with which a body is range-coded where that is smaller.
    """

    def __init__(
        self,
        *,
        fingerprint: bytes,
        stages: Sequence[StageLayout],
        channels: int = 1,
        tables: EntropyTables | None = None,
    ) -> None:
        if tables is not None:
            tables.check_fits(stages)
        self.stages = tuple(stages)
        self.channels = channels
        self.tables = tables
        self._limits = [stage.max_index for stage in stages]
        self._widths = [stage.index_bits for stage in stages]
        self._has_positions = any(stage.position_bits for stage in stages)
        self._bits_of_depth = [0, *itertools.accumulate(self._widths)]
        layout = bytes(
            field for stage in stages for field in (stage.codebook_bits, stage.position_bits)
        )
        self._seed = crc8(fingerprint + bytes([channels]) + layout)

    def fits_copy(self, frames: int, stages: int) -> bool:
        """Whether a packet has room for a copy of `frames` frames, all of them of so many first
        stages.
        """
        depths = [[min(stages, len(self.stages))] * frames] * self.channels
        fields = _pack_fields(depths, len(self.stages))
        return len(fields) + self._fixed_size(depths) <= _MAX_COPY_BYTES

    def pack(self, packet: LivePacket) -> bytes:
        """Serialise a packet; bad codes are a `ValueError`."""
        copies = [b"" if codes is None else self._pack_body(codes) for codes in packet.copies]
        if len(copies) > MAX_COPIES or any(len(copy) > _MAX_COPY_BYTES for copy in copies):
            raise ValueError(
                f"a packet has up to {MAX_COPIES} copies of up to {_MAX_COPY_BYTES} bytes"
            )
        if copies and not copies[-1]:
            raise ValueError("the last copy is there")
        head = bytes([packet.sequence % SEQUENCE_NUMBERS | _HAS_COPIES * bool(copies)])
        if copies:
            head += bytes([len(copies)]) + b"".join(bytes([len(copy)]) + copy for copy in copies)
        content = head + self._pack_body(packet.codes)
        return content + bytes([crc8(content, self._seed)])

    def unpack(self, data: bytes) -> LivePacket:
        """Parse a datagram; raise a `BitstreamError` where it is damaged or another model's."""
        if len(data) < 3:
            raise BitstreamError(
                f"a live packet has at least 3 bytes, not {len(data)}: it is cut off"
            )
        content = data[:-1]
        if crc8(content, self._seed) != data[-1]:
            raise BitstreamError(
                "the check of the live packet does not fit: it is damaged, or another model's"
            )
        copies, start = self._unpack_copies(content) if content[0] & _HAS_COPIES else ((), 1)
        return LivePacket(
            sequence=content[0] % SEQUENCE_NUMBERS,
            codes=self._unpack_body(content[start:]),
            copies=copies,
        )

    def is_silent(self, data: bytes) -> bool:
        """Whether a packet has no copies, and no frame of it has a stage."""
        return (
            len(data) <= _MOST_SILENT_BYTES
            and not data[0] & _HAS_COPIES
            and self.unpack(data).is_silent
        )

    def _unpack_copies(self, content: bytes) -> tuple[tuple[np.ndarray | None, ...], int]:
        """The copies, and where the body starts."""
        count, position = _byte(content, 1), 2
        if not 1 <= count <= MAX_COPIES:
            raise BitstreamError(
                f"the live packet is absurd: {count} copies where 1 to {MAX_COPIES} are possible"
            )
        copies: list[np.ndarray | None] = []
        for _ in range(count):
            length = _byte(content, position)
            body = content[position + 1 : position + 1 + length]
            if len(body) < length:
                raise BitstreamError(
                    f"the live packet is cut off in a copy: {len(body)} of {length} bytes are there"
                )
            copies.append(self._unpack_body(body) if body else None)
            position += 1 + length
        if copies[-1] is None:
            raise BitstreamError("the live packet is absurd: its last copy is empty")
        return tuple(copies), position

    def _pack_body(self, codes: np.ndarray) -> bytes:
        depths = self._checked_depths(codes)
        payload = None if self.tables is None else encode_stream(codes, self.stages, self.tables)
        if payload is None or len(payload) >= self._fixed_size(depths):
            payload = self._pack_fixed(codes)
        return _pack_fields(depths, len(self.stages)) + payload

    def _unpack_body(self, body: bytes) -> np.ndarray:
        depths, size = _unpack_fields(body, len(self.stages), self.channels)
        payload, fixed = body[size:], self._fixed_size(depths)
        if len(payload) > fixed:
            raise BitstreamError(
                f"the live packet is absurd: {len(payload)} bytes of indices, which take {fixed}"
            )
        if len(payload) == fixed:
            return self._unpack_fixed(payload, depths)
        if self.tables is None:
            raise BitstreamError(
                "the live packet is range-coded: decoding needs the entropy tables of its model"
            )
        if payload.endswith(b"\0"):
            raise BitstreamError(
                "the live packet is absurd: its range-coded indices end with a zero byte"
            )
        return decode_stream(payload, self.stages, self.tables, np.array(depths))

    def _fixed_size(self, depths: _Depths) -> int:
        """Bytes of the indices at fixed width."""
        return -(-sum(self._bits_of_depth[depth] for depth in itertools.chain(*depths)) // 8)

    def _pack_fixed(self, codes: np.ndarray) -> bytes:
        by_stage = codes.swapaxes(0, 1).reshape(len(codes[0]), -1).tolist()
        return _to_bytes(
            f"{index:0{width}b}"
            for width, indices in zip(self._widths, by_stage, strict=True)
            for index in indices
            if index != NONE
        )

    def _unpack_fixed(self, payload: bytes, depths: _Depths) -> np.ndarray:
        bits, position = _to_bits(payload), 0
        flat = list(itertools.chain(*depths))
        by_stage = np.full((len(self.stages), len(flat)), NONE, np.int32)
        for number, width in enumerate(self._widths):
            there = [frame for frame, depth in enumerate(flat) if depth > number]
            end = position + width * len(there)
            starts = range(position, end, width)
            by_stage[number, there] = [int(bits[start : start + width], 2) for start in starts]
            position = end
        if "1" in bits[position:]:
            raise BitstreamError(FILL)
        by_stage = by_stage.reshape(len(by_stage), self.channels, -1)
        codes = np.ascontiguousarray(by_stage.swapaxes(0, 1))
        if self._has_positions and (fault := find_bad_index(codes, self.stages)):
            raise BitstreamError(fault)
        return codes

    def _checked_depths(self, codes: np.ndarray) -> _Depths:
        expected = (self.channels, len(self.stages))
        if codes.dtype.kind not in "iu" or codes.ndim != 3 or codes.shape[:2] != expected:
            raise ValueError(
                f"codes are integers (channels, stages, frames) = (*{expected}, any), not "
                f"{codes.dtype} {codes.shape}"
            )
        if not 1 <= codes.shape[2] <= MAX_LIVE_FRAMES:
            raise ValueError(
                f"a live packet has 1 to {MAX_LIVE_FRAMES} frames, not {codes.shape[2]}"
            )
        channels = codes.swapaxes(1, 2).tolist()
        depths = [[self._checked_depth(frame) for frame in frames] for frames in channels]
        if any(_of_frames(channel[::GROUP_FRAMES], len(channel)) != channel for channel in depths):
            raise ValueError(f"the {GROUP_FRAMES} frames of a group have equally many stages")
        return depths

    def _checked_depth(self, indices: list[int]) -> int:
        """The stages of a frame."""
        depth = len(indices) - indices.count(NONE)
        is_outside = min(indices) < NONE or any(map(operator.gt, indices, self._limits))
        if is_outside or NONE in indices[:depth]:
            raise ValueError(
                "an index is outside its stage's range, or after a stage that its frame does not "
                "have"
            )
        return depth


def _of_frames(groups: list[int], frames: int) -> list[int]:
    """What groups have, of each of their frames."""
    return [value for value in groups for _ in range(GROUP_FRAMES)][:frames]


def _to_bytes(bits: Iterable[str]) -> bytes:
    """Join binary digits, and fill up the last byte with zeros."""
    joined = "".join(bits)
    size = -(-len(joined) // 8)
    return int(joined.ljust(8 * size, "0") or "0", 2).to_bytes(size, "big")


def _to_bits(data: bytes) -> str:
    return f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}" if data else ""


def _byte(content: bytes, position: int) -> int:
    if position >= len(content):
        raise BitstreamError("the live packet is cut off in its copies")
    return content[position]


def _pack_fields(depths: _Depths, stages: int) -> bytes:
    """The fields of a body for depths of frames."""
    before, *further = _in_order([channel[::GROUP_FRAMES] for channel in depths])
    bits = [f"{len(depths[0]) - 1:0{_FRAMES_BITS}b}", f"{before[0]:0{stages.bit_length()}b}"]
    for depth, reference in further:
        step = depth - reference
        bits.append("1" * abs(step) + ("0" if not step else "00" if step < 0 else "01"))
    return _to_bytes(bits)


def _in_order(depths: _Depths) -> list[tuple[int, int]]:
    """Arrange depths of groups in the order of the fields, each with the depth that predicts it."""
    pairs = []
    for number, channel in enumerate(depths):
        references = [depths[max(number - 1, 0)][0], *channel[:-1]]
        pairs += zip(channel, references, strict=True)
    return pairs


def _unpack_fields(body: bytes, stages: int, channels: int) -> tuple[_Depths, int]:
    """The depths of frames that a body starts with, and how many bytes they take."""
    bits = _to_bits(body)
    position = _FRAMES_BITS + stages.bit_length()
    if len(bits) < position:
        raise BitstreamError("the live packet is cut off in its fields")
    frames = int(bits[:_FRAMES_BITS], 2) + 1
    groups = -(-frames // GROUP_FRAMES)
    depths: _Depths = [[] for _ in range(channels)]
    depth = int(bits[_FRAMES_BITS:position], 2)
    for channel, group in itertools.product(range(channels), range(groups)):
        if group == 0 and channel:
            depth = depths[channel - 1][0]
        if group or channel:
            step, position = _take_step(bits, position)
            depth += step
        if not 0 <= depth <= stages:
            raise BitstreamError(
                f"the live packet is absurd: a frame with {depth} of {stages} stages"
            )
        depths[channel].append(depth)
    size = -(-position // 8)
    if "1" in bits[position : 8 * size]:
        raise BitstreamError(
            "the live packet is absurd: the bits that fill up its fields are not zero"
        )
    return [_of_frames(channel, frames) for channel in depths], size


def _take_step(bits: str, position: int) -> tuple[int, int]:
    """Decode a difference of depths; return it and the position after it."""
    zero = bits.find("0", position)
    step, end = zero - position, zero + 1
    if zero < 0 or end + (step > 0) > len(bits):
        raise BitstreamError("the live packet is cut off in its fields")
    if not step:
        return 0, end
    return (step if bits[end] == "1" else -step), end + 1


def crc8(data: bytes, start: int = 0) -> int:
    """CRC-8 with the polynomial x⁸ + x² + x + 1, of data that follows data of CRC `start`.

    >>> hex(crc8(b"123456789"))
    '0xf4'
    """
    register = start
    for byte in data:
        register = _CRC_TABLE[register ^ byte]
    return register


def _advance_byte(register: int) -> int:
    for _ in range(8):
        register = register << 1 ^ (0x107 if register & 0x80 else 0)
    return register


_CRC_TABLE = [_advance_byte(byte) for byte in range(256)]
