"""Well-sealed nonsense in packets whose frames have fewer stages than the stream."""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from codec.bitstream import NONE, StageLayout, verify
from codec.bitstream.framing import Framing
from codec.errors import BitstreamError

from . import format_twin
from .examples import (
    header,
    likely_codes,
    random_tables,
    read,
    read_codes,
    read_raw,
    sealed_packet,
    seeds,
    skewed_tables,
    twin_tables,
    varied,
    write,
)

RANGE, SHORT, VARIED = 1, 2, 4
STAGES = (StageLayout(3, 1), StageLayout(4))
HEAD = header(STAGES, packet_frames=4, minor_version=1)
TABLES = skewed_tables(STAGES)
END = sealed_packet(HEAD, 1, 0, b"\0")


def packet(flags, body, index=0, head=HEAD):
    return sealed_packet(head, index, len(body) << 3 | flags, body)


def test_a_sound_packet_by_hand():
    """Groups of three frames and of one: 0 keeps the first guess of one stage, 101 goes up to two."""
    data = HEAD.to_bytes() + packet(VARIED, b"\x50\x12\x46\xf0") + END
    assert read_codes(data).tolist() == [[[1, 2, 4, 6], [NONE, NONE, NONE, 15]]]
    data = HEAD.to_bytes() + packet(VARIED | RANGE, b"\0") + END
    assert read_codes(data, TABLES).tolist() == [[[0] * 4, [NONE] * 4]]


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (packet(VARIED, b"\x80" + bytes(3)), "its stages per frame are absurd: 0 of 2"),
        (packet(VARIED, b"\xd0" + bytes(3)), "its stages per frame are absurd: 3 of 2"),
        (packet(VARIED, b""), "its stages per frame are cut off"),
        (packet(VARIED, b"\xff"), "its stages per frame are cut off"),
        (packet(VARIED, b"\xff" * 8), "its stages per frame are cut off"),
        (packet(VARIED, b"\x7e"), "its stages per frame are cut off"),
        (packet(VARIED | SHORT, b"\1"), "its stages per frame are cut off"),
        (packet(VARIED, b"\x51" + bytes(3)), "fill up the last byte of its stages per frame are not zero"),
        (packet(VARIED, b"\xa0" + bytes(4)), "its stages per frame are absurd: all of them, which are not stored"),
        (packet(VARIED | RANGE, b"\xa0\0"), "all of them, which are not stored"),
        (packet(VARIED | SHORT, b"\3\xa0" + bytes(3)), "all of them, which are not stored"),
        (packet(VARIED, b"\x50" + bytes(2)), "length is absurd: 2 bytes for 4 frames, which take 3"),
        (packet(VARIED, b"\x50" + bytes(4)), "length is absurd: 4 bytes for 4 frames, which take 3"),
        (packet(VARIED | SHORT, b"\1\0" + bytes(2)), "length is absurd: 2 bytes for 1 frames, which take 1"),
        (packet(VARIED | SHORT, b"\4\x50" + bytes(3)), "frame count is absurd: a short packet with 4"),
        (packet(VARIED, bytes(50)), "length is absurd: 50 bytes where 0 to 49"),
        (packet(VARIED | RANGE, bytes(50)), "length is absurd: 50 bytes where 0 to 49"),
        (packet(VARIED, b"\x50\0\0\1"), "fill up its last byte are not zero"),
        (packet(VARIED, b"\x50\x0f\0\0"), r"index 15 \(channel 0, stage 0, frame 1\) is outside 0 to 14"),
        (packet(VARIED | RANGE, b"\x50"), "cut off in the ends of the stages"),
        (packet(VARIED | RANGE, b"\x50\5\0"), "has 1 bytes, but a stage ends at byte 5"),
        (packet(VARIED | RANGE, b"\0" + b"\xff" * 9), "stage 0 of the range-coded payload is no code"),
    ],
)
def test_well_sealed_nonsense(unit, message):
    """A checksum that fits is no excuse; with recovery such a packet is a loss."""
    data = HEAD.to_bytes() + unit + END
    with pytest.raises(BitstreamError, match=message):
        read(data, TABLES)
    (lost,), reader = read(data, TABLES, recover=True)
    assert lost.codes is None
    assert (lost.frames, reader.samples) == (4, 4 * 320)
    assert len(reader.losses) == len(verify(io.BytesIO(data), TABLES)) == 1


def test_a_version_1_0_stream_has_no_varied_packets():
    body = b"\x50\x12\x46\xf0"
    for minor, is_known in ((0, False), (1, True), (2, True)):
        head = header(STAGES, packet_frames=4, minor_version=minor)
        data = head.to_bytes() + packet(VARIED, body, head=head) + sealed_packet(head, 1, 0, b"\0")
        if is_known:
            assert (read_codes(data) == NONE).sum() == 3
            continue
        with pytest.raises(BitstreamError, match=r"packet 0 .* a bit set that its version of the format does not know"):
            read(data)
        assert len(verify(io.BytesIO(data))) == 1


def test_one_stage_cannot_vary():
    head = header(STAGES[:1], packet_frames=4, minor_version=1)
    with pytest.raises(BitstreamError, match="all of them, which are not stored"):
        read(head.to_bytes() + packet(VARIED, b"\0" + bytes(2), head=head) + sealed_packet(head, 1, 0, b"\0"))


@settings(max_examples=150, deadline=None)
@given(frames=st.integers(1, 4), coding=st.integers(0, 1), body=st.binary(max_size=9))
def test_sealed_packets_of_anything(frames, coding, body):
    """Whatever is in a packet, it is an error of ours, or the second decoder reads the same in it."""
    is_short = frames < 4
    unit = packet(VARIED | SHORT * is_short | coding, bytes([frames] * is_short) + body)
    end = sealed_packet(HEAD, 1, 0, format_twin.range_twin.varint((4 - frames) * 320))
    read_alike_or_refused(HEAD, HEAD.to_bytes() + unit + end, TABLES)


@settings(max_examples=80, deadline=None)
@given(rng=seeds, with_tables=st.booleans(), channels=st.integers(1, 2))
def test_resealed_flips(rng, with_tables, channels):
    """Flipped bits under a checksum that fits: codes in range that the second decoder reads too, or an error."""
    stages = (StageLayout(3, 1), StageLayout(4), StageLayout(2))
    head = header(stages, channels=channels, packet_frames=13, minor_version=1)
    tables = random_tables(rng, stages)
    codes = varied(rng, likely_codes(rng, stages, channels, 26, tables), 13)
    data = write(codes, head, tables if with_tables else None)
    units = []
    for raw in read_raw(data)[0]:
        content = bytearray(data[raw.offset : raw.offset + raw.size_bytes - 4])
        head_size = 1 + (content[0] > 127)
        for bit in rng.integers(8 * head_size, 8 * len(content), int(rng.integers(0, 3))):
            content[bit // 8] ^= 1 << bit % 8
        flags = content[0] & 7
        units.append(packet(flags, bytes(content[head_size:]), raw.index, head))
    end = Framing(head).end(2, head.samples_in(26))
    read_alike_or_refused(head, head.to_bytes() + b"".join(units) + end, tables)


def read_alike_or_refused(head, data, tables):
    try:
        codes = read_codes(data, tables)
    except BitstreamError as error:
        event(f"refused: {str(error).split(':')[1][:30]}")
        assert verify(io.BytesIO(data), tables)
        return
    event("read")
    assert format_twin.decode(data, twin_tables(tables, head.stages)).codes == codes.tolist()
    assert (codes <= np.array([stage.max_index for stage in head.stages])[:, None]).all()
    assert verify(io.BytesIO(data), tables) == ()


def test_a_few_bytes_make_no_more_than_a_packet():
    """The most frames that a packet may have, with one bit for each three of them: half of 64 stages."""
    head = header((StageLayout(1),) * 64, packet_frames=65_535, minor_version=1)
    unit = packet(VARIED | RANGE, bytes(-(-21_845 // 8)) + bytes(31), head=head)
    data = head.to_bytes() + unit + sealed_packet(head, 1, 0, b"\0")
    tables = skewed_tables(head.stages)
    tracemalloc.start()
    codes = read_codes(data, tables)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (codes[:, 32:] == NONE).all()
    assert not codes[:, :32].any()
    assert peak < 16 * 2**22
