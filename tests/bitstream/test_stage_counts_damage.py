"""Well-sealed nonsense in packets whose frames have fewer stages than the stream."""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from codec.bitstream import NONE, StageLayout, verify
from codec.errors import BitstreamError

from . import format_twin
from .examples import (
    content,
    forged,
    header,
    likely_codes,
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

RANGE, SHORT, VARIED = 1, 2, 4
STAGES = (StageLayout(3, 1), StageLayout(4))
HEAD = header(STAGES, packet_frames=4)
TABLES = skewed_tables(STAGES)


def packet(flags, body):
    return content(len(body) << 3 | flags, body)


def test_sound_packets_by_hand():
    """Groups of three frames and of one: 0, 10 and a sign of 1 go from the first guess of one stage
    up to two.
    """
    data = forged(HEAD, packet(VARIED, b"\x50\x12\x46\xf0"))
    assert read_codes(data).tolist() == [[[1, 2, 4, 6], [NONE, NONE, NONE, 15]]]
    data = forged(HEAD, packet(VARIED | RANGE, b"\0"))
    assert read_codes(data, TABLES).tolist() == [[[0] * 4, [NONE] * 4]]
    data = forged(HEAD, packet(VARIED, b""))
    assert read_codes(data).tolist() == [[[NONE] * 4, [NONE] * 4]]
    data = forged(
        HEAD, packet(VARIED | SHORT, b"\1"), missing=format_twin.range_twin.varint(3 * 320)
    )
    assert read_codes(data).tolist() == [[[NONE], [NONE]]]


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (packet(VARIED, b"\xe0" + bytes(3)), "its stages per frame are absurd: -2 of 2"),
        (packet(VARIED, b"\xc8" + bytes(3)), "its stages per frame are absurd: 3 of 2"),
        (packet(VARIED | RANGE, b""), "its stages per frame are cut off"),
        (packet(VARIED, b"\xff"), "its stages per frame are cut off"),
        (packet(VARIED, b"\xff" * 8), "its stages per frame are cut off"),
        (packet(VARIED, b"\x7e"), "its stages per frame are cut off"),
        (packet(VARIED, b"\xfc"), "its stages per frame are cut off"),
        (packet(VARIED | SHORT, b"\1\xfe"), "its stages per frame are cut off"),
        (
            packet(VARIED, b"\x51" + bytes(3)),
            "fill up the last byte of its stages per frame are not zero",
        ),
        (packet(VARIED, b"\x90" + bytes(4)), "absurd: 2 for all, which is not stored so"),
        (packet(VARIED | RANGE, b"\x90\0"), "absurd: 2 for all, which is not stored so"),
        (packet(VARIED, b"\x80"), "absurd: 0 for all, which is not stored so"),
        (packet(VARIED | RANGE, b"\x80"), "absurd: 0 for all, which is not stored so"),
        (
            packet(VARIED, b"\x50" + bytes(2)),
            "length is absurd: 2 bytes for 4 frames, which take 3",
        ),
        (
            packet(VARIED, b"\x50" + bytes(4)),
            "length is absurd: 4 bytes for 4 frames, which take 3",
        ),
        (
            packet(VARIED | SHORT, b"\1\0" + bytes(2)),
            "length is absurd: 2 bytes for 1 frames, which take 1",
        ),
        (
            packet(VARIED | SHORT, b"\4\x50" + bytes(3)),
            "frame count is absurd: a short packet with 4",
        ),
        (packet(VARIED, bytes(50)), "length is absurd: 50 bytes where 0 to 49"),
        (packet(VARIED | RANGE, bytes(50)), "length is absurd: 50 bytes where 0 to 49"),
        (packet(VARIED, b"\x50\0\0\1"), "fill up its last byte are not zero"),
        (
            packet(VARIED, b"\x50\x0f\0\0"),
            r"index 15 \(channel 0, stage 0, frame 1\) is outside 0 to 14",
        ),
        (packet(VARIED | RANGE, b"\x50"), "cut off in the ends of the stages"),
        (packet(VARIED | RANGE, b"\x50\5\0"), "has 1 bytes, but a stage ends at byte 5"),
        (
            packet(VARIED | RANGE, b"\0" + b"\xff" * 9),
            "stage 0 of the range-coded payload is no code",
        ),
        (packet(VARIED | RANGE, b"\0\0"), "ends where no encoder ends it"),
    ],
)
def test_well_sealed_nonsense(unit, message):
    """A checksum that fits is no excuse; with recovery such a packet is a loss."""
    data = forged(HEAD, unit)
    with pytest.raises(BitstreamError, match=message):
        read(data, TABLES)
    (lost,), reader = read(data, TABLES, recover=True)
    assert lost.codes is None
    assert (lost.frames, reader.samples) == (4, 4 * 320)
    assert len(reader.losses) == len(verify(io.BytesIO(data), TABLES)) == 1


def test_one_stage_varies_too():
    head = header(STAGES[:1], packet_frames=4)
    data = forged(head, packet(VARIED, b"\x40\x12\x40"))
    assert read_codes(data).tolist() == [[[1, 2, 4, NONE]]]


@settings(max_examples=150, deadline=None)
@given(frames=st.integers(1, 4), coding=st.integers(0, 1), body=st.binary(max_size=9))
def test_sealed_packets_of_anything(frames, coding, body):
    """Whatever is in a packet, it is an error of ours, or the second decoder reads the same
    in it.
    """
    is_short = frames < 4
    unit = packet(VARIED | SHORT * is_short | coding, bytes([frames] * is_short) + body)
    missing = format_twin.range_twin.varint((4 - frames) * 320)
    read_alike_or_refused(HEAD, forged(HEAD, unit, missing=missing), TABLES)


@settings(max_examples=80, deadline=None)
@given(rng=seeds, with_tables=st.booleans(), channels=st.integers(1, 2))
def test_resealed_flips(rng, with_tables, channels):
    """Flipped bits under a checksum that fits: codes in range that the second decoder reads too, or
    an error.
    """
    stages = (StageLayout(3, 1), StageLayout(4), StageLayout(2))
    head = header(stages, channels=channels, packet_frames=13)
    tables = random_tables(rng, stages)
    codes = varied(rng, likely_codes(rng, stages, channels, 26, tables), 13)
    data = write(codes, head, tables if with_tables else None)
    contents = []
    for raw in read_raw(data)[0]:
        changed = bytearray(data[raw.offset : raw.offset + raw.size_bytes - 4])
        head_size = 1 + (changed[0] > 127)
        if len(changed) > head_size:
            for bit in rng.integers(8 * head_size, 8 * len(changed), int(rng.integers(0, 3))):
                changed[bit // 8] ^= 1 << bit % 8
        contents.append(bytes(changed))
    read_alike_or_refused(head, forged(head, *contents), tables)


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
    """The most frames that a packet may have, with one bit for each three of them: half of 16
    stages.
    """
    head = header((StageLayout(1),) * 16, packet_frames=65_535)
    data = forged(head, packet(VARIED | RANGE, bytes(-(-21_845 // 8)) + bytes(7)))
    tables = skewed_tables(head.stages)
    tracemalloc.start()
    codes = read_codes(data, tables)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (codes[:, 8:] == NONE).all()
    assert not codes[:, :8].any()
    assert peak < 20 * 2**20
