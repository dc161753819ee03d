"""The header byte for byte, and its own error for every way to be wrong."""

from __future__ import annotations

import io
import zlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.audio import audio_reader
from codec.bitstream import StageLayout, StreamHeader, layout
from codec.errors import BitstreamError
from codec.layouts import config

from .examples import header, layouts


def sealed(fields):
    """Header fields with the check that fits them."""
    return fields + (zlib.crc32(fields) & 0xFFFF).to_bytes(2, "little")


FIELDS = [
    b"DVQ",
    b"1",
    b"finger",
    b"\x04",
    b"\x09",
    b"\xc0\x02",
    b"\x02",
    b"\x32",
    b"\x8c\x09\x04\x25",
    b"\1\2\3\4",
]
(
    MAGIC,
    VERSION,
    FINGERPRINT,
    MODEL_RATE,
    ORIGINAL_RATE,
    HOP,
    CHANNELS,
    PACKET_FRAMES,
    STAGES,
    IDENTITY,
) = range(len(FIELDS))


def with_field(number, value):
    return sealed(b"".join([*FIELDS[:number], value, *FIELDS[number + 1 :]]))


def test_bytes_are_those_of_the_specification():
    head = StreamHeader(
        fingerprint=b"finger",
        model_rate_hz=16_000,
        original_rate_hz=48_000,
        hop=320,
        channels=2,
        packet_frames=50,
        stages=(StageLayout(10),) * 12 + (StageLayout(6, 2),) * 4,
    )
    assert head.to_bytes(0x04030201) == sealed(b"".join(FIELDS))
    assert StreamHeader.from_bytes(head.to_bytes(0x04030201)) == head
    assert len(head.to_bytes()) == 26


def test_read_takes_the_header_and_no_more():
    file = io.BytesIO(sealed(b"".join(FIELDS)) + b"more")
    head = StreamHeader.read(file)
    assert head.channels == 2
    assert file.read() == b"more"


@settings(max_examples=200, deadline=None)
@given(
    stages=layouts(max_stages=60),
    model_rate=st.integers(1000, 768_000),
    original_rate=st.integers(1000, 768_000) | st.sampled_from([8000, 44_100, 192_000]),
    hop=st.integers(1, 65_535),
    channels=st.integers(1, 255),
    packet_frames=st.integers(1, 65_535),
    fingerprint=st.binary(min_size=6, max_size=6),
    identity=st.integers(0, 2**32 - 1),
)
def test_any_header_round_trips(
    stages, model_rate, original_rate, hop, channels, packet_frames, fingerprint, identity
):
    packet_frames = min(packet_frames, 2**20 // (channels * len(stages)))
    head = StreamHeader(
        fingerprint=fingerprint,
        model_rate_hz=model_rate,
        original_rate_hz=original_rate,
        hop=hop,
        channels=channels,
        packet_frames=packet_frames,
        stages=stages,
    )
    assert StreamHeader.from_bytes(head.to_bytes(identity)) == head


def test_derived_facts():
    head = header(
        [StageLayout(10)] * 4 + [StageLayout(6, 2)], hop=512, model_rate_hz=44_100, channels=2
    )
    assert head.frame_rate_hz == Fraction(44_100, 512)
    assert head.bits_per_frame == 2 * 48
    assert head.bits_per_frame * head.frame_rate_hz == Fraction(96 * 44_100, 512)
    assert head.seconds(441) == 5.12
    head = header(original_rate_hz=44_100)
    assert [head.model_samples(n) for n in (0, 1, 2, 3, 441, 442)] == [0, 1, 1, 2, 160, 161]
    assert [head.frames_for(n) for n in (0, 1, 882, 883)] == [0, 1, 1, 2]
    assert [head.samples_in(n) for n in (0, 1, 2)] == [0, 882, 1764]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cut off in the magic bytes: 0 of 3 bytes"),
        (b"DV", "cut off in the magic bytes: 2 of 3 bytes"),
        (b"RIFF....WAVE", "not a .dvq stream: it starts with b'RIF'"),
        (b"DVQ", "cut off in the header"),
        (
            with_field(VERSION, b"2"),
            "format version b'2', this reader knows b'1': a newer diveq-codec",
        ),
        (
            b"DVQ\x10",
            "written before the format was final, by a development version of diveq-codec: encode",
        ),
        (
            b"DVQ\x11",
            "written before the format was final, by a development version of diveq-codec: encode",
        ),
        (with_field(MODEL_RATE, b"\x00"), "0 stands for no sample rate"),
        (with_field(MODEL_RATE, b"\x0e"), "14 stands for no sample rate"),
        (with_field(ORIGINAL_RATE, b"\x10"), "16 stands for no sample rate"),
        (with_field(ORIGINAL_RATE, b"\xff\xff\xff\x7f"), "original_rate_hz is 1000 to 768000"),
        (with_field(ORIGINAL_RATE, b"\xf7\x07"), "original_rate_hz is 1000 to 768000, not 999"),
        (
            with_field(ORIGINAL_RATE, b"\x80\x80\x80\x80\x01"),
            "sample rate is absurd: longer than 4 bytes",
        ),
        (with_field(ORIGINAL_RATE, b"\x84\x00"), "sample rate is not in its shortest form"),
        (with_field(ORIGINAL_RATE, b"\x04"), "a field is not in its only valid form"),
        (with_field(ORIGINAL_RATE, b"\x90\xf7\x02"), "a field is not in its only valid form"),
        (with_field(HOP, b"\x00"), "hop is 1 to 65535, not 0"),
        (with_field(HOP, b"\x80\x80\x04"), "hop is 1 to 65535, not 65536"),
        (with_field(CHANNELS, b"\x00"), "channels is 1 to 255, not 0"),
        (with_field(PACKET_FRAMES, b"\x00"), "packet_frames is 1 to 65535, not 0"),
        (
            with_field(PACKET_FRAMES, b"\xff\xff\xff\x01"),
            "packet length is absurd: longer than 3 bytes",
        ),
        (with_field(STAGES, b"\x00\x09"), "a run of no stages"),
        (with_field(STAGES, b"\x01\x89"), "reserved bit set"),
        (with_field(STAGES, b"\x01\x5f"), "an index has at most 20 bits, not 21"),
        (with_field(STAGES, b"\x81\x09\x7f\x19"), "number of stages is 1 to 127, not 128"),
        (with_field(STAGES, b"\x81\x09\x01\x09"), "a field is not in its only valid form"),
        (sealed(b"".join(FIELDS))[:-1], "cut off in the header"),
        (b"".join(FIELDS) + b"\0\0", "the header is damaged: its checksum does not fit"),
    ],
)
def test_each_fault_has_its_error(data, message):
    with pytest.raises(BitstreamError, match=message):
        StreamHeader.from_bytes(data)


@settings(max_examples=500, deadline=None)
@given(fields=st.binary(min_size=8, max_size=24))
def test_any_sealed_bytes_are_a_header_or_an_error(fields):
    data = sealed(b"DVQ1finger" + fields)
    try:
        head = StreamHeader.from_bytes(data)
    except BitstreamError:
        return
    assert data.startswith(head.checked_bytes(0)[:-4])


def test_packets_of_too_many_indices_are_refused():
    """Such a packet could make a reader allocate without end from a few bytes of range coding."""
    fields = [*FIELDS[:CHANNELS], b"\xff", b"\xff\xff\x03", b"\x7f\x0f", bytes(4)]
    with pytest.raises(BitstreamError, match="indices in a packet is 1 to 1048576, not 2122350975"):
        StreamHeader.from_bytes(sealed(b"".join(fields)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fingerprint": b"five."}, "6 bytes, not 5"),
        ({"model_rate_hz": 0}, "model_rate_hz is 1000"),
        ({"original_rate_hz": 768_001}, "original_rate_hz is 1000"),
        ({"channels": 256}, "channels is 1 to 255, not 256"),
        ({"stages": ()}, "number of stages is 1 to 127, not 0"),
    ],
)
def test_wrong_arguments(changes, message):
    with pytest.raises(ValueError, match=message):
        header(**changes)


def test_numpy_integers_do_not_overflow():
    head = header(
        model_rate_hz=np.int32(16_000), original_rate_hz=np.int32(48_000), hop=np.uint8(160)
    )
    assert head.frames_for(np.int64(2**62)) == -(-(2**62) // 480)
    assert head.samples_in(np.int32(2**31 - 1)) == (2**31 - 1) * 480
    assert StreamHeader.from_bytes(head.to_bytes()) == head


@pytest.mark.parametrize(("bits", "positions"), [(0, 0), (17, 0), (1, 8), (1, -1), (16, 5)])
def test_wrong_stage_layouts(bits, positions):
    with pytest.raises(ValueError, match="bits"):
        StageLayout(bits, positions)


def test_what_can_be_made_can_be_written():
    """Rooms that do not import each other name the same limits."""
    assert config.MAX_STAGES == layout.MAX_STAGES
    assert config.MAX_BITS == layout.MAX_CODEBOOK_BITS
    assert audio_reader.MAX_CHANNELS == layout.MAX_CHANNELS
