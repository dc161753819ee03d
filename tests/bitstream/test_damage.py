"""Strict reading: every truncation and every flipped bit is an error, and hostile fields cost no
memory.
"""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream import EntropyTables, StageLayout, StageTable, StreamReader, read_info, verify
from codec.errors import BitstreamError

from .examples import (
    content,
    forged,
    header,
    packet_spans,
    random_codes,
    random_tables,
    read,
    read_codes,
    skewed_codes,
    skewed_tables,
    varied,
    write,
)
from .range_twin import varint

STAGES = (StageLayout(4, 1), StageLayout(5), StageLayout(5))


def small_streams():
    rng = np.random.default_rng(5)
    head = header(STAGES, original_rate_hz=44_100)
    tables = EntropyTables(
        (
            StageTable("previous_frame", 2, 1 + 60_000 // (1 + np.arange(80)).reshape(5, 16) ** 2),
            *skewed_tables(STAGES[1:]).stages,
        )
    )
    yield "empty", write(np.zeros((1, 3, 0), int), head), None
    yield "fixed", write(random_codes(rng, STAGES, 1, 13), head, samples=13 * 882 - 100), None
    yield (
        "range",
        write(
            np.minimum(skewed_codes(rng, STAGES, 1, 43), 3),
            header(STAGES, packet_frames=20),
            tables,
        ),
        tables,
    )
    stereo = header(STAGES[1:], channels=2, packet_frames=4)
    yield "stereo", write(random_codes(rng, STAGES[1:], 2, 8), stereo), None
    head = header(STAGES, packet_frames=20)
    yield (
        "varied",
        write(np.minimum(varied(rng, skewed_codes(rng, STAGES, 1, 27), 20), 3), head, tables),
        tables,
    )


STREAMS = {name: (data, tables) for name, data, tables in small_streams()}


@pytest.mark.parametrize("name", STREAMS)
def test_every_truncation_is_an_error(name):
    data, tables = STREAMS[name]
    for length in range(len(data)):
        with pytest.raises(BitstreamError, match=r"cut off|end marker is missing"):
            read(data[:length], tables)


@pytest.mark.parametrize("name", STREAMS)
def test_every_flipped_bit_is_an_error(name):
    data, tables = STREAMS[name]
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError):
            read(bytes(flipped), tables)


@pytest.mark.parametrize("name", STREAMS)
def test_every_changed_byte_is_an_error(name):
    data, tables = STREAMS[name]
    rng = np.random.default_rng(0)
    for place in range(len(data)):
        for wrong in {0, 255, 128, int(rng.integers(256))} - {data[place]}:
            with pytest.raises(BitstreamError):
                read(data[:place] + bytes([wrong]) + data[place + 1 :], tables)


@pytest.mark.parametrize("name", STREAMS)
def test_every_missing_or_doubled_byte_is_an_error(name):
    data, tables = STREAMS[name]
    for place in range(len(data)):
        with pytest.raises(BitstreamError):
            read(data[:place] + data[place + 1 :], tables)
        with pytest.raises(BitstreamError):
            read(data[:place] + data[place : place + 1] + data[place:], tables)


def test_bytes_after_the_end_marker():
    data, _ = STREAMS["fixed"]
    for tail in (b"\0", b"x" * 100, data):
        with pytest.raises(
            BitstreamError, match=f"byte {len(data)}: there are bytes after the end marker"
        ):
            read(data + tail)


def spans(name="fixed"):
    data, _ = STREAMS[name]
    return data, packet_spans(data)


def test_removed_repeated_and_swapped_packets():
    data, [(a, b), (_, c), (_, d)] = spans()
    with pytest.raises(
        BitstreamError,
        match=r"packet 1 at 0.10 s, byte \d+: packet 2 stands here: packets are missing",
    ):
        read(data[:b] + data[c:])
    with pytest.raises(
        BitstreamError, match=r"packet 1 at .*: packet 0 stands here: packets are missing or out of"
    ):
        read(data[:b] + data[a:])
    with pytest.raises(BitstreamError, match=r"packet 0 at .*: packet 1 stands here"):
        read(data[:a] + data[b:c] + data[a:b] + data[c:])
    with pytest.raises(
        BitstreamError, match=r"packet 2 at .*: the end marker after 3 packets stands here"
    ):
        read(data[:c] + data[d:])


def test_packets_of_another_stream():
    """The same codes under another header, be it only another fingerprint, are foreign."""
    data, [(a, b), *_] = spans()
    other = write(read_codes(data), header(STAGES, original_rate_hz=44_100, fingerprint=b"Finger"))
    with pytest.raises(
        BitstreamError,
        match=r"packet 0 at 0\.00 s, byte 26: the checksum does not fit: the packet is damaged",
    ):
        read(data[:a] + other[a:b] + data[b:])


FIXED, RANGE, SHORT, VARIED = 0, 1, 2, 4
HEAD = header((StageLayout(3, 1), StageLayout(4)), packet_frames=3)  # 3 bytes a packet
GOOD = content(3 << 3 | FIXED, bytes(3))
SHORT_ONE = content(2 << 3 | SHORT, b"\x01\x00")


@pytest.mark.parametrize(
    ("packet", "message"),
    [
        (content(4 << 3, bytes(4)), "length is absurd: 4 bytes where 3 are possible"),
        (content(2 << 3, bytes(2)), "length is absurd: 2 bytes where 3 are possible"),
        (content(1 << 3 | SHORT, b"\1"), "length is absurd: 1 bytes where 2 to 6"),
        (content(7 << 3 | SHORT, b"\1" * 7), "length is absurd: 7 bytes where 2 to 6"),
        (content(41 << 3 | RANGE, bytes(41)), "length is absurd: 41 bytes where 0 to 40"),
        (b"\xff\xff\xff\xff\x01", "head of a packet is absurd: longer than 4 bytes"),
        (b"\x80\x00", "head of a packet is not in its shortest form"),
        (content(3 << 3 | SHORT, b"\0\0\0"), "frame count is absurd: a short packet with 0"),
        (content(4 << 3 | SHORT, b"\3\0\0\0"), "frame count is absurd: a short packet with 3"),
        (content(3 << 3 | SHORT, b"\x81\0\0"), "frame count is not in its shortest form"),
        (
            content(3 << 3 | SHORT, b"\1\0\0"),
            "length is absurd: 2 bytes for 1 frames, which take 1",
        ),
        (
            content(3 << 3, b"\xf0\0\0"),
            r"index 15 \(channel 0, stage 0, frame 0\) is outside 0 to 14",
        ),
        (content(3 << 3 | RANGE, b"\5\0\0"), "has 2 bytes, but a stage ends at byte 5"),
        (content(2 << 3 | RANGE, b"\0\0"), "ends where no encoder ends it"),
        (content(2 << 3 | RANGE, b"\1\1"), "ends where no encoder ends it"),
    ],
)
def test_well_sealed_nonsense(packet, message):
    """A checksum that fits is no excuse."""
    with pytest.raises(BitstreamError, match=message):
        read(forged(HEAD, packet), skewed_tables(HEAD.stages))


@pytest.mark.parametrize(
    ("packets", "missing", "message"),
    [
        ([SHORT_ONE, GOOD], b"\0", "the packet before it is short, but only the last"),
        ([GOOD], varint(3 * 320 + 1), "the end marker is absurd: 1 packets for -1 samples"),
        ([GOOD], varint(321), "end marker is for 2 frames, but the packets hold 3"),
        ([SHORT_ONE], b"\0", "end marker is for 3 frames, but the packets hold 1"),
        ([GOOD], varint(2000), "end marker is absurd: 1 packets for -1040 samples"),
        ([GOOD], varint(960), "end marker is absurd: 1 packets for 0 samples"),
        ([GOOD], b"\x80" * 9 + b"\1", "end marker is absurd: longer than 9 bytes"),
        ([], b"\1", "end marker is absurd: 0 packets for -1 samples"),
    ],
)
def test_well_sealed_nonsense_in_the_end_marker(packets, missing, message):
    with pytest.raises(BitstreamError, match=message):
        read(forged(HEAD, *packets, missing=missing))


@settings(max_examples=300, deadline=None)
@given(units=st.lists(st.tuples(st.integers(0, 60 << 3), st.binary(max_size=12)), max_size=4))
def test_sealed_packets_of_anything(units):
    """Whatever is in a packet, reading ends with an error of ours or with codes in range."""
    contents = [content(len(body) << 3 | flags % 8, body) for flags, body in units]
    try:
        read_packets, _ = read(forged(HEAD, *contents), skewed_tables(HEAD.stages))
    except BitstreamError:
        return
    assert all(packet.codes.min() >= -1 and packet.codes.max() <= 15 for packet in read_packets)


def test_padding_must_be_zero():
    head = header((StageLayout(3),), packet_frames=3)
    data = forged(head, content(2 << 3, b"\0\1"))
    with pytest.raises(BitstreamError, match=r"packet 0 .* fill up its last byte are not zero"):
        read(data)
    assert "not zero" in verify(io.BytesIO(data))[0].reason


def test_range_coding_needs_tables():
    data, tables = STREAMS["range"]
    assert [packet.coding for packet in read(data, tables)[0]] == ["range", "range", "fixed"]
    for recover in (False, True):
        with pytest.raises(
            BitstreamError, match=r"packet 0 .*range-coded: decoding needs the entropy tables"
        ):
            read(data, recover=recover)


class RecordingFile(io.BytesIO):
    """Remembers how much it was asked for."""

    def __init__(self, data):
        super().__init__(data)
        self.largest_read = 0

    def read(self, size=-1, /):
        asked = 2**63 if size is None or size < 0 else size
        self.largest_read = max(self.largest_read, asked)
        return super().read(size)


LARGE = header((StageLayout(16, 4),) * 16, packet_frames=65_535)
WIDE = header((StageLayout(16, 4),) * 2, channels=255, packet_frames=2056)


@pytest.mark.parametrize(
    "unit",
    [
        varint(LARGE.packet_frames * 16 * 20 // 8 << 3),
        varint(4 * LARGE.packet_frames * 16 << 3 | RANGE),
        varint(4 * LARGE.packet_frames * 16 << 3 | RANGE | SHORT | VARIED),
        varint(4 * LARGE.packet_frames * 16 << 3 | VARIED),
        varint(2**27 << 3),
        b"\xff" * 20,
    ],
)
@pytest.mark.parametrize("recover", [False, True])
@pytest.mark.parametrize("head", [LARGE, WIDE], ids=["long", "wide"])
def test_promised_bytes_are_not_allocated(head, unit, recover):
    """The largest header there is, then a length of megabytes without the bytes."""
    file = RecordingFile(head.to_bytes() + unit + bytes(1000))
    read(head.to_bytes() + bytes(1000), recover=True)  # makes the tables of the search
    reader = StreamReader(file)
    tracemalloc.start()
    try:
        for packet in reader.raw_packets(recover=recover):
            assert packet.payload is None
    except BitstreamError:
        assert not recover
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert file.largest_read <= 1 << 16
    assert peak < 1 << 18


def test_a_few_bytes_make_no_more_than_a_packet():
    """Range coding can promise many indices with few bytes; the header's limit on them holds the
    memory down.
    """
    head = header((StageLayout(1),) * 16, packet_frames=65_535)
    tables = skewed_tables(head.stages)
    data = write(np.zeros((1, 16, 65_535), np.int8), head, tables)
    assert len(data) < 200
    tracemalloc.start()
    assert not read_codes(data, tables).any()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 2**20


def test_memory_does_not_grow_with_the_stream():
    head = header((StageLayout(10),) * 12, packet_frames=50)
    data = write(random_codes(np.random.default_rng(0), head.stages, 1, 50 * 400), head)
    reader = StreamReader(io.BytesIO(data))
    tracemalloc.start()
    for _ in reader.packets():
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(data) / 2


@pytest.mark.parametrize("name", STREAMS)
def test_info_and_verify_never_raise_on_damage_behind_the_header(name):
    data, tables = STREAMS[name]
    size = StreamReader(io.BytesIO(data)).offset
    for bit in range(8 * size, 8 * len(data), 3):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert verify(io.BytesIO(bytes(flipped)), tables)
        assert read_info(io.BytesIO(bytes(flipped))).holes


def test_tables_with_deep_contexts_survive_damage():
    """A flip that a checksum misses would still decode to indices in range; here the checksum
    catches it first.
    """
    rng = np.random.default_rng(2)
    tables = random_tables(rng, STAGES)
    data = write(skewed_codes(rng, STAGES, 1, 40), header(STAGES, packet_frames=40), tables)
    for bit in range(8 * 25, 8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError):
            read(bytes(flipped), tables)
