"""Reading around damage: every untouched packet comes back, at its right time, and the rest is
accounted for.
"""

from __future__ import annotations

import io
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codec.bitstream import StageLayout, StreamReader, read_info, recovery, verify
from codec.bitstream.checksum import index_under, packet_check
from codec.bitstream.crc_search import likely_places
from codec.bitstream.framing import Framing, packet_content
from codec.bitstream.header import read_header
from codec.bitstream.source import ByteSource
from codec.errors import BitstreamError

from .examples import (
    forged,
    header,
    packet_spans,
    random_codes,
    read,
    sealed,
    skewed_codes,
    skewed_tables,
    varied,
    write,
)
from .range_twin import varint

STAGES = (StageLayout(10),) * 4
FRAMES, PACKET_FRAMES = 63, 10
HEAD = header(STAGES, packet_frames=PACKET_FRAMES, original_rate_hz=48_000)
SAMPLES = FRAMES * 960 - 333
TABLES = skewed_tables(STAGES)
CODES = {
    "fixed": random_codes(np.random.default_rng(1), STAGES, 1, FRAMES),
    "range": skewed_codes(np.random.default_rng(2), STAGES, 1, FRAMES),
    "varied": varied(
        np.random.default_rng(4),
        skewed_codes(np.random.default_rng(2), STAGES, 1, FRAMES),
        PACKET_FRAMES,
    ),
}
for start in range(0, FRAMES, PACKET_FRAMES):  # each packet has something to lose
    first_group = CODES["varied"][:, :3, start : start + 3]
    np.maximum(first_group, 0, out=first_group)
DATA = {
    "fixed": write(CODES["fixed"], HEAD, samples=SAMPLES),
    "range": write(CODES["range"], HEAD, TABLES, samples=SAMPLES),
    "varied": write(CODES["varied"], HEAD, TABLES, samples=SAMPLES),
}
SPANS = {name: packet_spans(data) for name, data in DATA.items()}
PACKETS = 7

each = pytest.mark.parametrize("name", DATA)


def recovered(name, data, lost, frames=FRAMES, samples=SAMPLES):
    """Read `data` and check that just the packets `lost` are lost, and that time is kept."""
    packets, reader = read(data, TABLES, recover=True)
    next_frame = 0
    for packet in packets:
        assert packet.first_frame == next_frame
        next_frame += packet.frames
        expected = CODES[name][:, :, packet.first_frame : next_frame]
        if packet.index in lost:
            assert packet.codes is None
            assert packet.coding is None
        else:
            np.testing.assert_array_equal(packet.codes, expected)
    assert next_frame == frames
    assert {packet.index for packet in packets if packet.codes is None} == set(lost)
    assert reader.samples == samples
    lost_frames = [
        f for loss in reader.losses for f in range(loss.first_frame, loss.first_frame + loss.frames)
    ]
    assert lost_frames == [
        f
        for p in packets
        if p.codes is None
        for f in range(p.first_frame, p.first_frame + p.frames)
    ]
    return reader.losses


@each
def test_nothing_is_lost_of_a_whole_stream(name):
    assert recovered(name, DATA[name], []) == []


@each
def test_any_flipped_bit_loses_one_packet(name):
    data = DATA[name]
    for bit in range(8 * SPANS[name][0][0], 8 * SPANS[name][-1][1], 11):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        (lost,) = [i for i, (a, b) in enumerate(SPANS[name]) if a <= bit // 8 < b]
        losses = recovered(name, bytes(flipped), [lost])
        assert len(losses) == 1
        assert losses[0].reason.startswith(
            f"packet {lost} at {lost * 0.2:.2f} s, byte {SPANS[name][lost][0]}: "
        )


@each
@settings(max_examples=100, deadline=None)
@given(
    rng=st.integers(0, 2**32 - 1).map(np.random.default_rng),
    victims=st.sets(st.integers(0, PACKETS - 1), max_size=6),
)
def test_any_set_of_packets_damaged_in_any_way(name, rng, victims):
    """Each victim is overwritten, removed, lengthened, shortened, or zeroed."""
    data, pieces, position = DATA[name], [], 0
    for victim in sorted(victims):
        start, stop = SPANS[name][victim]
        pieces.append(data[position:start])
        pieces.append(damaged(rng, data[start:stop]))
        position = stop
    pieces.append(data[position:])
    joined = b"".join(pieces)
    # The front of one victim and the back of the next may be the whole of the latter: both are
    # small, and begin alike.
    assume(not any(data[slice(*SPANS[name][victim])] in joined for victim in victims))
    recovered(name, joined, victims)


def damaged(rng, packet):
    place = int(
        rng.integers(4, len(packet) - 3)
    )  # else a byte of noise, or of a neighbour, may heal it by chance
    noise = rng.integers(0, 256, int(rng.integers(1, 80)), np.uint8).tobytes()
    changed = bytearray(packet)
    changed[place] ^= int(rng.integers(1, 256))
    ways = [
        b"",
        noise,
        bytes(len(packet)),
        bytes(changed),
        packet[:place] + noise + packet[place:],
        packet[:place],
        packet[place:],
        packet[:-1] + bytes([packet[-1] ^ 128]),
    ]
    return ways[rng.integers(len(ways))]


@each
@settings(max_examples=50, deadline=None)
@given(rng=st.integers(0, 2**32 - 1).map(np.random.default_rng), cut=st.booleans())
def test_a_stream_that_was_measured_reads_the_same(name, rng, cut):
    """Its damage is not searched twice."""
    data = bytearray(DATA[name])
    for place in rng.integers(SPANS[name][0][0], len(data), rng.integers(1, 6)):
        data[place] ^= 1 << rng.integers(8)
    damaged_data = bytes(data[: rng.integers(SPANS[name][2][0], len(data))] if cut else data)
    packets, reader = read(damaged_data, TABLES, recover=True)
    measured = StreamReader(io.BytesIO(damaged_data))
    assert measured.measure(recover=True) == (reader.frames, reader.offset)
    with mock.patch.object(recovery, "likely_places", side_effect=AssertionError):
        again = list(measured.packets(TABLES, recover=True))
    assert [packet.index for packet in again] == [packet.index for packet in packets]
    assert (measured.losses, measured.samples) == (reader.losses, reader.samples)


@each
def test_foreign_bytes_between_packets_lose_nothing(name):
    data = DATA[name]
    place = SPANS[name][4][0]
    losses = recovered(name, data[:place] + b"foreign bytes" + data[place:], [])
    assert [(loss.first_frame, loss.frames) for loss in losses] == [(40, 0)]
    assert "(13 bytes skipped)" in losses[0].reason


@each
def test_packets_out_of_order_and_repeated(name):
    data, spans = DATA[name], SPANS[name]
    piece = [data[a:b] for a, b in spans]
    start, end = data[: spans[0][0]], data[spans[-1][1] :]
    recovered(name, start + b"".join([*piece[:3], piece[4], piece[3], *piece[5:]]) + end, [3])
    recovered(name, start + b"".join([*piece[:3], piece[2], *piece[3:]]) + end, [])


@each
def test_any_truncation_keeps_all_whole_packets(name):
    """Without the end marker the length is that of the frames; nothing tells how many more there
    were.
    """
    data, spans = DATA[name], SPANS[name]
    for length in range(spans[0][0], len(data)):
        whole = sum(b <= length for _, b in spans)
        frames = min(PACKET_FRAMES * whole, FRAMES)
        (loss,) = recovered(name, data[:length], [], frames, frames * 960)
        assert loss[:2] == (frames, 0)


@pytest.mark.parametrize("garbage", [bytes(100_000), np.random.default_rng(0).bytes(100_000)])
def test_garbage_at_the_end_claims_no_time(garbage):
    data, (start, _) = DATA["fixed"], SPANS["fixed"][4]
    (loss,) = recovered("fixed", data[:start] + garbage, [], 40, 40 * 960)
    assert loss[:2] == (40, 0)
    assert loss.reason.endswith(" (100000 bytes skipped)")


@each
def test_the_end_marker_alone_keeps_time(name):
    """It tells how many packets there were, and how long the last one was."""
    data, spans = DATA[name], SPANS[name]
    recovered(name, data[: spans[0][0]] + data[spans[-1][1] :], range(PACKETS))
    recovered(name, data[: spans[5][1]] + data[spans[-1][1] :], range(6, PACKETS))


@each
def test_a_damaged_end_marker(name):
    data, spans = DATA[name], SPANS[name]
    for place in range(spans[-1][1], len(data)):
        wrong = data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]
        packets, reader = read(wrong, TABLES, recover=True)
        assert [packet.index for packet in packets if packet.codes is not None] == list(
            range(PACKETS)
        )
        assert reader.samples == FRAMES * 960
        assert len(reader.losses) == 1


def test_a_cut_end_marker_is_no_packet():
    """Also where the last packet is full, so that another one could follow."""
    data = write(CODES["fixed"][:, :, :20], HEAD)
    end = packet_spans(data)[-1][1]
    for length in range(end, len(data)):
        packets, reader = read(data[:length], recover=True)
        assert [packet.frames for packet in packets] == [10, 10]
        assert len(reader.losses) == 1


def framing_of(data):
    source = ByteSource(io.BytesIO(data))
    return Framing(*read_header(source))


def test_a_far_packet_is_not_believed_alone():
    """It may be chance: any bytes are a packet of some index. Nor is an end marker with more behind
    it.
    """
    data, framing = DATA["fixed"], framing_of(DATA["fixed"])
    place, stop = SPANS["fixed"][4]
    payload = bytes(50)
    content = packet_content(HEAD, np.full((1, 10), 4), "fixed", payload)
    far = framing.sealed(content, 1000)
    near_end = framing.end(8, HEAD.samples_in(80), 0)
    for stray in (far, near_end, far + near_end + far):
        recovered("fixed", data[:place] + stray + data[place:], [])
        recovered("fixed", data[:place] + stray + data[stop:], [4])
    farthest = framing.sealed(content, 70_000) + framing.sealed(content, 70_001)
    recovered("fixed", data[:place] + farthest + data[stop:], [4])


@each
def test_bytes_after_the_end_marker(name):
    losses = recovered(name, DATA[name] + b"tail", [])
    assert [(loss.first_frame, loss.frames) for loss in losses] == [(FRAMES, 0)]
    assert "after the end marker" in losses[0].reason


def test_a_hole_of_many_packets():
    """Further than a lone packet is believed: its successor vouches for it."""
    codes = random_codes(np.random.default_rng(3), STAGES, 1, 3000)
    data = write(codes, HEAD)
    spans = packet_spans(data)
    start, stop = spans[10][0], spans[200][0]
    for filler in (b"", bytes(stop - start), np.random.default_rng(0).bytes(stop - start)):
        packets, reader = read(data[:start] + filler + data[stop:], recover=True)
        assert [packet.codes is None for packet in packets] == [
            10 <= index < 200 for index in range(300)
        ]
        assert len(reader.losses) == 1
        np.testing.assert_array_equal(
            np.concatenate(
                [packet.codes for packet in packets if packet.codes is not None], axis=2
            ),
            np.concatenate([codes[:, :, :100], codes[:, :, 2000:]], axis=2),
        )


def test_noise_does_not_pass_for_packets():
    """A checksum fits any bytes under some index, so far ones need a witness: no false packet in
    300 kB of noise.
    """
    data = DATA["fixed"]
    place = SPANS["fixed"][4][0]
    noise = np.random.default_rng(0).bytes(300_000)
    recovered("fixed", data[:place] + noise + data[place:], [])


def test_false_lengths_are_searched_to_the_end():
    """Every third byte begins a packet of two megabytes that could be, and none is."""
    head = header((StageLayout(16),) * 16, packet_frames=65_535)
    data = head.to_bytes() + b"\xf9\xff\x3f" * 30_000
    reader = StreamReader(io.BytesIO(data))
    assert list(reader.packets(skewed_tables(head.stages), recover=True)) == []
    assert reader.losses[0].reason.endswith("(90000 bytes skipped)")
    assert reader.offset == len(data)


def test_damage_without_end_is_given_up(monkeypatch):
    """Searching has a limit, which grows with the bytes: here a foreign byte stands before each
    packet.
    """
    monkeypatch.setattr(recovery, "_WORK_LIMIT", 100)
    monkeypatch.setattr(recovery, "_WORK_PER_BYTE", 0)
    data = DATA["fixed"]
    pieces = [b"x" + data[a:b] for a, b in SPANS["fixed"]]
    packets, reader = read(data[: SPANS["fixed"][0][0]] + b"".join(pieces), recover=True)
    assert packets[0].codes is not None
    assert "then gave up" in reader.losses[-1].reason
    assert len(reader.losses) < PACKETS


def test_missing_packets_are_believed_up_to_a_limit():
    """Else two packets of ten bytes could claim that many thousands were lost, again and again."""
    framing = Framing(HEAD, 0)
    silence = packet_content(HEAD, np.zeros((1, 10), int), "fixed", b"")
    jumps = [
        framing.sealed(silence, index)
        for far in range(1, 6)
        for index in (far * 30_000, far * 30_000 + 1)
    ]
    packets, _ = read(HEAD.to_bytes() + b"".join(jumps), recover=True)
    assert [packet.index for packet in packets if packet.codes is not None] == [
        30_000,
        30_001,
        60_000,
        60_001,
    ]


@pytest.mark.parametrize("kind", ["noise", "zeros", "heads"])
def test_all_places_at_once_are_those_found_one_by_one(kind):
    rng = np.random.default_rng(5)
    framing = framing_of(DATA["varied"])
    garbage = {"noise": rng.bytes(3000), "zeros": bytes(3000), "heads": b"\x0d\x80\x01" * 1000}[
        kind
    ]
    data = bytearray(garbage + DATA["varied"] + garbage + DATA["range"] + garbage)
    expected, farthest = 1, 5
    found = []
    for place in range(len(data)):
        try:
            unit = framing.read(ByteSource(io.BytesIO(data[place:])))
        except BitstreamError:
            continue
        if 0 <= unit.index - expected <= farthest:
            found.append(place)
    assert likely_places(data, len(data), framing, expected, farthest) == found
    assert len(found) == farthest + 1
    assert likely_places(data, found[1], framing, expected, farthest) == found[:1]


def test_a_short_packet_in_the_middle_keeps_time():
    """No writer makes it, but its index fits."""
    data, spans = DATA["fixed"], SPANS["fixed"]
    short = packet_content(HEAD, np.full((1, 7), 4), "fixed", bytes(35))
    rest = [data[a : b - 4] for a, b in spans[1:]]
    glued = forged(
        HEAD, short, *rest, missing=varint(HEAD.samples_in(PACKETS * PACKET_FRAMES) - SAMPLES)
    )
    packets, reader = read(glued, recover=True)
    assert [(p.first_frame, p.frames, p.codes is None) for p in packets[:3]] == [
        (0, 7, False),
        (7, 3, True),
        (10, 10, False),
    ]
    assert reader.losses[0][:2] == (7, 3)
    assert reader.samples == SAMPLES


@each
def test_a_packet_of_another_stream_is_lost(name):
    """Of equal header and index: only the identity and the sum tell."""
    data, spans = DATA[name], SPANS[name]
    codes = np.where(CODES[name] < 0, CODES[name], CODES[name] ^ 1)
    other = write(codes, HEAD, None if name == "fixed" else TABLES, samples=SAMPLES)
    (a, b), (c, d) = spans[3], packet_spans(other)[3]
    spliced = data[:a] + other[c:d] + data[b:]
    with pytest.raises(BitstreamError, match=r"packet 3 at .* the checksum does not fit"):
        read(spliced, TABLES)
    recovered(name, spliced, [3])


def test_a_splice_of_streams_that_start_alike():
    """They have one identity, but the end marker knows the packets of its own."""
    data, spans = DATA["fixed"], SPANS["fixed"]
    codes = CODES["fixed"].copy()
    codes[:, :, 30:40] ^= 1
    other = write(codes, HEAD, samples=SAMPLES)
    a, b = spans[3]
    spliced = data[:a] + other[a:b] + data[b:]
    with pytest.raises(
        BitstreamError, match=r"the end marker is for other packets: some are of another stream"
    ):
        read(spliced)
    packets, reader = read(spliced, recover=True)
    assert all(packet.codes is not None for packet in packets)
    assert [(loss.first_frame, loss.frames) for loss in reader.losses] == [(FRAMES, 0)]
    assert reader.samples == SAMPLES
    assert "of another stream" in verify(io.BytesIO(spliced))[0].reason


def test_the_first_packet_is_the_one_that_the_header_names():
    data, spans = DATA["fixed"], SPANS["fixed"]
    forged_header = HEAD.to_bytes(1)
    packets = [sealed(HEAD, data[a : b - 4], index, 1) for index, (a, b) in enumerate(spans)]
    with pytest.raises(
        BitstreamError, match=r"packet 0 .* it is not the packet that the header names"
    ):
        read(forged_header + b"".join(packets))
    with pytest.raises(BitstreamError, match="the header names a packet, but the stream has none"):
        read(forged_header + sealed(HEAD, bytes(6), 0, 1))


def test_info_of_a_damaged_stream():
    data, spans = DATA["fixed"], SPANS["fixed"]
    info = read_info(io.BytesIO(data[: spans[3][0]] + data[spans[5][0] :]))
    assert info.samples == SAMPLES
    assert info.packets == PACKETS - 2
    assert info.frames == FRAMES
    assert [(hole.first_frame, hole.frames) for hole in info.holes] == [(30, 20)]


@given(data=st.binary(max_size=60), cut=st.integers(0, 200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_after_a_header_are_survived(data, cut):
    packets, reader = read(HEAD.to_bytes() + data + DATA["range"][cut:], TABLES, recover=True)
    assert sum(packet.frames for packet in packets) <= FRAMES + PACKET_FRAMES
    assert reader.samples >= 0


@given(state=st.integers(0, 2**32 - 1), index=st.integers(0, 2**32 - 1))
def test_a_checksum_tells_its_index(state, index):
    assert index_under(state, packet_check(state, index)) == index


def test_flips_in_a_checksum_do_not_look_like_a_neighbour():
    """Else a damaged packet would be taken for a later one."""
    state = 0x1234_5678
    check = packet_check(state, 7)
    for bit in range(32):
        assert abs(index_under(state, check ^ 1 << bit) - 7) > 1 << 16
