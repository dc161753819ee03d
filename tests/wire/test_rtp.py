"""RTP's bytes, from RFC 3550, and what is no RTP."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec import BitstreamError
from codec.wire.rtp import RtpPacket, bye, is_control, leaving

PACKET = RtpPacket(sequence=0x1234, timestamp=0x89ABCDEF, source=0xDEADBEEF, payload=b"speech")
BYTES = bytes.fromhex("80 61 1234 89abcdef deadbeef") + b"speech"


def test_a_packet_is_the_twelve_bytes_of_rfc_3550_and_its_payload():
    assert PACKET.to_bytes() == BYTES
    assert RtpPacket.from_bytes(BYTES) == PACKET
    marked = bytes([0x80, 0xE1]) + BYTES[2:]
    assert RtpPacket.from_bytes(marked).is_marked


def test_sources_extension_and_padding_are_passed_over():
    header = bytes([0x80 | 0x20 | 0x10 | 2]) + BYTES[1:12]
    data = header + bytes(8) + bytes.fromhex("bede 0001 00000000") + b"speech" + bytes([0, 0, 3])
    assert RtpPacket.from_bytes(data) == PACKET


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (BYTES[:11], "at least 12 bytes, not 11"),
        (b"\x40" + BYTES[1:], "version 2, not 1"),
        (b"\x8f" + BYTES[1:], "longer than itself"),
        (b"\x90" + BYTES[1:14], "cut off in its header extension"),
        (b"\x90" + BYTES[1:], "longer than itself"),
        (b"\xa0" + BYTES[1:] + b"\x00", "longer than itself"),
        (b"\xa0" + BYTES[1:] + b"\xff", "longer than itself"),
    ],
)
def test_what_is_no_packet_is_named(data, reason):
    with pytest.raises(BitstreamError, match=reason):
        RtpPacket.from_bytes(data)


@given(st.binary(max_size=40))
def test_any_datagram_is_a_packet_or_an_error(data):
    assert isinstance(leaving(data), set)
    with contextlib.suppress(BitstreamError):
        RtpPacket.from_bytes(data)


def test_goodbyes():
    assert bye(7) == bytes.fromhex("80c90001 00000007 81cb0001 00000007")
    assert is_control(bye(7))
    assert not is_control(BYTES)
    assert leaving(bye(7)) == {7}
    assert leaving(bye(7)[:-1]) == set()
    assert leaving(bytes.fromhex("82cb0002 00000001 00000002")) == {1, 2}
