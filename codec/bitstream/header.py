"""The header of a `.dvq` stream, and the arithmetic between samples and frames. See FORMAT.md."""

from __future__ import annotations

import itertools
import operator
import zlib
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from typing import BinaryIO

from ..errors import BitstreamError
from ..layouts.config import MAX_RATE_HZ, MIN_RATE_HZ
from .layout import MAX_CHANNELS, MAX_PACKET_FRAMES, MAX_PACKET_INDICES, MAX_STAGES, StageLayout
from .source import ByteSource, Cursor
from .varint import encode_varint

MAGIC = b"DVQ"
VERSION = b"1"
_DEVELOPMENT_VERSIONS = b"\x10\x11"  # of before the format was final
FINGERPRINT_BYTES = 6
IDENTITY_BYTES = 4
MAX_HOP = 65_535

_FIELD_RANGES = {
    "model_rate_hz": (MIN_RATE_HZ, MAX_RATE_HZ),
    "original_rate_hz": (MIN_RATE_HZ, MAX_RATE_HZ),
    "hop": (1, MAX_HOP),
    "channels": (1, MAX_CHANNELS),
    "packet_frames": (1, MAX_PACKET_FRAMES),
}

_SAME_RATE = 0
_COMMON_RATES_HZ = (
    8000,
    11025,
    12000,
    16000,
    22050,
    24000,
    32000,
    44100,
    48000,
    88200,
    96000,
    176400,
    192000,
)
_RATE_OFFSET = 16
_MORE_RUNS = 0x80
_RESERVED_STAGE_BIT = 0x80


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamHeader:
    """The parameters of a stream, which stand before its first packet.

    `model_rate_hz` is the rate that the model works at, `original_rate_hz` that of the audio that
    was coded; `hop` is in samples per frame at the model's rate; `packet_frames` is in every packet
    but the last, which may hold fewer; a frame has at most `stages`. The fingerprint names the
    model's weights and entropy tables. Bad arguments raise `ValueError`.

    In bytes a header also holds the stream's identity: the CRC-32 of its first packet.
    """

    fingerprint: bytes
    model_rate_hz: int
    original_rate_hz: int
    hop: int
    channels: int
    packet_frames: int
    stages: tuple[StageLayout, ...]

    def __post_init__(self) -> None:
        if len(self.fingerprint) != FINGERPRINT_BYTES:
            raise ValueError(
                f"a fingerprint has {FINGERPRINT_BYTES} bytes, not {len(self.fingerprint)}"
            )
        for name, (low, high) in _FIELD_RANGES.items():
            value = operator.index(getattr(self, name))  # NumPy's integers would overflow below
            object.__setattr__(self, name, value)
            _check_range(name, value, low, high)
        _check_range("the number of stages", len(self.stages), 1, MAX_STAGES)
        indices = self.channels * len(self.stages) * self.packet_frames
        _check_range("the number of indices in a packet", indices, 1, MAX_PACKET_INDICES)

    @property
    def frame_rate_hz(self) -> Fraction:
        return Fraction(self.model_rate_hz, self.hop)

    @property
    def bits_per_frame(self) -> int:
        """Bits of a frame at fixed width, over all channels."""
        return self.channels * sum(stage.index_bits for stage in self.stages)

    def model_samples(self, samples: int) -> int:
        """How many samples `samples` at the original rate make at the model's rate."""
        return -(-operator.index(samples) * self.model_rate_hz // self.original_rate_hz)

    def frames_for(self, samples: int) -> int:
        """How many frames `samples` at the original rate make."""
        return -(-self.model_samples(samples) // self.hop)

    def samples_in(self, frames: int) -> int:
        """Return the most samples at the original rate that need no more than `frames` frames."""
        return operator.index(frames) * self.hop * self.original_rate_hz // self.model_rate_hz

    def seconds(self, frames: int) -> float:
        """Return the time at which frame `frames` starts."""
        return frames * self.hop / self.model_rate_hz

    def checked_bytes(self, identity: int) -> bytes:
        """The header without its check: what every CRC of the stream starts with."""
        same_rate = self.original_rate_hz == self.model_rate_hz
        return b"".join(
            (
                MAGIC,
                VERSION,
                self.fingerprint,
                _encode_rate(self.model_rate_hz),
                encode_varint(_SAME_RATE) if same_rate else _encode_rate(self.original_rate_hz),
                encode_varint(self.hop),
                bytes([self.channels]),
                encode_varint(self.packet_frames),
                _encode_stages(self.stages),
                identity.to_bytes(IDENTITY_BYTES, "little"),
            )
        )

    def to_bytes(self, identity: int = 0) -> bytes:
        """Serialise the header of a stream whose first packet has the CRC-32 `identity`, 0 for no
        packets.
        """
        fields = self.checked_bytes(identity)
        return fields + _check(fields)

    @classmethod
    def from_bytes(cls, data: bytes) -> StreamHeader:
        """Parse the header at the start of `data`."""
        return cls.read(BytesIO(data))

    @classmethod
    def read(cls, file: BinaryIO) -> StreamHeader:
        """Read a header and not one byte more; anything else at that place is a
        `BitstreamError`.
        """
        return read_header(ByteSource(file))[0]


def read_header(source: ByteSource) -> tuple[StreamHeader, int]:
    """Consume the header at the start of `source`; returns it and the stream's identity."""
    cursor = Cursor(source)
    _take_version(cursor)
    fingerprint = cursor.take(FINGERPRINT_BYTES, "the header")
    model_rate_hz = _take_rate(cursor, None)
    fields = {
        "fingerprint": fingerprint,
        "model_rate_hz": model_rate_hz,
        "original_rate_hz": _take_rate(cursor, model_rate_hz),
        "hop": cursor.varint("the header's hop", 3),
        "channels": cursor.byte("the header"),
        "packet_frames": cursor.varint("the header's packet length", 3),
        "stages": _take_stages(cursor),
    }
    identity = cursor.integer(IDENTITY_BYTES, "the header")
    checked = cursor.taken
    if cursor.take(2, "the header") != _check(checked):
        raise BitstreamError("the header is damaged: its checksum does not fit")
    try:
        header = StreamHeader(**fields)
    except ValueError as error:
        raise BitstreamError(f"the header is absurd: {error}") from error
    if header.checked_bytes(identity) != checked:
        raise BitstreamError("the header is absurd: a field is not in its only valid form")
    source.skip(cursor.size)
    return header, identity


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {low} to {high}, not {value}")


def _check(fields: bytes) -> bytes:
    return (zlib.crc32(fields) & 0xFFFF).to_bytes(2, "little")


def _take_version(cursor: Cursor) -> None:
    magic = cursor.take(len(MAGIC), "the magic bytes")
    if magic != MAGIC:
        raise BitstreamError(f"this is not a .dvq stream: it starts with {magic!r}, not {MAGIC!r}")
    version = cursor.take(1, "the header")
    if version == VERSION:
        return
    if version in _DEVELOPMENT_VERSIONS:
        raise BitstreamError(
            "the stream was written before the format was final, by a development version of"
            " diveq-codec: encode the audio again"
        )
    raise BitstreamError(
        f"the stream has format version {version!r}, this reader knows {VERSION!r}:"
        " a newer diveq-codec reads it, or it is damaged"
    )


def _encode_rate(rate_hz: int) -> bytes:
    if rate_hz in _COMMON_RATES_HZ:
        return encode_varint(1 + _COMMON_RATES_HZ.index(rate_hz))
    return encode_varint(_RATE_OFFSET + rate_hz)


def _take_rate(cursor: Cursor, model_rate_hz: int | None) -> int:
    value = cursor.varint("the header's sample rate", 4)
    if value == _SAME_RATE and model_rate_hz is not None:
        return model_rate_hz
    if 1 <= value <= len(_COMMON_RATES_HZ):
        return _COMMON_RATES_HZ[value - 1]
    if value <= _RATE_OFFSET:
        raise BitstreamError(f"the header is absurd: {value} stands for no sample rate")
    return value - _RATE_OFFSET


def _encode_stages(stages: tuple[StageLayout, ...]) -> bytes:
    encoded = bytearray()
    for stage, equals in itertools.groupby(stages):
        encoded += bytes(
            [_MORE_RUNS | len(list(equals)), stage.position_bits << 4 | stage.codebook_bits - 1]
        )
    encoded[-2] &= ~_MORE_RUNS
    return bytes(encoded)


def _take_stages(cursor: Cursor) -> tuple[StageLayout, ...]:
    stages: list[StageLayout] = []
    more = True
    while more and len(stages) <= MAX_STAGES:
        run, bits = cursor.take(2, "the header's stages")
        more = bool(run & _MORE_RUNS)
        if bits & _RESERVED_STAGE_BIT:
            raise BitstreamError(
                "the header's stages have a reserved bit set: damaged, or for a newer diveq-codec"
            )
        if run & ~_MORE_RUNS == 0:
            raise BitstreamError("the header is absurd: a run of no stages")
        try:
            stage = StageLayout((bits & 0xF) + 1, bits >> 4)
        except ValueError as error:
            raise BitstreamError(f"the header is absurd: {error}") from error
        stages += [stage] * (run & ~_MORE_RUNS)
    return tuple(stages)
