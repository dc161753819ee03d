"""Packets whose frames have fewer stages than the stream: what is written is read, cut, checked and
described.
"""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream import (
    NONE,
    EntropyTables,
    StageLayout,
    StageTable,
    StreamWriter,
    depth_bits,
    read_info,
    verify,
)
from codec.bitstream.stage_counts import DepthField, most_depth_bytes, pack_depths

from . import format_twin, range_twin
from .examples import (
    cut_to,
    header,
    layouts,
    likely_codes,
    packet_spans,
    random_codes,
    random_tables,
    read,
    read_codes,
    read_raw,
    seeds,
    skewed_tables,
    twin_tables,
    varied,
    write,
)

SHORT, VARIED = 2, 4
PACKET_FRAMES = 20


@st.composite
def varied_streams(draw):
    """The bytes of a stream of varied packets and full ones, its codes, its header and its tables,
    if any.
    """
    rng, stages = draw(seeds), draw(layouts(max_codebook_bits=6))
    head = header(stages, channels=draw(st.integers(1, 3)), packet_frames=PACKET_FRAMES)
    tables = random_tables(rng, stages)
    codes = varied(
        rng,
        likely_codes(rng, stages, head.channels, draw(st.integers(0, 50)), tables),
        PACKET_FRAMES,
    )
    if draw(st.booleans()):
        tables = None
    return write(codes, head, tables), codes, head, tables


def packets_of(codes):
    return [
        codes[:, :, start : start + PACKET_FRAMES]
        for start in range(0, codes.shape[2], PACKET_FRAMES)
    ]


@settings(max_examples=80, deadline=None)
@given(stream=varied_streams(), rng=seeds)
def test_read_is_the_inverse_of_write(stream, rng):
    """Also where codes are written in pieces that know nothing of groups."""
    data, codes, head, tables = stream
    packets, reader = read(data, tables)
    assert reader.header == head
    np.testing.assert_array_equal(read_codes(data, tables), codes)
    assert [packet.frames for packet in packets] == [
        packet.shape[2] for packet in packets_of(codes)
    ]
    file = io.BytesIO()
    writer = StreamWriter(file, head, tables)
    for piece in np.split(codes, np.sort(rng.integers(0, codes.shape[2] + 1, 4)), axis=2):
        writer.write(piece)
    writer.close(samples=head.samples_in(codes.shape[2]))
    assert file.getvalue() == data


@settings(max_examples=80, deadline=None)
@given(stream=varied_streams())
def test_the_second_decoder_and_the_twin_agree(stream):
    data, codes, head, tables = stream
    twin = tables and twin_tables(tables, head.stages)
    assert format_twin.decode(data, twin).codes == codes.tolist()
    position_bits = [stage.position_bits for stage in head.stages]
    for packet, expected in zip(read_raw(data)[0], packets_of(codes), strict=True):
        np.testing.assert_array_equal(packet.depths, (expected != NONE).sum(1))
        assert bool(data[packet.offset] & VARIED) == (expected == NONE).any()
        if packet.coding == "range":
            assert packet.payload == range_twin.encode(expected.tolist(), position_bits, twin)


@settings(max_examples=30, deadline=None)
@given(stream=varied_streams())
def test_every_cut(stream):
    """It needs no tables, keeps what the frames have of the first stages, and says so in no other
    way.
    """
    data, codes, head, tables = stream
    originals, _ = read_raw(data)
    for keep in range(1, len(head.stages) + 1):
        cut = cut_to(data, keep)
        kept = codes[:, :keep]
        np.testing.assert_array_equal(read_codes(cut, tables), kept)
        assert not verify(io.BytesIO(cut))
        assert not verify(io.BytesIO(cut), tables)
        packets, reader = read_raw(cut)
        assert reader.samples == head.samples_in(codes.shape[2])
        for packet, original in zip(packets, originals, strict=True):
            assert packet.coding == original.coding
            if packet.coding == "range":
                assert packet.payload == cut_as_specified(
                    original.payload, original.depths.max(), keep
                )
        is_varied = [bool(cut[packet.offset] & VARIED) for packet in packets]
        assert is_varied == [bool((packet == NONE).any()) for packet in packets_of(kept)]
        if tables is None:
            cut_head = header(
                head.stages[:keep], channels=head.channels, packet_frames=PACKET_FRAMES
            )
            assert cut == write(kept, cut_head)
        for fewer in range(1, keep + 1):
            assert cut_to(cut, fewer) == cut_to(data, fewer)
    assert cut_to(data, len(head.stages)) == data


def cut_as_specified(payload, greatest_depth, keep):
    """A range-coded payload of the first stages; its ends are varints."""
    source = format_twin.Bytes(payload)
    ends = [source.varint() for _ in range(greatest_depth - 1)]
    if greatest_depth <= keep:
        return payload
    stream = payload[source.position :]
    return b"".join(map(range_twin.varint, ends[: keep - 1])) + stream[: sum(ends[:keep])]


@settings(max_examples=40, deadline=None)
@given(stream=varied_streams())
def test_verify_and_info_find_no_fault(stream):
    data, codes, head, tables = stream
    assert verify(io.BytesIO(data)) == ()
    assert verify(io.BytesIO(data), tables) == ()
    info = read_info(io.BytesIO(data))
    assert (info.header, info.frames, info.packets) == (
        head,
        codes.shape[2],
        len(packets_of(codes)),
    )
    assert (info.total_bytes, info.holes) == (len(data), ())
    assert info.samples == head.samples_in(codes.shape[2])


@settings(max_examples=60, deadline=None)
@given(rng=seeds, stages=st.integers(1, 127), channels=st.integers(1, 3), frames=st.integers(1, 40))
def test_depths_come_back(rng, stages, channels, frames):
    """Those of several packets, with other bytes before and behind."""
    of_packets, bodies = [], []
    for number in range(3):
        groups = rng.integers(0, stages + 1, (channels, -(-frames // 3)))
        groups.flat[0] = (groups.flat[-1] + 1) % (stages + 1)  # not all alike
        depths = groups.repeat(3, axis=1)[:, :frames]
        if set(depths.ravel()) in ({0}, {stages}):
            return
        of_packets.append(depths)
        bodies.append(pack_depths(depths, stages))
        bits = sum(depth_bits(channel, stages) for channel in groups)
        assert len(bodies[number]) == -(-bits // 8) <= most_depth_bytes(stages, channels, frames)
    field = DepthField(stages, channels, frames)
    found, sizes, fault = unpack(field, [body + b"rest" for body in bodies])
    assert (sizes.tolist(), fault) == ([len(body) for body in bodies], None)
    counts = field.frames_of_depth(found)
    bits_of_depth = np.arange(stages + 1) * 7
    sums = field.sum_over_frames(found, bits_of_depth)
    for number, depths in enumerate(of_packets):
        np.testing.assert_array_equal(field.of_frames(found[number]), depths)
        expected = np.bincount(depths.ravel(), minlength=stages + 1)
        np.testing.assert_array_equal(counts[number], expected)
        assert sums[number] == 7 * depths.sum()


def unpack(field, bodies):
    """Unpack the depths of bodies that stand side by side."""
    stops = 2 + np.cumsum([len(body) for body in bodies])
    data = np.frombuffer(b"ab" + b"".join(bodies), np.uint8)
    return field.unpack(data, stops - [len(body) for body in bodies], stops)


@settings(max_examples=200, deadline=None)
@given(
    bodies=st.lists(st.binary(max_size=12), min_size=1, max_size=5),
    channels=st.integers(1, 2),
    frames=st.integers(1, 30),
)
def test_depths_are_unpacked_side_by_side_as_alone(bodies, channels, frames):
    """Up to the first that is at fault, and with its fault."""
    field = DepthField(7, channels, frames)
    found, sizes, fault = unpack(field, bodies)
    for number, body in enumerate(bodies):
        alone, size, expected = unpack(field, [body])
        if number == len(found):
            assert fault == expected
            assert fault
            return
        np.testing.assert_array_equal(found[number], alone[0])
        assert sizes[number] == size[0]
    assert fault is None


def test_silence_costs_five_bytes_a_packet():
    codes = np.full((2, 4, 45), NONE)
    data = write(codes, header((StageLayout(10),) * 4, channels=2, packet_frames=20))
    assert [stop - start for start, stop in packet_spans(data)] == [5, 5, 6]
    np.testing.assert_array_equal(read_codes(data), codes)
    assert verify(io.BytesIO(data)) == ()
    info = read_info(io.BytesIO(data))
    assert info.frames_of_depth == (90, 0, 0, 0, 0)
    assert info.payload_bytes == 0
    assert info.channel_bitrate() == 0


def test_bytes_are_those_of_the_specification():
    """Depths 4, 1, 2 of four stages from a first guess of 2: 110, 1110, 10, up, down, up; then 34
    bits of indices.
    """
    head = header((StageLayout(2),) * 4, packet_frames=9)
    codes = np.array(
        [
            [
                [0, 1, 2, 3, 0, 1, 2],
                [3, 3, 3, NONE, NONE, NONE, 3],
                [1, 1, 1, NONE, NONE, NONE, NONE],
                [2, 2, 2, NONE, NONE, NONE, NONE],
            ]
        ]
    )
    data = write(codes, head)
    ((start, stop),) = packet_spans(data)
    assert data[start : stop - 4] == bytes([8 << 3 | VARIED | SHORT, 7]) + bytes.fromhex(
        "dd50 1b1bfd5a80"
    )


@pytest.mark.parametrize("stages", [2, 3, 8, 127])
@pytest.mark.parametrize("channels", [1, 3])
def test_depths_that_change_most(stages, channels):
    """The longest depths there are are still within the limit on their bytes."""
    layout, frames = (StageLayout(1),) * stages, 60
    codes = np.zeros((channels, stages, frames), np.int8)
    codes[:, 1:, np.arange(frames) // 3 % 2 == 0] = NONE
    for tables in (None, skewed_tables(layout)):
        head = header(layout, channels=channels, packet_frames=frames)
        np.testing.assert_array_equal(read_codes(write(codes, head, tables), tables), codes)


@pytest.mark.parametrize("source", ["none", "previous_frame", "previous_stage"])
def test_frames_that_come_back_have_a_context(source):
    """The second stage is missing in every second group; each context has one codeword that is
    likely.
    """
    stages = (StageLayout(3, 1), StageLayout(3, 2))
    rows = {"none": 1, "previous_frame": 9, "previous_stage": 8}[source]
    likely = (5 * np.arange(rows) + 3) % 8
    counts = 1 + 10_000 * (np.arange(8) == likely[:, None])
    table = StageTable(source, 0 if source == "none" else 3, counts)
    tables = EntropyTables((StageTable("none", 0, np.ones((1, 8), np.int64)), table))
    frames = 60
    codes = random_codes(np.random.default_rng(3), stages, 2, frames)
    there = np.arange(frames) // 3 % 2 == 1
    for channel in codes:
        before = 8  # the extra row
        for frame in range(frames):
            row = {"none": 0, "previous_frame": before, "previous_stage": channel[0, frame] >> 1}[
                source
            ]
            before = likely[row] if there[frame] else 8
            channel[1, frame] = before << 2 if there[frame] else NONE
    head = header(stages, channels=2, packet_frames=frames)
    data = write(codes, head, tables)
    (packet,) = read(data, tables)[0]
    assert packet.coding == "range"
    np.testing.assert_array_equal(packet.codes, codes)
    only_first = write(codes[:, :1], header(stages[:1], channels=2, packet_frames=frames))
    positions = np.count_nonzero(there & (codes[:, 1] >> 2 < 7)) * 2 / 8
    assert len(data) <= len(only_first) + positions + 20, (
        "some codeword was coded with an unlikely row"
    )


def test_unsigned_indices_are_never_missing():
    codes = np.full((1, 2, 3), 255, np.uint8)
    head = header((StageLayout(8),) * 2)
    np.testing.assert_array_equal(read_codes(write(codes, head)), codes)


@pytest.mark.parametrize(
    ("stage", "frames", "message"),
    [
        (2, 4, "frame 4 has other stages than its group of 3 frames"),
        (2, [5, 7], "frame 6 has other stages than its group of 3 frames"),
        (2, 8, "frame 9 has other stages than its group of 3 frames"),
        (0, slice(0, 3), r"a stage before another is missing \(channel 0, stage 0, frame 0\)"),
        (1, slice(3, 5), r"a stage before another is missing \(channel 0, stage 1, frame 3\)"),
    ],
)
def test_writer_refuses(stage, frames, message):
    """Packets have five frames: groups of three and two."""
    codes = np.zeros((1, 3, 10), int)
    codes[0, stage, frames] = NONE
    with pytest.raises(ValueError, match=message):
        write(codes, header((StageLayout(3),) * 3))


def test_writer_refuses_a_short_last_group_that_is_uneven():
    codes = np.zeros((1, 2, 5), int)
    codes[0, 1, 4] = NONE
    with pytest.raises(ValueError, match="frame 4 has other stages than its group"):
        write(codes, header(packet_frames=50))


def test_writer_refuses_indices_below_none():
    codes = np.full((1, 2, 3), 2 * NONE)
    with pytest.raises(
        ValueError, match=r"index -2 \(channel 0, stage 0, frame 0\) is outside 0 to 1023"
    ):
        StreamWriter(io.BytesIO(), header()).write(codes)
