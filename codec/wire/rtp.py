"""The headers of RTP (RFC 3550 section 5.1), and the BYE of its control protocol (section 6.6), as
bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ..errors import BitstreamError

PAYLOAD_TYPE = 97
HEADER_BYTES = 12
IP_UDP_BYTES = 28
NETWORK_BYTES = IP_UDP_BYTES + HEADER_BYTES
"""Of the headers of IPv4, UDP and RTP, which surround each packet."""

_VERSION = 2
_PADDING, _EXTENSION = 0x20, 0x10
_MARKER = 0x80
_FIXED = struct.Struct(">BBHII")
_WORD = 4
_CONTROL_TYPES = range(192, 224)  # of the second byte, RFC 5761 section 4: RTCP on the port of RTP
_BYE = 203


@dataclass(frozen=True, kw_only=True, slots=True)
class RtpPacket:
    """A datagram: `sequence` is modulo 2^16, `timestamp` and `source` (SSRC) modulo 2^32."""

    sequence: int
    timestamp: int
    source: int
    payload: bytes
    payload_type: int = PAYLOAD_TYPE
    is_marked: bool = False

    def to_bytes(self) -> bytes:
        """The datagram: a header without padding, extension or contributing sources, and the
        payload.
        """
        second = _MARKER * self.is_marked | self.payload_type
        header = _FIXED.pack(_VERSION << 6, second, self.sequence, self.timestamp, self.source)
        return header + self.payload

    @classmethod
    def from_bytes(cls, data: bytes) -> RtpPacket:
        """The packet in a datagram; a `BitstreamError` where it is none."""
        if len(data) < HEADER_BYTES:
            raise BitstreamError(
                f"an RTP packet has at least {HEADER_BYTES} bytes, not {len(data)}"
            )
        first, second, sequence, timestamp, source = _FIXED.unpack_from(data)
        if first >> 6 != _VERSION:
            raise BitstreamError(f"an RTP packet has version {_VERSION}, not {first >> 6}")
        return cls(
            sequence=sequence,
            timestamp=timestamp,
            source=source,
            payload=_payload(data, first),
            payload_type=second & ~_MARKER,
            is_marked=bool(second & _MARKER),
        )


def _payload(data: bytes, first: int) -> bytes:
    """What stands between the header, with all that it announces, and the padding."""
    start = HEADER_BYTES + _WORD * (first & 0xF)  # contributing sources
    if first & _EXTENSION:
        if len(data) < start + _WORD:
            raise BitstreamError("the RTP packet is cut off in its header extension")
        start += _WORD + _WORD * int.from_bytes(data[start + 2 : start + 4], "big")
    padding = data[-1] if first & _PADDING else 0
    end = len(data) - padding
    if start > end or (first & _PADDING and not padding):
        raise BitstreamError(
            "the RTP packet is absurd: its header and its padding are longer than itself"
        )
    return data[start:end]


def bye(source: int) -> bytes:
    """The control packet that ends the stream of a source: an empty receiver report, as must come
    first, and BYE.
    """
    report = struct.pack(">BBHI", _VERSION << 6, 201, 1, source)
    return report + struct.pack(">BBHI", _VERSION << 6 | 1, _BYE, 1, source)


def is_control(data: bytes) -> bool:
    """Whether a datagram is RTCP, which may come on the same port."""
    return len(data) >= 2 * _WORD and data[0] >> 6 == _VERSION and data[1] in _CONTROL_TYPES


def leaving(data: bytes) -> set[int]:
    """The sources to which the BYEs of a control datagram say goodbye."""
    sources, position = set(), 0
    while len(data) - position >= 2 * _WORD:
        first, kind, length = struct.unpack_from(">BBH", data, position)
        end = position + _WORD * (length + 1)
        if kind == _BYE and end <= len(data):
            count = min(first & 0x1F, length)
            sources.update(struct.unpack_from(f">{count}I", data, position + _WORD))
        position = end
    return sources
