"""Live packets: round trips, damage, golden packets, and the way from a `.dvq` stream and back."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from golden.make_live import formats, packets
from golden.make_v1 import SPACE_FILLING
from golden.make_v1 import tables as golden_tables
from hypothesis import given, settings
from hypothesis import strategies as st

from codec import BitstreamError
from codec.bitstream import (
    NONE,
    LiveFormat,
    LivePacket,
    LiveRecorder,
    StageLayout,
    StreamReader,
    StreamWriter,
    live_packets,
    recording_frames,
)

from . import live_twin
from .examples import (
    header,
    layouts,
    random_codes,
    random_tables,
    read_codes,
    seeds,
    twin_tables,
    varied,
    write,
)
from .live_examples import assert_equal_packets, live_format, live_packet

FOLDER = Path(__file__).parent.parent / "golden" / "live"
SHA256 = "322e519c34684fee148c3e4992ffe93d73916e3e811305bd4bde97fdd9e88bab"
SPEECH = (StageLayout(10),) * 14


def golden():
    lines = (FOLDER / "packets.txt").read_text().splitlines()
    return {name: bytes.fromhex(digits) for name, digits in (line.split(": ") for line in lines)}


def as_lists(packet):
    """A packet as the twin gives it."""
    copies = [None if copy is None else copy.tolist() for copy in packet.copies]
    return live_twin.Packet(packet.sequence, packet.codes.tolist(), copies)


def twin_decode(live, data):
    stages = [(stage.codebook_bits, stage.position_bits) for stage in live.stages]
    tables = None if live.tables is None else twin_tables(live.tables, live.stages)
    return live_twin.decode(data, b"finger", stages, live.channels, tables)


@settings(max_examples=60, deadline=None)
@given(seeds, layouts(max_codebook_bits=8), st.integers(1, 3), st.booleans())
def test_packets_come_back_and_the_second_decoder_reads_them_too(
    rng, stages, channels, with_tables
):
    live = live_format(
        stages, channels=channels, tables=random_tables(rng, stages) if with_tables else None
    )
    packet = live_packet(rng, live)
    data = live.pack(packet)
    assert_equal_packets(live.unpack(data), packet)
    assert twin_decode(live, data) == as_lists(packet)


@settings(max_examples=40, deadline=None)
@given(seeds, st.booleans())
def test_every_flip_of_one_or_two_neighbouring_bits_is_noticed(rng, with_tables):
    stages = (StageLayout(6, 2), StageLayout(5))
    live = live_format(stages, tables=random_tables(rng, stages) if with_tables else None)
    data = live.pack(live_packet(rng, live))
    number = int.from_bytes(data, "big")
    for bit in range(8 * len(data)):
        for pattern in (1, 3):
            flipped = (number ^ pattern << bit) % (1 << 8 * len(data))
            with pytest.raises(BitstreamError, match="check"):
                live.unpack(flipped.to_bytes(len(data), "big"))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_with_a_check_that_fits_are_a_packet_or_a_bitstream_error(content, with_tables):
    """What is a packet is the same packet when it is packed again, unless it was range-coded in
    another way.
    """
    tables = golden_tables() if with_tables else None
    live = live_format(SPACE_FILLING, tables=tables)
    data = content + bytes([live_twin.crc8(b"finger\1" + bytes([6, 2, 6, 2, 7, 0]) + content)])
    try:
        packet = live.unpack(data)
    except BitstreamError:
        return
    again = live.pack(packet)
    assert_equal_packets(live.unpack(again), packet)
    assert len(again) <= len(data)
    if not with_tables:
        assert again == data


@settings(max_examples=40, deadline=None)
@given(seeds, st.booleans())
def test_every_cut_is_noticed_or_by_its_check_as_good_as_whole(rng, with_tables):
    """A check of 8 bits lets one in 256 pass; what passes is no crash."""
    stages = (StageLayout(6, 2), StageLayout(5))
    live = live_format(stages, tables=random_tables(rng, stages) if with_tables else None)
    data = live.pack(live_packet(rng, live))
    passed = 0
    for size in range(len(data)):
        try:
            live.unpack(data[:size])
            passed += 1
        except BitstreamError:
            pass
    assert passed <= 2 + len(data) // 64


def test_another_model_or_number_of_channels_is_noticed():
    packet = LivePacket(sequence=3, codes=np.zeros((1, 14, 3), np.int32))
    data = live_format(SPEECH).pack(packet)
    for other in (
        live_format(SPEECH, fingerprint=b"finges"),
        live_format(SPEECH[:13]),
        live_format(SPEECH, channels=2),
        live_format((*SPEECH[:13], StageLayout(10, 1))),
    ):
        with pytest.raises(BitstreamError, match="damaged, or another model's"):
            other.unpack(data)


@pytest.mark.parametrize("depth", range(15))
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_three_bytes_around_the_indices(depth, frames):
    codes = np.full((1, 14, frames), NONE, np.int32)
    codes[:, :depth] = 1023
    data = live_format(SPEECH).pack(LivePacket(sequence=127, codes=codes))
    assert len(data) == 3 + -(-10 * depth * frames // 8)


def test_a_packet_of_silence_has_three_bytes():
    packet = LivePacket(sequence=1, codes=np.full((1, 14, 3), NONE, np.int32))
    assert packet.is_silent
    assert (
        live_format(SPEECH).pack(packet)
        == bytes.fromhex("0120") + live_format(SPEECH).pack(packet)[-1:]
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("00", "at least 3 bytes"),
        ("80 00 00", "0 copies where 1 to 15"),
        ("80 10 00", "16 copies where 1 to 15"),
        ("80 01", "cut off in its copies"),
        ("80 01 05 00", "cut off in a copy: 1 of 5 bytes"),
        ("80 01 00 20", "its last copy is empty"),
        ("00 2f", "15 of 14 stages"),
        ("00 3f", "15 of 14 stages"),
        ("00 30 ff", "cut off in its fields"),
        ("00 30 40", "fill up its fields are not zero"),
        ("00 30 90", "-1 of 14 stages"),
        ("00 20 00", "1 bytes of indices, which take 0"),
        ("00 01 00", "needs the entropy tables"),
        ("00 01 00 01", "not zero"),
    ],
)
def test_what_cannot_be_is_named(body, reason):
    content = bytes.fromhex(body)
    data = content + bytes([live_twin.crc8(b"finger\1" + bytes([10, 0]) * 14 + content)])
    with pytest.raises(BitstreamError, match=reason):
        live_format(SPEECH).unpack(data)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"codes": np.zeros((2, 14, 3), np.int32)},
            r"codes are integers \(channels, stages, frames\)",
        ),
        ({"codes": np.zeros((1, 14, 17), np.int32)}, "1 to 16 frames, not 17"),
        ({"codes": np.full((1, 14, 3), 1024, np.int32)}, "outside its stage's range"),
        (
            {"codes": np.array([[[0, 0, 0], [0, 0, NONE]] + [[NONE] * 3] * 12], np.int32)},
            "equally many stages",
        ),
        ({"copies": (None,)}, "the last copy is there"),
        ({"copies": (np.zeros((1, 14, 16), np.int32),)}, "copies of up to 255 bytes"),
    ],
)
def test_what_cannot_be_packed_is_named(change, reason):
    packet = dataclasses.replace(
        LivePacket(sequence=0, codes=np.zeros((1, 14, 3), np.int32)), **change
    )
    with pytest.raises(ValueError, match=reason):
        live_format(SPEECH).pack(packet)


def test_golden_packets_are_those_first_written():
    assert hashlib.sha256((FOLDER / "packets.txt").read_bytes()).hexdigest() == SHA256


@pytest.mark.parametrize("name", packets())
def test_golden_packets(name):
    live, packet, data = formats()[name.split()[0]], packets()[name], golden()[name]
    assert_equal_packets(live.unpack(data), packet)
    assert live.pack(packet) == data
    with np.load(FOLDER / "codes.npz") as codes:
        np.testing.assert_array_equal(live.unpack(data).codes, codes[name])
    stages = [(stage.codebook_bits, stage.position_bits) for stage in live.stages]
    tables = None if live.tables is None else twin_tables(live.tables, live.stages)
    assert live_twin.decode(data, b"golden", stages, live.channels, tables) == as_lists(packet)


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from([1, 2, 3, 6, 12]), st.integers(1, 80), st.booleans())
def test_a_stream_is_cut_into_packets_and_recorded_again(rng, frames, length, with_tables):
    stages = (StageLayout(6, 2), StageLayout(5))
    tables = random_tables(rng, stages) if with_tables else None
    head = header(stages, packet_frames=recording_frames(frames))
    codes = varied(rng, random_codes(rng, stages, 1, length), head.packet_frames)
    data = write(codes, head, tables)
    live = live_format(stages, tables=tables)
    datagrams = [
        live.pack(packet)
        for packet in live_packets(StreamReader(io.BytesIO(data)), live, frames=frames)
    ]
    file = io.BytesIO()
    writer = StreamWriter(file, head, tables)
    recorder = LiveRecorder(writer, frames=frames)
    for datagram in datagrams:
        assert recorder.write(live.unpack(datagram))
        assert not recorder.write(live.unpack(datagram))
    writer.close(samples=head.samples_in(writer.frames))
    assert file.getvalue() == data
    np.testing.assert_array_equal(read_codes(file.getvalue(), tables), codes)


@pytest.mark.parametrize("gap", [1, 63, 64, 111])
def test_a_recording_keeps_time_over_a_long_gap(gap):
    live = LiveFormat(fingerprint=b"finger", stages=(StageLayout(6),) * 3)
    codes = np.ones((1, 3, 3), int)
    writer = StreamWriter(io.BytesIO(), header(live.stages, packet_frames=48))
    recorder = LiveRecorder(writer, frames=3)
    assert recorder.write(LivePacket(sequence=100, codes=codes))
    assert recorder.write(LivePacket(sequence=(101 + gap) % 128, codes=codes))
    assert not recorder.write(LivePacket(sequence=(86 + gap) % 128, codes=codes))
    assert (recorder.lost, writer.frames) == (gap, 3 * (gap + 2))


def test_a_recording_fills_gaps_from_copies():
    rng = np.random.default_rng(4)
    live = LiveFormat(fingerprint=b"finger", stages=(StageLayout(6),) * 3)
    codes = [rng.integers(0, 64, (1, 3, 3)) for _ in range(6)]
    first = [np.where(np.arange(3)[:, None] < 1, packet, NONE) for packet in codes]
    file = io.BytesIO()
    writer = StreamWriter(file, header(live.stages, packet_frames=48))
    recorder = LiveRecorder(writer, frames=3)
    for number in (0, 3, 4, 5):
        copies = tuple(first[before] for before in range(number - 1, max(number - 3, -1), -1))
        packet = LivePacket(sequence=(126 + number) % 128, codes=codes[number], copies=copies)
        recorder.write(live.unpack(live.pack(packet)))
    writer.close(samples=18 * 320)
    assert (recorder.filled, recorder.lost) == (2, 0)
    recorded = read_codes(file.getvalue())
    expected = np.concatenate([codes[0], first[1], first[2], *codes[3:]], axis=2)
    np.testing.assert_array_equal(recorded, expected)
